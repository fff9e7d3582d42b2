"""Which rows of a batch halt after a pass, and the rolling batch: rows that halted take the next samples."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from hrmsearch.ir import Halt, Lifetime, Nest
from hrmsearch.runtime import Array, Pass
from hrmsearch.tasks.words import Words

Flags = NDArray[np.bool_]
#: the outputs of a pass that decide; the second one may be missing
Q_HALT, Q_CONTINUE = "q_halt", "q_continue"
#: the outputs that training with halting heeds: what decides, and whether a row is right
HEEDED = (Q_HALT, Q_CONTINUE, "right")
#: in the lines of `metrics.jsonl` on training: how many rows halted after so many passes
HALTED_AFTER = "halted_after_"
#: the input that tells which rows are in their last possible pass
FINAL = "final"


def wants(outputs: Mapping[str, Array]) -> Flags:
    """Return which rows want to halt: `halt` exceeds `continue`, or zero if there is none."""
    return np.asarray(outputs[Q_HALT] > outputs.get(Q_CONTINUE, 0.0))


def halts(outputs: Mapping[str, Array], passes: Array, most: int, least: Array | int = 0) -> Flags:
    """Return which rows halt after their `passes`: those that want to, from `least` on, and all after `most`."""
    return ((passes >= most) | wants(outputs)) & (passes >= np.minimum(least, most))


def least_passes(halt: Halt, most: int, words: Words, rows: int) -> Array:
    """Draw how many passes rows have to take: with probability `explore` from 2 to `most`, else none in particular."""
    explores = words.uniform(rows) < halt.explore
    drawn = 2 + words.below(max(most - 1, 1), rows)
    return np.where(explores, drawn, 0)


#: gives the next samples: inputs by name, so many rows of each
Take = Callable[[int], Mapping[str, Array]]


class RollingBatch:
    """Rows that are each in a pass of their own, over a sample of their own.

    A row that halted is restored and takes the next sample; the others go on with theirs. passes: taken by each row.
    key: names the draws of exploration, together with the number of the step.
    """

    def __init__(self, nest: Nest, rows: int, take: Take, *key: str | int) -> None:
        assert nest.halt is not None, "a nest without halting has no rolling batch"
        self._halt, self._most, self._take, self._key = nest.halt, nest.passes, take, key
        self._arrays: dict[str, Array] = {}
        self.passes = np.zeros(rows, np.int32)
        self.halted = np.ones(rows, np.bool_)

    def next(self) -> Pass:
        """Return the pass that every row takes now."""
        fresh = np.flatnonzero(self.halted)
        if len(fresh):
            for name, array in self._take(len(fresh)).items():
                held = self._arrays.setdefault(name, np.zeros((len(self.halted), *array.shape[1:]), array.dtype))
                held[fresh] = array
        self.passes[fresh] = 0
        reset = np.where(self.halted, Lifetime.WINDOW, Lifetime.PASS).astype(np.int8)
        self.passes += 1
        inputs = {name: array.copy() for name, array in self._arrays.items()}
        if self._halt.bootstraps:
            inputs[FINAL] = self.passes >= self._most
        return Pass(inputs, reset)

    def heed(self, outputs: Mapping[str, Array], step: int) -> None:
        """Note which rows halt by what a pass gave; step: its number, which draws the exploration."""
        least = least_passes(self._halt, self._most, Words(*self._key, "explore", step), len(self.halted))
        self.halted = halts(outputs, self.passes, self._most, least)

    @property
    def counts(self) -> Array:
        """How many rows halt now after one pass, two, and so on up to the most."""
        return np.bincount(self.passes[self.halted] - 1, minlength=self._most)

    def snapshot(self) -> dict[str, Array]:
        """Return all that the next passes depend on, except where `take` is."""
        return {"passes": self.passes.copy(), "halted": self.halted.copy()} | {
            f"sample/{name}": array.copy() for name, array in self._arrays.items()
        }

    def restore(self, snapshot: Mapping[str, Array]) -> None:
        """Go on from a snapshot."""
        self.passes, self.halted = snapshot["passes"].copy(), snapshot["halted"].astype(np.bool_)
        self._arrays = {
            name.removeprefix("sample/"): array.copy() for name, array in snapshot.items() if name.startswith("sample/")
        }
