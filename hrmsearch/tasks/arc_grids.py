"""ARC grids as token rows, the changes that keep a puzzle a puzzle, and votes over changed copies.

A grid of colours 0 to 9 becomes tokens 2 to 11 on a board of 30 x 30, padded with 0; a row of 1 ends it below and a
column of 1 on its right, where there is room; their corner stays 0. Source: sapientinc/HRM,
dataset/build_arc_dataset.py.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hrmsearch.tasks.base import IGNORE, Ids
from hrmsearch.tasks.dihedral import INVERSE, SYMMETRIES, turned
from hrmsearch.tasks.words import Words

SIDE: Final = 30
PAD, END, FIRST = 0, 1, 2
COLOURS: Final = 10
#: how many draws a puzzle's changes may take, for each that is wanted
_TRIALS: Final = 5

Grid = NDArray[np.uint8]
Pair = tuple[Grid, Grid]


def tokens_of(grid: Grid, top: int = 0, left: int = 0) -> Ids:
    """Return i32[900]: a grid on a board, its corner at a place."""
    height, width = grid.shape
    board = np.full((SIDE, SIDE), PAD, np.int32)
    board[top : top + height, left : left + width] = grid.astype(np.int32) + FIRST
    if top + height < SIDE:
        board[top + height, left : left + width] = END
    if left + width < SIDE:
        board[top : top + height, left + width] = END
    return board.ravel()


def grid_of(tokens: NDArray[Any]) -> Grid:
    """Return the largest rectangle of colours at the corner of a board, which is empty where there is none."""
    coloured = tokens.reshape(SIDE, SIDE) >= FIRST
    heights = np.logical_and.accumulate(np.logical_and.accumulate(coloured, 1), 0).sum(0)
    width = int((heights * np.arange(1, SIDE + 1)).argmax()) + 1
    height = int(heights[width - 1])
    board = tokens.reshape(SIDE, SIDE)[:height, : width if height else 0]
    return (board - FIRST).astype(np.uint8)


def row(pair: Pair, top: int = 0, left: int = 0) -> tuple[Ids, Ids]:
    """Return the tokens and targets of a pair, both at one place; what pads a target does not count."""
    asked, answer = (tokens_of(grid, top, left) for grid in pair)
    return asked, np.where(answer == PAD, IGNORE, answer).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Change:
    """A symmetry and a permutation of colours, of which 0 stays."""

    symmetry: int
    colours: tuple[int, ...]

    def apply(self, grid: Grid) -> Grid:
        """Return a grid changed."""
        return np.array(self.colours, np.uint8)[turned(grid, self.symmetry)]

    def undo(self, grid: Grid) -> Grid:
        """Return the grid that gives this one."""
        return np.argsort(np.array(self.colours)).astype(np.uint8)[turned(grid, INVERSE[self.symmetry])]


SAME: Final = Change(0, tuple(range(COLOURS)))


@dataclass(frozen=True)
class Puzzle:
    """A task of ARC: pairs that show the rule, and pairs to solve by it."""

    name: str
    shown: Sequence[Pair]
    asked: Sequence[Pair]

    @cached_property
    def _grids(self) -> list[Grid]:
        return [grid for pair in (*self.shown, *self.asked) for grid in pair]

    def changes(self, seed: int, count: int) -> list[Change]:
        """Return no change, then up to `count` different ones that each give another puzzle."""
        words, found = Words(seed, "arc", "changes", self.name), [SAME]
        trials = _TRIALS * count
        symmetries = words.below(SYMMETRIES, trials)
        colours = np.concatenate([np.zeros((trials, 1), np.int64), words.order(trials, COLOURS - 1) + 1], 1)
        flat = [self._flat(which) for which in range(SYMMETRIES)]
        seen = {self._key(flat, SAME)}
        for which, permutation in zip(symmetries.tolist(), colours.tolist(), strict=True):
            if len(found) > count:
                break
            change = Change(which, tuple(permutation))
            key = self._key(flat, change)
            if key not in seen:
                seen.add(key)
                found.append(change)
        return found

    def _flat(self, which: int) -> tuple[bytes, Grid]:
        grids = [turned(grid, which) for grid in self._grids]
        return bytes(side for grid in grids for side in grid.shape), np.concatenate([grid.ravel() for grid in grids])

    @staticmethod
    def _key(flat: Sequence[tuple[bytes, Grid]], change: Change) -> bytes:
        shapes, cells = flat[change.symmetry]
        return shapes + np.array(change.colours, np.uint8)[cells].tobytes()


def best(grids: Iterable[Grid], count: int) -> Iterator[Grid]:
    """Yield the grids that occur most often, up to `count`; of equally frequent ones the earlier."""
    votes: Counter[tuple[tuple[int, ...], bytes]] = Counter((grid.shape, grid.tobytes()) for grid in grids)
    for (shape, cells), _ in votes.most_common(count):
        yield np.frombuffer(cells, np.uint8).reshape(shape)
