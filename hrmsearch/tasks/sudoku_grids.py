"""Sudoku as arrays: cells hold 0 for a blank or a digit from 1 on, row by row; n is the side, box x box the boxes."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hrmsearch.tasks.words import Words

Cells = NDArray[np.int64]


def is_solution(grid: Cells, box: int) -> bool:
    """Return whether every row, column and box of a grid holds every digit."""
    n = box * box
    lines = grid.reshape(n, n)
    parts = lines.reshape(box, box, box, box).swapaxes(1, 2).reshape(n, n)
    return bool((np.sort([lines, lines.T, parts], axis=-1) == np.arange(1, n + 1)).all())


def solutions(cells: Cells, box: int, most: int = 2, preferred: Cells | None = None) -> list[Cells]:
    """Return up to `most` grids that agree with the given cells.

    Cells are filled by backtracking, those with the fewest candidates first. preferred: [cells, n], in which order each
    cell tries digits.
    """
    search = _Search(cells.tolist(), box, most, None if preferred is None else preferred.tolist())
    if search.consistent:
        search.run()
    return [np.array(grid, np.int64) for grid in search.found]


class _Search:
    """Backtracking over bit masks of the digits that rows, columns and boxes hold."""

    def __init__(self, grid: list[int], box: int, most: int, preferred: list[list[int]] | None) -> None:
        n = box * box
        self._grid, self._most = grid, most
        self._order = preferred or [list(range(1, n + 1))] * (n * n)
        self._full = (1 << (n + 1)) - 2
        self._taken = [0] * (3 * n)
        # the row, column and box of each cell, as places in `taken`
        self._units = [(i // n, n + i % n, 2 * n + i // n // box * box + i % n // box) for i in range(n * n)]
        self._blanks = [i for i in range(n * n) if grid[i] == 0]
        self.found: list[list[int]] = []
        self.consistent = all(self._put(i, 1 << digit) for i, digit in enumerate(grid) if digit)

    def _put(self, i: int, bit: int) -> bool:
        free = not any(self._taken[unit] & bit for unit in self._units[i])
        for unit in self._units[i]:
            self._taken[unit] |= bit
        return free

    @property
    def cells(self) -> Cells:
        """The grid, with 0 for a blank."""
        return np.array(self._grid, np.int64)

    @property
    def shown(self) -> int:
        """How many cells are given."""
        return len(self._grid) - len(self._blanks)

    def blank(self, i: int) -> None:
        """Blank a cell, if the solution stays the only one: no other digit there leads to any."""
        kept = self._grid[i]
        self._clear(i, 1 << kept)
        if any(self._solves(i, digit) for digit in self._order[i] if digit != kept):
            self._put(i, 1 << kept)
        else:
            self._grid[i] = 0
            self._blanks.append(i)

    def _solves(self, i: int, digit: int) -> bool:
        """Return whether the grid has a solution with a digit in a cell that holds another one."""
        bit = 1 << digit
        if any(self._taken[unit] & bit for unit in self._units[i]):
            return False
        self.found.clear()
        self._put(i, bit)
        self.run()
        self._clear(i, bit)
        return bool(self.found)

    def _clear(self, i: int, bit: int) -> None:
        for unit in self._units[i]:
            self._taken[unit] &= ~bit

    def _narrowest(self) -> tuple[int, int]:
        """Return the place among the blanks of the cell with the fewest candidates, and these as bits."""
        taken, least, best, bits = self._taken, 99, 0, 0
        for place, i in enumerate(self._blanks):
            row, column, part = self._units[i]
            free = self._full & ~(taken[row] | taken[column] | taken[part])
            count = free.bit_count()
            if count < least:
                least, best, bits = count, place, free
                if count <= 1:
                    break
        return best, bits

    def run(self) -> None:
        """Find solutions from here on, until there are enough."""
        if not self._blanks:
            self.found.append(self._grid.copy())
            return
        place, bits = self._narrowest()
        i, self._blanks[place] = self._blanks[place], self._blanks[-1]
        self._blanks.pop()
        for digit in self._order[i]:
            if bits >> digit & 1:
                self._grid[i] = digit
                self._put(i, 1 << digit)
                self.run()
                self._clear(i, 1 << digit)
                if len(self.found) == self._most:
                    break
        self._grid[i] = 0
        self._blanks.append(i)
        self._blanks[place], self._blanks[-1] = self._blanks[-1], self._blanks[place]


@cache
def every_grid(box: int) -> Cells:
    """Return all solved grids, [grids, cells]: 288 of side 4, in an order that no way of searching changes."""
    grids = np.array(solutions(np.zeros(box**4, np.int64), box, most=1 << 30))
    return grids[np.lexsort(grids.T[::-1])]


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
    search = _Search(grid.tolist(), box, 1, None)
    for i in order.tolist():
        if search.shown <= givens:
            break
        search.blank(i)
    return search.cells


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
