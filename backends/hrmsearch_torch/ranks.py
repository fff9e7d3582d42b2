"""What processes that train one model together tell each other, where `torch.distributed` is initialised.

Each has rows of its own; a rank's loss is the mean over its rows, so the mean over ranks is that of the joined batch.
"""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportPrivateImportUsage=false

from collections.abc import Iterable
from typing import Any

import torch
from torch import distributed


def count() -> int:
    """Return how many processes train together; 1 where this one is alone."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def average(gradients: Iterable[torch.Tensor]) -> None:
    """Replace gradients, the same ones in every rank, by their means over ranks."""
    ranks = count()
    if ranks > 1:
        for gradient in gradients:
            distributed.all_reduce(gradient)
            gradient.div_(ranks)


def merged(keys: torch.Tensor, table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the keys of all ranks, each once, and the mean over ranks of the gradients of their rows.

    keys: i64[n], those that occurred in this rank; n may differ by rank. table: the gradient of all rows in this rank.
    A process that is alone has its keys back, as often as they occurred.
    """
    ranks = count()
    if ranks == 1:
        return keys, table[keys]
    keys, _ = _once(keys)
    rows = table[keys]
    sizes = _gathered(keys.new_tensor([len(keys)]), ranks)
    room = max(int(size) for size in sizes)
    every_key = _gathered(_padded(keys, room), ranks)
    every_row = _gathered(_padded(rows, room), ranks)
    held = [int(size) for size in sizes]
    joined = torch.cat([found[:size] for found, size in zip(every_key, held, strict=True)])
    gradients = torch.cat([found[:size] for found, size in zip(every_row, held, strict=True)])
    once, place = _once(joined)
    total = gradients.new_zeros((len(once), *gradients.shape[1:])).index_add_(0, place, gradients)
    return once, total / ranks


def _once(keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return keys without repeats, and where among them each of the given ones is."""
    found: Any = torch.unique(keys, return_inverse=True)
    return found[0], found[1]


def _gathered(tensor: torch.Tensor, ranks: int) -> list[torch.Tensor]:
    found = [torch.empty_like(tensor) for _ in range(ranks)]
    distributed.all_gather(found, tensor)
    return found


def _padded(tensor: torch.Tensor, room: int) -> torch.Tensor:
    """Return a tensor as long as the longest of any rank; ranks exchange equal shapes only."""
    return torch.cat([tensor, tensor.new_zeros((room - len(tensor), *tensor.shape[1:]))]).contiguous()
