"""Gradients that wait for the next update."""

# tinygrad's own annotations are partial
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Mapping

import numpy as np
from tinygrad.dtype import dtypes
from tinygrad.tensor import Tensor

from hrmsearch.runtime import Span
from hrmsearch_tinygrad.arrays import Array, Tensors, empty, put, tensor


class Pending:
    """One gradient for each parameter that a path reached since the last update.

    paths: those, in no order. keyed: the tables that move by row, each with the input that holds keys of its rows.
    keys: those that occurred since the last update, by path.
    """

    def __init__(self, params: Mapping[str, Tensor], keyed: Mapping[str, str]) -> None:
        self._keyed = keyed
        self.keys: dict[str, Array] = {}
        self._place = {path: i for i, path in enumerate(params)}
        self._held = {path: empty(param.shape, param.dtype) for path, param in params.items()}
        self.paths: set[str] = set()

    @property
    def gradients(self) -> Tensors:
        """The waiting gradients by path, in the order of the parameters."""
        return {path: held for path, held in self._held.items() if path in self.paths}

    def shares(self, weight: float) -> Tensor:
        """Return the numbers that `add` needs: the weight, then for each parameter whether a gradient waits."""
        return tensor(np.array([weight, *(path in self.paths for path in self._held)]), dtypes.float32)

    def add(self, gradients: Mapping[str, Tensor], shares: Tensor) -> list[Tensor]:
        """Return gradients added to those that wait, about to be written; what does not wait may hold anything."""
        added: list[Tensor] = []
        for path, gradient in gradients.items():
            held = self._held[path]
            old = (shares[1 + self._place[path]] > 0.0).where(held, 0.0)
            added.append(held.assign(old + (gradient * shares[0]).cast(held.dtype)))
        return added

    def note(self, span: Span) -> None:
        """Note the keys of a span's passes."""
        for path, name in self._keyed.items():
            seen = [np.asarray(call.inputs[name], np.int64) for call in span]
            self.keys[path] = np.unique(np.concatenate([self.keys.get(path, seen[0]), *seen]))

    def mask(self, path: str) -> Array:
        """Return 1 for each row of a table whose key occurred, 0 for the others, as a column."""
        mask = np.zeros((int(self._held[path].shape[0]), 1))
        mask[self.keys[path]] = 1.0
        return mask

    def forget(self) -> None:
        """Let nothing wait."""
        self.paths.clear()
        self.keys.clear()

    def restore(self, arrays: Mapping[str, Array], keys: Mapping[str, Array]) -> None:
        """Let these gradients and keys wait and no others."""
        put(self._held, arrays)
        self.paths, self.keys = set(arrays), dict(keys)
