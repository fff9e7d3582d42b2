"""Sudoku, generated or from a file, as HRM and TRM are trained on it: every cell is a target, the givens too.

A row is a puzzle, cell by cell: token 0 is padding, which does not occur, 1 a blank, and d + 1 the digit d. Ours: which
split a puzzle belongs to follows from the puzzle, so no run trains on one that it is scored on.
"""

import csv
import gzip
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, cast
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveInt, model_validator

from hrmsearch.errors import DataError
from hrmsearch.spec.fields import OrNone
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.tasks.base import Ids, Split
from hrmsearch.tasks.generated import Generated
from hrmsearch.tasks.sudoku_grids import Cells, is_solution, puzzles, solved, symmetries
from hrmsearch.tasks.words import Words

#: of 16 puzzles one is for valid and one for test
_SHARES = {"valid": (0,), "test": (1,), "train": tuple(range(2, 16))}


@dataclass(frozen=True, slots=True)
class Rows:
    """Puzzles of a split."""

    rows: int
    tokens: int


class Sudoku(Generated):
    """Grids of side 9 or 4 that have one solution.

    size: the side. givens: how many cells a generated puzzle shows, or the fewest that leave one solution: the fewer,
    the harder. file: a CSV of the published layout (source, question, answer, rating; `.gz` too), instead of generated
    ones, in this folder or below HRMSEARCH_DATA; rating: the least rating of puzzles from it. fresh: training puzzles
    are drawn anew in every epoch (generated) or stay the same; augment: they are changed in every epoch by permutations
    of digits, bands, stacks, rows and columns, and by transposition.
    """

    kind: Literal["sudoku"] = "sudoku"
    idle: ClassVar[frozenset[str]] = frozenset({"loader", "best"})
    size: Literal[4, 9] = 9
    window: PositiveInt = 81
    givens: NonNegativeInt = 30
    file: Annotated[str | None, OrNone()] = None
    rating: NonNegativeInt = 0
    train_rows: PositiveInt = 1000
    valid_rows: PositiveInt = 256
    test_rows: PositiveInt = 256
    fresh: bool = False
    augment: bool = True
    best: Literal["exact", "accuracy", "loss"] = "exact"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"size": 4, "window": 16, "givens": 6, "train_rows": 2048, "fresh": True, "augment": False},
    }

    @model_validator(mode="before")
    @classmethod
    def _window_of_size(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        fields = cast("dict[str, Any]", data)
        side = fields.get("size", 9)
        return {"window": side * side, **fields} if isinstance(side, int) else fields

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.window != self.size**2:
            raise FieldProblem(f"a grid of side {self.size} has {self.size**2} cells", "window")
        if self.givens > self.window:
            raise FieldProblem(f"a grid of side {self.size} has {self.window} cells to show", "givens")
        if self.file is not None and self.fresh:
            raise FieldProblem("a file has the puzzles that it has; say fresh: false", "fresh")
        return self

    @property
    def vocabulary(self) -> int:
        """Padding, the blank and the digits."""
        return self.size + 2

    @property
    def causal(self) -> bool:
        """False: a grid is seen whole."""
        return False

    @property
    def puzzles(self) -> int:
        """One: puzzles are not told apart, all have the number 0."""
        return 1

    @property
    def box(self) -> int:
        """The side of a box."""
        return 2 if self.size == 4 else 3

    def sections(self) -> Mapping[str, Sequence[Rows]]:
        """Return one section per split."""
        rows = {"train": self.train_rows, "valid": self.valid_rows, "test": self.test_rows}
        return {name: [Rows(count, self.window)] for name, count in rows.items()}

    def train_set(self, *key: int) -> list[Split]:
        """Return the training puzzles that a key names; those that stay the same are changed by it."""
        if self.fresh or not self.augment:
            return super().train_set(*(key if self.fresh else ()))
        (split,) = super().train_set()
        changes = symmetries(Words(self.seed, self.kind, "augment", *key), len(split), self.box)
        tokens, targets = (_tokens(changes.apply(_digits(ids))) for ids in (split.tokens, split.targets))
        # on a small board a change may give a puzzle of another split
        ours = _belongs(tokens, "train")[:, None]
        return [Split(np.where(ours, tokens, split.tokens), np.where(ours, targets, split.targets), split.puzzles)]

    @property
    def renews(self) -> bool:
        """Whether epochs differ: by new puzzles or by changes of the old ones."""
        return self.fresh or self.augment

    def draw(self, words: Words, section: Rows, split: str, rows: int) -> tuple[Ids, Ids]:
        """Return puzzles of a split and their solutions."""
        if self.file is not None:
            return self._read(words, split, rows)
        grids = solved(words, rows, self.box)
        shown = puzzles(words, grids, self.box, self.givens)
        # a puzzle of another split is changed until it is one of this
        while len(others := np.flatnonzero(~_belongs(_tokens(shown), split))):
            change = symmetries(words, len(others), self.box)
            shown[others], grids[others] = change.apply(shown[others]), change.apply(grids[others])
        return _tokens(shown), _tokens(grids)

    def _read(self, words: Words, split: str, rows: int) -> tuple[Ids, Ids]:
        assert self.file is not None
        questions, answers, ratings = read_csv(self.file, self.box)
        which = np.flatnonzero(_belongs(_tokens(questions), split) & (ratings >= self.rating))
        if len(which) < rows:
            what = f"{len(which)} puzzles for {split} of rating {self.rating} or more"
            raise DataError(f"{self.file}: has {what}, {rows} are asked; lower task.{split}_rows or task.rating")
        which = which[words.order(len(which))[:rows]]
        return _tokens(questions[which]), _tokens(answers[which])

    def guesses(self, split: Split) -> Mapping[str, Mapping[str, float]]:
        """Return what copying the givens achieves, with a random digit in each blank."""
        shown = float(np.mean(split.tokens > 1))
        return {"givens": {"accuracy": shown + (1.0 - shown) / self.size, "exact": 0.0}}


def _tokens(cells: Cells) -> Ids:
    return (cells + 1).astype(np.int32)


def _digits(tokens: Ids) -> Cells:
    return tokens.astype(np.int64) - 1


def _belongs(tokens: Ids, split: str) -> NDArray[np.bool_]:
    """Return which puzzles belong to a split: a checksum of the puzzle says so."""
    sums = np.array([crc32(row.astype(np.uint8).tobytes()) % 16 for row in tokens], np.int64)
    return np.isin(sums, _SHARES[split])


@cache
def read_csv(file: str, box: int) -> tuple[Cells, Cells, NDArray[np.int64]]:
    """Return the questions, answers and ratings of a CSV of the published layout.

    Raises DataError, with the line, for what is no puzzle with its solution.
    """
    path = _found(file)
    rows = list(_lines(path, box))
    if not rows:
        raise DataError(f"{path}: holds no puzzle")
    questions, answers, ratings = zip(*rows, strict=True)
    return np.array(questions), np.array(answers), np.array(ratings, np.int64)


def _found(file: str) -> Path:
    places = [Path(file), *([Path(root) / file] if (root := os.environ.get("HRMSEARCH_DATA")) else [])]
    for path in places:
        if path.is_file():
            return path
    raise DataError(f"{file}: no such file, neither here nor below HRMSEARCH_DATA")


def _lines(path: Path, box: int) -> Iterator[tuple[Cells, Cells, int]]:
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else open(path, newline="") as stream:
            for number, row in enumerate(csv.DictReader(stream), 2):
                yield _puzzle(f"{path}:{number}", row, box)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _puzzle(place: str, row: Mapping[str, str | None], box: int) -> tuple[Cells, Cells, int]:
    try:
        question, answer = (_cells(row[name] or "", box) for name in ("question", "answer"))
        rating = int(row.get("rating") or 0)
    except (KeyError, ValueError) as error:
        raise DataError(f"{place}: no puzzle of the published layout ({error})") from error
    if not is_solution(answer, box) or ((question != 0) & (question != answer)).any():
        raise DataError(f"{place}: the answer is no solution of the question")
    return question, answer, rating


def _cells(text: str, box: int) -> Cells:
    cells = np.array([int(mark) for mark in text.replace(".", "0")], np.int64)
    if len(cells) != box**4:
        raise ValueError(f"{len(cells)} cells instead of {box**4}")
    return cells
