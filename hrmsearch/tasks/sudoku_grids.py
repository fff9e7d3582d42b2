"""Sudoku as arrays: cells hold 0 for a blank or a digit from 1 on, row by row; n is the side, box x box the boxes."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hrmsearch.tasks.words import Words

Cells = NDArray[np.int64]


@cache
def peers(box: int) -> tuple[tuple[int, ...], ...]:
    """Return for each cell the others in its row, column and box."""
    n = box * box
    units = [(i // n, i % n, i // n // box * box + i % n // box) for i in range(n * n)]
    return tuple(
        tuple(j for j, other in enumerate(units) if i != j and any(a == b for a, b in zip(own, other, strict=True)))
        for i, own in enumerate(units)
    )


def is_solution(grid: Cells, box: int) -> bool:
    """Return whether every row, column and box of a grid holds every digit."""
    n = box * box
    return set(grid.tolist()) == set(range(1, n + 1)) and all(
        grid[i] != grid[j] for i, others in enumerate(peers(box)) for j in others
    )


def solutions(cells: Cells, box: int, most: int = 2, preferred: Cells | None = None) -> list[Cells]:
    """Return up to `most` grids that agree with the given cells.

    Cells are filled by backtracking, those with the fewest candidates first. preferred: [cells, n], in which order each
    cell tries digits.
    """
    n, around = box * box, peers(box)
    grid, found = cells.tolist(), list[Cells]()
    order = preferred.tolist() if preferred is not None else [list(range(1, n + 1))] * (n * n)

    def candidates(i: int) -> list[int]:
        taken = {grid[j] for j in around[i]}
        return [digit for digit in order[i] if digit not in taken]

    def search() -> None:
        blanks = [(candidates(i), i) for i in range(n * n) if grid[i] == 0]
        if not blanks:
            found.append(np.array(grid, np.int64))
            return
        digits, i = min(blanks, key=lambda pair: len(pair[0]))
        for digit in digits:
            grid[i] = digit
            search()
            if len(found) == most:
                break
        grid[i] = 0

    if all(grid[i] == 0 or grid[i] not in {grid[j] for j in others} for i, others in enumerate(around)):
        search()
    return found


@cache
def every_grid(box: int) -> Cells:
    """Return all solved grids, [grids, cells]: 288 of side 4."""
    return np.array(solutions(np.zeros(box**4, np.int64), box, most=1 << 30))


def solved(words: Words, rows: int, box: int) -> Cells:
    """Draw solved grids: of side 4 uniformly, else as random orders of digits solve an empty one."""
    n = box * box
    if box == 2:
        grids = every_grid(box)
        return grids[words.below(len(grids), rows)]
    orders = words.order(rows, n * n, n) + 1
    blank = np.zeros(n * n, np.int64)
    return np.array([solutions(blank, box, 1, order)[0] for order in orders]).reshape(rows, n * n)


def puzzles(words: Words, grids: Cells, box: int, givens: int) -> Cells:
    """Blank cells of solved grids in random order, each if the solution stays the only one, until `givens` are left."""
    order = words.order(*grids.shape)
    if box == 2:
        return _blanked_by_table(grids, order, givens)
    return np.array([_blanked(grid, cells, box, givens) for grid, cells in zip(grids, order, strict=True)])


def _blanked(grid: Cells, order: NDArray[np.intp], box: int, givens: int) -> Cells:
    cells = grid.copy()
    for i in order:
        if np.count_nonzero(cells) <= givens:
            break
        kept, cells[i] = cells[i], 0
        if len(solutions(cells, box)) > 1:
            cells[i] = kept
    return cells


def _blanked_by_table(grids: Cells, order: NDArray[np.intp], givens: int) -> Cells:
    """Do the same for many grids of side 4 at once: a puzzle's solutions are the grids that agree with it."""
    rows, known = np.arange(len(grids)), every_grid(2)
    same = grids[:, None] == known[None]
    there = np.ones(grids.shape, np.bool_)
    for i in order.T:
        asked = there.sum(1) > givens
        tried = there.copy()
        tried[rows, i] = False
        single = (same | ~tried[:, None]).all(-1).sum(1) == 1
        there[rows, i] &= ~(single & asked)
    return np.where(there, grids, 0)


@dataclass(frozen=True, slots=True)
class Symmetry:
    """Changes under which solutions stay solutions, one a row.

    digits: [rows, n + 1], what each digit becomes, a blank itself. cells: [rows, cells], where each new cell is taken.
    """

    digits: Cells
    cells: Cells

    def apply(self, grids: Cells) -> Cells:
        """Return changed grids, [rows, cells]."""
        return np.take_along_axis(self.digits, np.take_along_axis(grids, self.cells, 1), 1)

    def inverse(self) -> "Symmetry":
        """Return the changes that undo these."""
        return Symmetry(np.argsort(self.digits, axis=1), np.argsort(self.cells, axis=1))


def symmetries(words: Words, rows: int, box: int) -> Symmetry:
    """Draw a permutation of digits, a transposition or none, and one of bands, rows in bands, stacks and columns."""
    n = box * box
    digits = np.concatenate([np.zeros((rows, 1), np.int64), words.order(rows, n) + 1], axis=1)
    turned = words.below(2, rows).astype(np.bool_)[:, None, None]
    lines, columns = _lines(words, rows, box), _lines(words, rows, box)
    # new[i, j] = old[lines[i], columns[j]], of the transposed grid where it is turned
    i, j = np.broadcast_arrays(lines[:, :, None], columns[:, None, :])
    return Symmetry(digits, np.where(turned, j * n + i, i * n + j).reshape(rows, n * n))


def _lines(words: Words, rows: int, box: int) -> Cells:
    """Return permutations of lines that keep bands together: [rows, n]."""
    bands, inner = words.order(rows, box), words.order(rows, box, box)
    return (bands[:, :, None] * box + np.take_along_axis(inner, bands[:, :, None], 1)).reshape(rows, box * box)
