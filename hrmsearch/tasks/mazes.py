"""Mazes as arrays [rows, side, side] of the published codes: 1 wall, 2 free, 3 start, 4 goal, 5 path."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hrmsearch.tasks.words import Words

WALL, FREE, START, GOAL, PATH = 1, 2, 3, 4, 5
Boards = NDArray[np.integer[Any]]
Flags = NDArray[np.bool_]
#: one step up, left, right or down, in the order in which paths prefer them
_STEPS: Final = ((-1, 0), (0, -1), (0, 1), (1, 0))
#: no board has so many cells
_FAR: Final = 1 << 30


def distances(free: Flags, start: Flags) -> Boards:
    """Return how many steps each free cell is from a start, [rows, side, side]; -1 where no way leads."""
    found = np.where(start, 0, -1).astype(np.int64)
    front, steps = start & free, 0
    while front.any():
        steps += 1
        front = _beside(front) & free & (found < 0)
        found[front] = steps
    return found


def _beside(cells: Flags) -> Flags:
    """Return the cells next to some."""
    wide = np.pad(cells, ((0, 0), (1, 1), (1, 1)))
    return wide[:, :-2, 1:-1] | wide[:, 2:, 1:-1] | wide[:, 1:-1, :-2] | wide[:, 1:-1, 2:]


def path(away: Boards, goal: NDArray[np.int64]) -> Flags:
    """Return the cells between starts and goals on one shortest path each, the one that `_STEPS` prefers from the goal.

    away: distances from the starts. goal: [rows, 2], where goals are; a way has to lead there.
    """
    rows, side = np.arange(len(away)), away.shape[1]
    wide = np.pad(np.where(away < 0, _FAR, away), ((0, 0), (1, 1), (1, 1)), constant_values=_FAR)
    marked = np.zeros((len(away), side, side), np.bool_)
    y, x = goal[:, 0].copy(), goal[:, 1].copy()
    for _ in range(int(away[rows, y, x].max(initial=0))):
        beside = np.stack([wide[rows, y + 1 + dy, x + 1 + dx] for dy, dx in _STEPS], 1)
        which = beside.argmin(1)
        going = away[rows, y, x] > 1
        step = np.array(_STEPS)[which]
        y, x = np.where(going, y + step[:, 0], y), np.where(going, x + step[:, 1], x)
        marked[rows[going], y[going], x[going]] = True
    return marked


def solved(boards: Boards) -> Boards:
    """Return mazes with the cells of a shortest path from start to goal marked; each has one of both, and a way."""
    goal = np.argwhere(boards == GOAL)[:, 1:]
    return np.where(path(distances(boards != WALL, boards == START), goal), PATH, boards)


def is_solved(boards: Boards, targets: Boards) -> Flags:
    """Return which targets are their mazes with a shortest path from start to goal marked, whichever one."""
    whole = np.isin(boards, (WALL, FREE, START, GOAL)).all((1, 2))
    ends = ((boards == START).sum((1, 2)) == 1) & ((boards == GOAL).sum((1, 2)) == 1)
    marked = targets == PATH
    kept = (np.where(marked, FREE, targets) == boards).all((1, 2))
    fits = whole & ends & kept
    shortest = np.full(len(boards), -1)
    if fits.any():
        ours, start, goal = boards[fits], boards[fits] == START, boards[fits] == GOAL
        anywhere = distances(ours != WALL, start)[goal]
        along = distances(marked[fits] | start | goal, start)[goal]
        right = (along > 0) & (along == anywhere) & (marked[fits].sum((1, 2)) == anywhere - 1)
        shortest[np.flatnonzero(fits)] = right
    return shortest == 1


# -- generating --------------------------------------------------------------------------------------------------------


@cache
def _doors(n: int) -> NDArray[np.int64]:
    """Return the walls between n x n rooms, [walls, 2 rooms]."""
    rooms = np.arange(n * n).reshape(n, n)
    across = np.stack([rooms[:, :-1].ravel(), rooms[:, 1:].ravel()], 1)
    down = np.stack([rooms[:-1].ravel(), rooms[1:].ravel()], 1)
    return np.concatenate([across, down])


def carved(words: Words, rows: int, side: int, loops: float) -> Boards:
    """Draw mazes without start and goal: rooms joined by a random tree, and a share of the other walls opened.

    Rooms stand on odd rows and columns; a board of even side has a second wall at its end.
    """
    n = (side - 1) // 2
    doors = _doors(n)
    order, opened = words.order(rows, len(doors)), words.uniform(rows, len(doors)) < loops
    boards = np.full((rows, side, side), WALL, np.int64)
    boards[:, 1 : 2 * n : 2, 1 : 2 * n : 2] = FREE
    for board, walls, more in zip(boards, order, opened, strict=True):
        more[list(_tree(doors, walls.tolist(), n * n))] = True
        first, second = doors[more].T
        # the wall between two rooms stands at the mean of their places
        board[1 + first // n + second // n, 1 + first % n + second % n] = FREE
    return boards


def _tree(doors: NDArray[np.int64], order: list[int], rooms: int) -> Iterator[int]:
    """Yield the walls, in an order, that join what was apart (Kruskal)."""
    parent = list(range(rooms))

    def root(room: int) -> int:
        while parent[room] != room:
            parent[room] = parent[parent[room]]
            room = parent[room]
        return room

    pairs = doors.tolist()
    for wall in order:
        first, second = map(root, pairs[wall])
        if first != second:
            parent[first] = second
            yield wall


class Poses:
    """Mazes with a start each, in a random room, and goals to choose from in random order.

    A goal is at least `least` steps away, or as far as any room is.
    """

    def __init__(self, words: Words, boards: Boards, least: int) -> None:
        rows = np.arange(len(boards))
        self._n: int = (boards.shape[1] - 1) // 2
        start = words.below(self._n**2, len(boards))
        self._boards = boards.copy()
        self._boards[rows, *self._cell(start)] = START
        every: NDArray[Any] = np.arange(self._n**2)
        rooms = self._cell(every)
        away = distances(boards != WALL, self._boards == START)[:, *rooms]
        draws = words.uniform(*away.shape)
        fit = away >= np.minimum(least, away.max(1))[:, None]
        fit[rows, start] = False
        self._goals: NDArray[np.intp] = np.where(fit, draws, 2.0).argsort(axis=1)
        self._count: NDArray[np.intp] = fit.sum(1)

    def _cell(self, room: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return 1 + 2 * (room // self._n), 1 + 2 * (room % self._n)

    @property
    def goals(self) -> int:
        """The most goals that a maze has to choose from."""
        return int(self._count.max(initial=0))

    def take(self, rows: NDArray[np.intp], number: int) -> Boards:
        """Return some of the mazes with their goal of a number, counted round and round."""
        goal: Any = self._goals[rows, number % self._count[rows]]
        boards = self._boards[rows]
        boards[np.arange(len(rows)), *self._cell(goal)] = GOAL
        return boards
