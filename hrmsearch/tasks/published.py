"""Puzzles from the folders that HRM's and TRM's data builders write, dealt as their training deals them."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import isqrt
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from hrmsearch.errors import DataError
from hrmsearch.spec.fields import OrNone
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.tasks.arc import Arc
from hrmsearch.tasks.arc_grids import Change
from hrmsearch.tasks.arc_votes import copy_of, pass2
from hrmsearch.tasks.base import IGNORE, Ids, Split
from hrmsearch.tasks.boards import Rows, found
from hrmsearch.tasks.drawing import Drawing
from hrmsearch.tasks.generated import Generated, GeneratedData
from hrmsearch.tasks.maze import Maze
from hrmsearch.tasks.puzzle_files import NAMES, PuzzleSet, read, read_names
from hrmsearch.tasks.sudoku import Sudoku
from hrmsearch.tasks.words import Words

#: the sides of boards, where a spec does not say the window
_SIDES: Final = {"sudoku": 9, "maze": 30, "arc": 30}


class Published(Generated):
    """Puzzles in the published layout: Sudoku, mazes or ARC with their changed copies.

    folder: holds `train` and `test` with a `dataset.json` each, here or below HRMSEARCH_DATA. board: what the puzzles
    are. identifiers: how many numbers puzzles may have, `num_puzzle_identifiers`. Every epoch takes one random puzzle
    of each group, and examples of it in random order, as many as the smallest puzzle of the group has; `fresh: false`
    takes the same in every epoch. The published codes choose by test: here `valid_groups` groups of it, drawn by
    `seed`, are valid, and the others test, or the first `test_groups` of them. copies: score the first so many puzzles
    of each group only. Source: sapientinc/HRM, puzzle_dataset.py.
    """

    kind: Literal["published"] = "published"
    idle: ClassVar[frozenset[str]] = frozenset({"loader", "best", "folder"})
    whole: ClassVar[bool] = True
    folder: str
    board: Literal["sudoku", "maze", "arc"] = "sudoku"
    window: PositiveInt = 81
    identifiers: PositiveInt = 1
    valid_groups: PositiveInt = 100
    test_groups: Annotated[PositiveInt | None, OrNone()] = None
    copies: Annotated[PositiveInt | None, OrNone()] = None
    best: Literal["pass2", "exact", "accuracy", "loss"] = Field("exact")  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="before")
    @classmethod
    def _window_of_board(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        fields = cast("dict[str, Any]", data)
        side = _SIDES.get(fields.get("board", "sudoku"))
        return {"window": side**2, **fields} if side else fields

    @model_validator(mode="after")
    def _is_a_board(self) -> Self:
        side = isqrt(self.window)
        if side**2 != self.window or (self.board == "arc" and side != _SIDES["arc"]):
            raise FieldProblem(f"{self.window} tokens are no board of {self.board}", "window")
        if self.board == "sudoku" and side not in (4, 9):
            raise FieldProblem("a Sudoku has 81 cells, or 16", "window")
        if self.board == "maze" and not 5 <= side <= 100:
            raise FieldProblem("a maze has sides of 5 to 100 cells", "window")
        if self.best == "pass2" and self.board != "arc":
            raise FieldProblem("only puzzles of arc are solved by votes; say exact", "best")
        return self

    @cached_property
    def _like(self) -> Sudoku | Maze | Arc:
        """The task whose rows look the same."""
        if self.board == "arc":
            return Arc.model_validate({"kind": "arc"})
        side = isqrt(self.window)
        if self.board == "maze":
            return Maze.model_validate({"kind": "maze", "size": side})
        return Sudoku.model_validate({"kind": "sudoku", "size": side, "givens": 0})

    @property
    def vocabulary(self) -> int:
        """That of the board."""
        return self._like.vocabulary

    @property
    def causal(self) -> bool:
        """False: a board is seen whole."""
        return False

    @property
    def puzzles(self) -> int:
        """What the files number puzzles by."""
        return self.identifiers

    @property
    def drawing(self) -> Drawing:
        """That of the board."""
        return self._like.drawing

    @property
    def label(self) -> str:
        """The name of the folder."""
        return Path(self.folder).name

    # -- rows ----------------------------------------------------------------------------------------------------------

    def load(self) -> GeneratedData:
        """Read the files, draw valid from test, and see that the copies that vote have names."""
        if self.takes_votes:
            _ = self._changes
        return super().load()

    def sections(self) -> Mapping[str, Sequence[Rows]]:
        """Return one section per split; how many rows each has, the files say."""
        counts = {"train": sum(one.rows_of_epoch for one in self._sets["train"])}
        counts |= {split: sum(map(len, which)) for split, which in self._scored.items()}
        return {split: [Rows(count, self.window)] for split, count in counts.items()}

    def draw(self, words: Words, section: Rows, split: str, rows: int) -> tuple[Ids, Ids, Ids]:
        """Return the first rows of a split; of train, those of an epoch that words draw."""
        sets = self._sets["train" if split == "train" else "test"]
        which = [one.drawn(words) for one in sets] if split == "train" else self._scored[split]
        parts = zip(*(one.rows(some) for one, some in zip(sets, which, strict=True)), strict=True)
        tokens, targets, puzzles = (np.concatenate(part)[:rows] for part in parts)
        return tokens, targets, puzzles

    def _witness(self, number: int) -> tuple[Ids, ...]:
        """Return checksums of all that is trained on."""
        return tuple(np.array(one.sums, np.uint32).astype(np.int32) for one in self._sets["train"])

    @cached_property
    def _sets(self) -> dict[str, tuple[PuzzleSet, ...]]:
        """The sets of train and test; raises DataError where they are not what the spec says."""
        folder = found(self.folder)
        return {split: self._read(folder / split) for split in ("train", "test")}

    def _read(self, folder: Path) -> tuple[PuzzleSet, ...]:
        sizes, sets = read(folder)
        wanted = {"seq_len": self.window, "vocab_size": self.vocabulary, "num_puzzle_identifiers": self.identifiers}
        hints = {"seq_len": "task.window", "vocab_size": "task.board", "num_puzzle_identifiers": "task.identifiers"}
        for name, value in wanted.items():
            if (says := getattr(sizes, name)) != value:
                raise DataError(f"{folder / 'dataset.json'}: {name} is {says}, by {hints[name]} it would be {value}")
        return sets

    @cached_property
    def _scored(self) -> dict[str, list[NDArray[np.int64]]]:
        """The examples of valid and test, by set."""
        sets = self._sets["test"]
        count = sum(one.groups for one in sets)
        if count <= self.valid_groups:
            message = f"has {count} groups in test, {self.valid_groups} of which valid would take; lower"
            raise DataError(f"{self.folder}: {message} task.valid_groups")
        valid = np.zeros(count, np.bool_)
        valid[Words(self.seed, self.kind, "valid").order(count)[: self.valid_groups]] = True
        test = ~valid
        if self.test_groups is not None:
            test &= np.cumsum(test) <= self.test_groups
        return {"valid": self._examples(sets, valid), "test": self._examples(sets, test)}

    def _examples(self, sets: Sequence[PuzzleSet], groups: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
        ends = np.cumsum([one.groups for one in sets])
        parts = np.split(groups, ends[:-1])
        return [one.examples_of(np.flatnonzero(part), self.copies) for one, part in zip(sets, parts, strict=True)]

    def guesses(self, split: Split) -> Mapping[str, Mapping[str, float]]:
        """Return what copying the input achieves."""
        asked = split.targets != IGNORE
        same = split.tokens == split.targets
        exact = (same | ~asked).all(axis=1)[asked.any(axis=1)]
        accuracy, whole = float(same[asked].mean()), float(exact.mean())
        return {"input copied": {"accuracy": accuracy, "exact": whole}}

    # -- votes ---------------------------------------------------------------------------------------------------------

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of the board; boards of arc are judged by votes where the folder names their copies."""
        return ("pass2", "exact", "accuracy") if self.board == "arc" else ("accuracy", "exact")

    @property
    def takes_votes(self) -> bool:
        """Whether copies of a puzzle vote: those of arc."""
        return self.board == "arc"

    @cached_property
    def _changes(self) -> list[tuple[str, Change]]:
        """Of each identifier, the puzzle that it is of and how that was changed."""
        folder = found(self.folder)
        try:
            return [copy_of(name) for name in read_names(folder, self.identifiers)]
        except ValueError as error:
            raise DataError(f"{folder / NAMES}: {error}") from error

    def voted(self, split: Split, predicted: NDArray[Any]) -> Mapping[str, float]:
        """Return the mean over puzzles of the share of their boards that are solved by one of two answers."""
        return {"pass2": pass2(split, predicted, self._changes.__getitem__)}
