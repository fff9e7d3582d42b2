"""Mazes, generated or published, as HRM and TRM are trained on them: mark a shortest path from start to goal.

A row is a board, cell by cell: token 0 is padding, which does not occur, 1 a wall, 2 a free cell, 3 the start, 4 the
goal and 5 the path. Every cell is a target. Source: sapientinc/HRM, dataset/build_maze_dataset.py.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from hrmsearch.errors import DataError
from hrmsearch.tasks.base import Ids, Split
from hrmsearch.tasks.boards import Boards, Rows, found
from hrmsearch.tasks.dihedral import SYMMETRIES, places
from hrmsearch.tasks.drawing import Drawing
from hrmsearch.tasks.mazes import Poses, carved, is_solved, solved
from hrmsearch.tasks.puzzle_files import boards
from hrmsearch.tasks.words import Words

#: goals that are tried in a maze
_GOALS: Final = 24


class Maze(Boards):
    """Mazes on a square board, and a shortest path in each.

    size: the side. least: how many steps a generated maze's path has at the least, where the maze is large enough: the
    more, the harder. loops: the share of walls beyond a tree that are open; without any there is one path, with some
    there may be several shortest ones, of which one is the target. file: a folder with the published arrays,
    `train/all__inputs.npy` and so on: its test mazes are the test split. augment: turns and mirrors.
    """

    kind: Literal["maze"] = "maze"
    size: int = Field(default=30, ge=5, le=100)
    window: PositiveInt = 900
    least: NonNegativeInt = 20
    loops: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    wider: ClassVar[str] = "take a larger size, a smaller least or fewer loops"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "hard": {"file": "maze-30x30-hard", "train_rows": 850, "valid_rows": 50, "test_rows": 1000},
        "small": {"size": 9, "window": 81, "least": 8, "train_rows": 2048, "fresh": True, "augment": False},
    }

    @property
    def vocabulary(self) -> int:
        """Padding, wall, free cell, start, goal and path."""
        return 6

    @property
    def drawing(self) -> Drawing:
        """Dark walls and a path of dots."""
        colours = (None, "#30343b", None, "#2e8b57", "#b03a2e", "#f2c14e")
        return Drawing(self.size, (" ", "#", " ", "S", "G", "o"), colours, blank=(0, 2))

    def changed(self, words: Words, tokens: Ids, targets: Ids) -> tuple[Ids, Ids]:
        """Return mazes turned and mirrored."""
        where = places(self.size)[words.below(SYMMETRIES, len(tokens))]
        return np.take_along_axis(tokens, where, 1), np.take_along_axis(targets, where, 1)

    def belongs(self, tokens: Ids, split: str) -> NDArray[np.bool_]:
        """Return which mazes belong to a split; a maze turned or mirrored belongs where the maze does."""
        images = tokens.astype(np.uint8)[:, places(self.size)]
        first = [min(image.tobytes() for image in one) for one in images]
        kept = np.array([np.frombuffer(one, np.uint8) for one in first]).reshape(tokens.shape)
        return super().belongs(kept.astype(np.int32), split)

    def draw(self, words: Words, section: Rows, split: str, rows: int) -> tuple[Ids, Ids]:
        """Return mazes of a split and their solutions."""
        if self.file is not None:
            return self._read(words, split, rows)
        asked = np.zeros((rows, self.size, self.size), np.int64)

        def attempt(others: NDArray[np.intp]) -> NDArray[np.bool_]:
            # goals change until a maze is one of this split, and where none will do another maze is drawn
            poses = Poses(words, carved(words, len(others), self.size, self.loops), self.least)
            left = np.arange(len(others))
            for number in range(min(_GOALS, poses.goals)):
                boards = poses.take(left, number)
                ours = self.belongs(_tokens(boards), split)
                asked[others[left[ours]]] = boards[ours]
                left = left[~ours]
            return ~np.isin(np.arange(len(others)), left)

        self.until_ours(split, np.arange(rows), attempt)
        return _tokens(asked), _tokens(solved(asked))

    def _read(self, words: Words, split: str, rows: int) -> tuple[Ids, Ids]:
        assert self.file is not None
        tokens, targets = read_arrays(self.file, "test" if split == "test" else "train", self.size)
        if split != "test":
            ours = self.belongs(tokens, split)
            tokens, targets = tokens[ours], targets[ours]
        if len(tokens) < rows:
            message = f"has {len(tokens)} mazes for {split}, {rows} are asked; lower task.{split}_rows"
            raise DataError(f"{self.file}: {message}")
        which = words.order(len(tokens))[:rows]
        return tokens[which], targets[which]

    def guesses(self, split: Split) -> Mapping[str, Mapping[str, float]]:
        """Return what copying the maze achieves: every cell but those of the path."""
        same = np.equal(split.tokens, split.targets)
        return {"no path": {"accuracy": float(same.mean()), "exact": float(same.all(axis=1).mean())}}


def _tokens(boards: NDArray[np.integer[Any]]) -> Ids:
    return boards.reshape(len(boards), boards.shape[1] ** 2).astype(np.int32)


@cache
def read_arrays(folder: str, split: str, side: int) -> tuple[Ids, Ids]:
    """Return the inputs and labels of a split in the published layout, i32[N, cells] each.

    Raises DataError, with the file, for arrays that hold no mazes of that side with a shortest path marked in each.
    """
    place = found(folder) / split
    tokens, targets = (
        boards(place / f"all__{name}.npy", side * side).astype(np.int32) for name in ("inputs", "labels")
    )
    if tokens.shape != targets.shape:
        raise DataError(f"{place}: {len(tokens)} inputs and {len(targets)} labels; each maze has one of both")
    square = (len(tokens), side, side)
    wrong = np.flatnonzero(~is_solved(tokens.reshape(square).astype(np.int64), targets.reshape(square)))
    if len(wrong):
        raise DataError(f"{place}: row {wrong[0]} is no maze with a shortest path from start to goal marked")
    return tokens, targets
