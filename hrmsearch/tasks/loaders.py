"""Loaders: the order in which windows reach a model, and what its state forgets before each batch.

`shuffled` deals the windows in a new order each epoch. `contiguous` reads B streams side by side: row b of a batch
continues row b of the batch before it, which is what state of lifetime `stream` needs. Ours, not the literature's: an
order is a pure function of (seed, epoch), so a run resumes from two integers, and both loaders score the same targets.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from hrmsearch.errors import DataError
from hrmsearch.ir.types import Lifetime
from hrmsearch.tasks.base import Ids, Split

Plan = list[NDArray[np.intp]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Named arrays, i32[B, W] each, and the lifetime to restore in every row before their first pass."""

    arrays: dict[str, Ids]
    reset: Lifetime


def train_batches(split: Split, loader: str, batch: int, seed: int, epoch: int, start: int = 0) -> Iterator[Batch]:
    """Yield the batches of one epoch, from the batch with index `start` on.

    Raises DataError for an unknown loader, fewer windows than contiguous rows, or a start outside the epoch.
    """
    return _deal(split, _plan(loader, len(split), batch, seed, epoch), start)


def train_batch_count(split: Split, loader: str, batch: int) -> int:
    """Return how many batches an epoch has."""
    return len(_plan(loader, len(split), batch, 0, 0))


def eval_batches(split: Split, loader: str, batch: int) -> Iterator[Batch]:
    """Yield every window once, in document order: one row (`contiguous`, a single stream) or `batch` rows at a time."""
    _check(loader, batch)
    return _deal(split, _in_turn(np.arange(len(split)), 1 if loader == "contiguous" else batch), 0)


def order(seed: int, epoch: int, count: int) -> NDArray[np.intp]:
    """Return the permutation of `count` windows that `seed` deals in `epoch`.

    It sorts raw Philox words, since NumPy keeps those the same in every release but not `Generator.permutation`.
    """
    digest = sha256(f"{seed}/order/{epoch}".encode()).digest()
    words = np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(count)
    return np.argsort(words, kind="stable")


def _shuffled(count: int, batch: int, seed: int, epoch: int) -> Plan:
    return _in_turn(order(seed, epoch, count), batch)


def _contiguous(count: int, batch: int, seed: int, epoch: int) -> Plan:
    del seed, epoch  # a document has one order
    if count < batch:
        raise DataError(
            f"the text has {count} windows, fewer than the {batch} rows of a batch: "
            "use a smaller train.batch, a shorter task.window or more text"
        )
    length = count // batch
    streams = np.arange(batch * length).reshape(batch, length)
    return list(streams.T)


_PLANS: dict[str, Callable[[int, int, int, int], Plan]] = {"shuffled": _shuffled, "contiguous": _contiguous}


def _plan(loader: str, count: int, batch: int, seed: int, epoch: int) -> Plan:
    _check(loader, batch)
    return _PLANS[loader](count, batch, seed, epoch)


def _check(loader: str, batch: int) -> None:
    if loader not in _PLANS:
        raise DataError(f"there is no loader {loader!r}; one of: {', '.join(_PLANS)}")
    if batch < 1:
        raise DataError(f"a batch of {batch} rows is impossible; use at least 1")


def _in_turn(windows: NDArray[np.intp], rows: int) -> Plan:
    return [windows[i : i + rows] for i in range(0, len(windows), rows)]


def _deal(split: Split, plan: Plan, start: int) -> Iterator[Batch]:
    if not 0 <= start <= len(plan):
        raise DataError(f"batch {start} does not exist: the epoch has {len(plan)} batches")
    return (_batch(split, plan, index) for index in range(start, len(plan)))


def _batch(split: Split, plan: Plan, index: int) -> Batch:
    windows = plan[index]
    # State has one row per batch row, so another number of rows cannot take it over.
    continues = index > 0 and len(plan[index - 1]) == len(windows)
    arrays = {"tokens": split.tokens[windows], "targets": split.targets[windows]}
    return Batch(arrays, Lifetime.WINDOW if continues else Lifetime.STREAM)
