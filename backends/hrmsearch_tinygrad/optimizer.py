"""Moves parameters by an update rule, and remembers its slots and the count of steps of each."""

# tinygrad's own annotations are partial
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from tinygrad.tensor import Tensor

from hrmsearch.errors import BackendError, RunError
from hrmsearch.runtime import Training
from hrmsearch_tinygrad.arrays import Array, Tensors, put, tensor, to_numpy
from hrmsearch_tinygrad.rules import Update


class Optimizer:
    """A rule with its memory.

    counts: by path, how many steps each parameter that ever moved has taken; the slots of others are zero.
    """

    def __init__(self, training: Training, params: Mapping[str, Tensor], keyed: Collection[str] = ()) -> None:
        self._training = training
        self._params = params
        self._update = Update(training.rule)
        self._by_row = {path: Update(one.rule) for path, one in training.keyed.items()}
        self.counts: dict[str, int] = {}
        self._slots: dict[str, Tensors] = {
            path: {slot: tensor(np.zeros(param.shape), param.dtype) for slot in training.rule.slots}
            for path, param in params.items()
            if path not in keyed
        }

    def numbers(self, paths: Sequence[str], lr: float) -> tuple[tuple[int, ...], Array]:
        """Count a step of parameters and return its numbers: a row for each kind of parameter, and which row is whose.

        Parameters with the same weight decay and count have the same numbers.
        """
        kinds: dict[tuple[float, int], int] = {}
        for path in paths:
            self.counts[path] = self.counts.get(path, 0) + 1
            kinds.setdefault((self._training.decay.get(path, 0.0), self.counts[path]), len(kinds))
        whose = [kinds[self._training.decay.get(path, 0.0), self.counts[path]] for path in paths]
        return tuple(whose), np.array([self._update.numbers(lr, decay, step) for decay, step in kinds])

    def move(
        self, gradients: Mapping[str, Tensor], rows: Sequence[int], numbers: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the gradients' norm before clipping, and the parameters and slots, about to be written."""
        norm = sum((gradient.square().sum() for gradient in gradients.values()), Tensor(0.0)).sqrt()
        count, width = (int(size) for size in numbers.shape)
        factor = Tensor(1.0) if self._training.clip is None else self._factor(norm, self._training.clip)
        # with the numbers in one tensor: tinygrad writes in place what is made from three tensors, not from four
        numbers = numbers.flatten().cat(factor.cast(numbers.dtype).reshape(1)).contiguous()
        written: list[Tensor] = []
        for (path, gradient), row in zip(gradients.items(), rows, strict=True):
            held = [self._params[path], *self._slots[path].values()]
            own = [numbers[row * width + i] for i in range(width)]
            moved = self._update.apply([held[0], gradient * numbers[count * width], *held[1:]], own)
            written += [old.assign(new) for old, new in zip(held, moved, strict=True)]
        return norm, written

    def rates(self, path: str, lr: float) -> Array:
        """Return the numbers of a step of a keyed table.

        Raises BackendError without a rule for it.
        """
        if path not in self._by_row:
            raise BackendError(f"{path}: compiled without a rule to move the rows of this table by")
        keyed = self._training.keyed[path]
        return np.array(self._by_row[path].numbers(lr * keyed.rate, keyed.decay, 1))

    def move_rows(self, gradients: Mapping[str, Tensor], by_row: Sequence[Tensor]) -> list[Tensor]:
        """Return keyed tables with the masked rows moved, about to be written; by_row: a mask and numbers for each."""
        written: list[Tensor] = []
        for i, (path, gradient) in enumerate(gradients.items()):
            mask, numbers = by_row[2 * i : 2 * i + 2]
            table = self._params[path]
            own = [numbers[k] for k in range(int(numbers.shape[0]))]
            (moved,) = self._by_row[path].apply([table, gradient], own)
            written.append(table.assign((mask > 0.0).where(moved, table)))
        return written

    @staticmethod
    def _factor(norm: Tensor, clip: float) -> Tensor:
        """Return what gradients are scaled by, as torch.nn.utils.clip_grad_norm_ has it."""
        return (clip / (norm + 1e-6)).minimum(1.0)

    # -- memory ------------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Start anew."""
        for path in self.counts:
            put(self._slots[path], {slot: np.zeros(held.shape) for slot, held in self._slots[path].items()})
        self.counts = {}

    def snapshot(self) -> dict[str, Array]:
        """Return the memory as `slot/<name>/<path>` and `count/<path>`."""
        counts = {f"count/{path}": np.asarray(count, np.int64) for path, count in self.counts.items()}
        return counts | to_numpy({f"slot/{n}/{path}": s for path in self.counts for n, s in self._slots[path].items()})

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take the memory from a snapshot.

        Raises RunError where a slot of the rule or a parameter is missing.
        """
        self.forget()
        counts = {
            name.removeprefix("count/"): int(count) for name, count in arrays.items() if name.startswith("count/")
        }
        try:
            for path in counts:
                slots = self._slots[path]
                put(slots, {slot: arrays[f"slot/{slot}/{path}"] for slot in slots})
        except KeyError as error:
            raise RunError(f"the snapshot is of another rule or graph: {error} is missing") from error
        self.counts = counts
