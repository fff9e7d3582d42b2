"""The endless stream that a rolling batch takes its samples from: round after round of all, each in its own order."""

from collections.abc import Collection

import numpy as np

from hrmsearch.errors import DataError
from hrmsearch.runtime import Array
from hrmsearch.tasks.base import Split, TaskData
from hrmsearch.tasks.loaders import order


class Samples:
    """Every sample of a round is taken once before the next round begins.

    Rounds are what epochs are elsewhere: where a task draws new rows for each epoch, it draws them for each round.
    names: the inputs that are wanted. Raises DataError where samples differ in length.
    """

    def __init__(self, data: TaskData, seed: int, names: Collection[str]) -> None:
        if len(data.train_rows) > 1:
            raise DataError("rows that halt one by one need samples of one length; the task has several")
        self._data, self._seed, self._names = data, seed, names
        self._round, self._taken = 0, 0
        self._split, self._order = self._dealt()

    def _dealt(self) -> tuple[Split, Array]:
        (split,) = self._data.train(self._seed, self._round)
        return split, order(self._seed, self._round, len(split))

    def take(self, count: int) -> dict[str, Array]:
        """Return the next samples by input."""
        parts: list[dict[str, Array]] = []
        while count:
            if self._taken == len(self._order):
                self._round, self._taken = self._round + 1, 0
                self._split, self._order = self._dealt()
            which = self._order[self._taken : self._taken + count]
            self._taken, count = self._taken + len(which), count - len(which)
            parts.append(self._split.rows(which))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name in self._names}

    def snapshot(self) -> Array:
        """Return where the stream is: the round, and how many of it were taken."""
        return np.array([self._round, self._taken], np.int64)

    def restore(self, snapshot: Array) -> None:
        """Go on from a snapshot."""
        self._round, self._taken = map(int, snapshot)
        self._split, self._order = self._dealt()
