"""Puzzles on a square board: what Sudoku and mazes share.

A row is a board, cell by cell, and every cell is a target. Which split a puzzle belongs to follows from the puzzle, by
a checksum, so no run trains on one that it is scored on.
"""

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self, cast
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt, model_validator

from hrmsearch.errors import DataError
from hrmsearch.spec.fields import OrNone
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.tasks.base import Ids, Split
from hrmsearch.tasks.drawing import Drawing
from hrmsearch.tasks.generated import Generated
from hrmsearch.tasks.words import Words

#: of 16 puzzles one is for valid and one for test
_SHARES: Final = {"valid": (0,), "test": (1,), "train": tuple(range(2, 16))}
#: so many boards in a row, none of them of a split, say that the split has none
_VAIN: Final = 10_000


@dataclass(frozen=True, slots=True)
class Rows:
    """Puzzles of a split."""

    rows: int
    tokens: int


class Boards(Generated):
    """Boards of a side.

    file: read puzzles from here, in this folder or below HRMSEARCH_DATA, instead of generating them. fresh: training
    puzzles are drawn anew in every epoch (generated) or stay the same; augment: they are changed in every epoch by
    changes under which solutions stay solutions. wider: a ClassVar, what to set where too few boards differ.
    """

    idle: ClassVar[frozenset[str]] = frozenset({"loader", "best"})
    wider: ClassVar[str]
    size: int
    window: PositiveInt
    file: Annotated[str | None, OrNone()] = None
    train_rows: PositiveInt = 1000
    valid_rows: PositiveInt = 256
    test_rows: PositiveInt = 256
    fresh: bool = False
    augment: bool = True
    best: Literal["exact", "accuracy", "loss"] = "exact"

    @model_validator(mode="before")
    @classmethod
    def _window_of_size(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        fields = cast("dict[str, Any]", data)
        side = fields.get("size", cls.model_fields["size"].default)
        return {"window": side * side, **fields} if isinstance(side, int) else fields

    @model_validator(mode="after")
    def _is_a_board(self) -> Self:
        if self.window != self.size**2:
            raise FieldProblem(f"a board of side {self.size} has {self.size**2} cells", "window")
        if self.file is not None and self.fresh:
            raise FieldProblem("a file has the puzzles that it has; say fresh: false", "fresh")
        return self

    @property
    def causal(self) -> bool:
        """False: a board is seen whole."""
        return False

    @property
    def puzzles(self) -> int:
        """One: puzzles are not told apart, all have the number 0."""
        return 1

    @property
    @abstractmethod
    def drawing(self) -> Drawing:
        """How people see a board."""

    def sections(self) -> Mapping[str, Sequence[Rows]]:
        """Return one section per split."""
        rows = {"train": self.train_rows, "valid": self.valid_rows, "test": self.test_rows}
        return {name: [Rows(count, self.window)] for name, count in rows.items()}

    @property
    def renews(self) -> bool:
        """Whether epochs differ: by new puzzles or by changes of the old ones."""
        return self.fresh or self.augment

    def renewed(self, rows: Sequence[Split], *key: int) -> Sequence[Split]:
        """Return the fixed training puzzles, changed as a key says."""
        (split,) = rows
        tokens, targets = self.changed(Words(self.seed, self.kind, "augment", *key), split.tokens, split.targets)
        # on a small board a change may give a puzzle of another split
        ours = self.belongs(tokens, "train")[:, None]
        return [Split(np.where(ours, tokens, split.tokens), np.where(ours, targets, split.targets), split.puzzles)]

    @abstractmethod
    def changed(self, words: Words, tokens: Ids, targets: Ids) -> tuple[Ids, Ids]:
        """Return puzzles and their solutions, each changed at random so that it stays a puzzle with its solution."""

    def belongs(self, tokens: Ids, split: str) -> NDArray[np.bool_]:
        """Return which puzzles belong to a split: a checksum of the puzzle says so."""
        sums = np.array([crc32(row.astype(np.uint8).tobytes()) % 16 for row in tokens], np.int64)
        return np.isin(sums, _SHARES[split])

    def until_ours(
        self, split: str, rows: NDArray[np.intp], attempt: Callable[[NDArray[np.intp]], NDArray[np.bool_]]
    ) -> None:
        """Attempt some rows of a split again and again, until each holds a board that belongs to it.

        attempt: gives rows new boards and returns which of these belong. Raises DataError where so many boards in a row
        do not that the split must be taken to have none.
        """
        vain = 0
        while len(rows):
            ours = attempt(rows)
            vain = 0 if ours.any() else vain + len(rows)
            if vain >= _VAIN:
                message = f"{_VAIN:,} boards of side {self.size} in a row had none for {split}"
                raise DataError(f"task {self.kind}: {message}; {self.wider}")
            rows = rows[~ours]


def found(file: str) -> Path:
    """Return the path of a data file or folder, here or below HRMSEARCH_DATA; raises DataError where there is none."""
    places = [Path(file), *([Path(root) / file] if (root := os.environ.get("HRMSEARCH_DATA")) else [])]
    for path in places:
        if path.exists():
            return path
    raise DataError(f"{file}: no such file, neither here nor below HRMSEARCH_DATA")
