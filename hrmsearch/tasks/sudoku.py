"""Sudoku, generated or from a file, as HRM and TRM are trained on it: every cell is a target, the givens too.

A row is a puzzle, cell by cell: token 0 is padding, which does not occur, 1 a blank, and d + 1 the digit d.
"""

import csv
import gzip
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveInt, model_validator

from hrmsearch.errors import DataError
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.tasks.base import Ids, Split
from hrmsearch.tasks.boards import Boards, Rows, found
from hrmsearch.tasks.drawing import Drawing
from hrmsearch.tasks.sudoku_grids import Cells, is_solution, puzzles, solved, symmetries
from hrmsearch.tasks.words import Words


class Sudoku(Boards):
    """Grids of side 9 or 4 that have one solution.

    size: the side. givens: how many cells a generated puzzle shows, or the fewest that leave one solution: the fewer,
    the harder. file: a CSV of the published layout (source, question, answer, rating; `.gz` too), instead of generated
    ones, in this folder or below HRMSEARCH_DATA; rating: the least rating of puzzles from it. fresh: training puzzles
    are drawn anew in every epoch (generated) or stay the same; augment: they are changed in every epoch by permutations
    of digits, bands, stacks, rows and columns, and by transposition.
    """

    kind: Literal["sudoku"] = "sudoku"
    size: Literal[4, 9] = 9
    window: PositiveInt = 81
    givens: NonNegativeInt = 30
    rating: NonNegativeInt = 0
    wider: ClassVar[str] = "take fewer givens or size 9"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"size": 4, "window": 16, "givens": 6, "train_rows": 2048, "fresh": True, "augment": False},
    }

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.givens > self.window:
            raise FieldProblem(f"a grid of side {self.size} has {self.window} cells to show", "givens")
        if self.rating and self.file is None:
            raise FieldProblem("only puzzles of a file have ratings; leave this out, or name a file", "rating")
        return self

    @property
    def vocabulary(self) -> int:
        """Padding, the blank and the digits."""
        return self.size + 2

    @property
    def box(self) -> int:
        """The side of a box."""
        return 2 if self.size == 4 else 3

    @property
    def drawing(self) -> Drawing:
        """Digits in boxes."""
        marks = (" ", ".", *map(str, range(1, self.size + 1)))
        return Drawing(self.size, marks, (None,) * self.vocabulary, self.box, blank=(0, 1))

    def changed(self, words: Words, tokens: Ids, targets: Ids) -> tuple[Ids, Ids]:
        """Return puzzles under drawn symmetries."""
        changes = symmetries(words, len(tokens), self.box)
        return _tokens(changes.apply(_digits(tokens))), _tokens(changes.apply(_digits(targets)))

    def draw(self, words: Words, section: Rows, split: str, rows: int) -> tuple[Ids, Ids]:
        """Return puzzles of a split and their solutions."""
        if self.file is not None:
            return self._read(words, split, rows)
        grids = solved(words, rows, self.box)
        shown = puzzles(words, grids, self.box, self.givens)

        def attempt(others: NDArray[np.intp]) -> NDArray[np.bool_]:
            # a puzzle of another split is changed until it is one of this
            change = symmetries(words, len(others), self.box)
            shown[others], grids[others] = change.apply(shown[others]), change.apply(grids[others])
            return self.belongs(_tokens(shown[others]), split)

        self.until_ours(split, np.flatnonzero(~self.belongs(_tokens(shown), split)), attempt)
        return _tokens(shown), _tokens(grids)

    def _read(self, words: Words, split: str, rows: int) -> tuple[Ids, Ids]:
        assert self.file is not None
        questions, answers, ratings = read_csv(self.file, self.box)
        which = np.flatnonzero(self.belongs(_tokens(questions), split) & (ratings >= self.rating))
        if len(which) < rows:
            what = f"{len(which)} puzzles for {split} of rating {self.rating} or more"
            raise DataError(f"{self.file}: has {what}, {rows} are asked; lower task.{split}_rows or task.rating")
        which = which[words.order(len(which))[:rows]]
        return _tokens(questions[which]), _tokens(answers[which])

    def guesses(self, split: Split) -> Mapping[str, Mapping[str, float]]:
        """Return what copying the givens achieves, with a random digit in each blank."""
        blanks: NDArray[np.int64] = np.sum(split.tokens <= 1, axis=1)
        shown = float(np.mean(split.tokens > 1))
        exact = float(np.mean(float(self.size) ** -blanks))
        return {"givens": {"accuracy": shown + (1.0 - shown) / self.size, "exact": exact}}


def _tokens(cells: Cells) -> Ids:
    return (cells + 1).astype(np.int32)


def _digits(tokens: Ids) -> Cells:
    return tokens.astype(np.int64) - 1


@cache
def read_csv(file: str, box: int) -> tuple[Cells, Cells, NDArray[np.int64]]:
    """Return the questions, answers and ratings of a CSV of the published layout.

    Raises DataError, with the line, for what is no puzzle with its solution.
    """
    path = found(file)
    rows = list(_lines(path, box))
    if not rows:
        raise DataError(f"{path}: holds no puzzle")
    questions, answers, ratings = zip(*rows, strict=True)
    return np.array(questions), np.array(answers), np.array(ratings, np.int64)


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
