"""What a model keeps for each window that it trains on: states of lifetime `sample`, held here between its visits."""

from collections.abc import Mapping, Sequence

import numpy as np

from hrmsearch.ir import Graph
from hrmsearch.ir.checkpoint import below
from hrmsearch.runtime import Array, Carry, Executable
from hrmsearch.tasks.loaders import Batch
from hrmsearch.train.nest import rows_of, settling


def kept_paths(graph: Graph) -> list[str]:
    """Return the paths of the states that are kept by sample."""
    return [path for path, op in graph.states.items() if op.attrs["lifetime"] == "sample"]


class Kept:
    """Entries by window, for those met so far; that of another one is zeros, or what `settle` passes leave."""

    def __init__(self, graph: Graph) -> None:
        self._paths = kept_paths(graph)
        self._entries: dict[str, Array] = {}
        self._met: Array = np.zeros(0, np.bool_)

    def __bool__(self) -> bool:
        return bool(self._paths)

    def enter(self, executable: Executable, batch: Batch, carry: Carry) -> Carry:
        """Return a carry with the entries of a batch's windows, those met for the first time settled."""
        arrays = executable.carry_to_numpy(carry)
        self._reach(batch.windows, arrays)
        met = self._met[batch.windows]
        held = {path: self._entries[path][batch.windows] for path in self._paths}
        if not met.all():
            unmet = executable.carry_from_numpy(arrays | {path: np.zeros_like(held[path]) for path in self._paths})
            settled = executable.carry_to_numpy(settled_by(executable, batch, unmet))
            held = {path: _by_row(met, held[path], settled[path]) for path in self._paths}
        return executable.carry_from_numpy(arrays | held)

    def leave(self, executable: Executable, windows: Sequence[int] | Array, carry: Carry) -> None:
        """Keep the entries of windows."""
        arrays = executable.carry_to_numpy(carry)
        for path in self._paths:
            self._entries[path][windows] = arrays[path]
        self._met[windows] = True

    def _reach(self, windows: Array, like: Mapping[str, Array]) -> None:
        """Have room for windows."""
        more = int(windows.max()) + 1 - len(self._met)
        if more <= 0:
            return
        for path in self._paths:
            room = np.zeros((more, *like[path].shape[1:]), like[path].dtype)
            before = self._entries.get(path)
            self._entries[path] = room if before is None else np.concatenate([before, room])
        self._met = np.concatenate([self._met, np.zeros(more, np.bool_)])

    def snapshot(self) -> dict[str, Array]:
        """Return all that is kept: `entry/<path>` and `met`; nothing before the first window."""
        return {} if not len(self._met) else {"met": self._met, **{f"entry/{p}": a for p, a in self._entries.items()}}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Keep what a snapshot holds."""
        self._met = np.array(arrays.get("met", np.zeros(0, np.bool_)))
        self._entries = {path: np.array(array) for path, array in below("entry/", arrays).items()}


def settled_by(executable: Executable, batch: Batch, carry: Carry) -> Carry:
    """Return a carry after the passes that fill what is kept, without gradient or score."""
    for call in settling(batch, executable.graph.nest):
        _, carry = executable.eval_step(call, carry)
    return carry


def begun(executable: Executable, batch: Batch, carry: Carry | None, tokens: int) -> Carry:
    """Return the carry with which a window is scored: the one before it, if rows go on, or a fresh, settled one."""
    rows = rows_of(batch)
    if kept_paths(executable.graph):
        return settled_by(executable, batch, executable.init_carry(rows, tokens))
    return executable.init_carry(rows, tokens) if carry is None else carry


def _by_row(met: Array, old: Array, new: Array) -> Array:
    return np.where(met.reshape(-1, *[1] * (old.ndim - 1)), old, new)
