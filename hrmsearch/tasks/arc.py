"""ARC-AGI as HRM and TRM are trained on it: a puzzle has a number for each of its changed copies, and copies vote."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Final, Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from hrmsearch.errors import DataError
from hrmsearch.tasks.arc_files import read
from hrmsearch.tasks.arc_grids import COLOURS, FIRST, PAD, SIDE, Change, Pair, Puzzle, row
from hrmsearch.tasks.arc_votes import pass2
from hrmsearch.tasks.base import Ids, Split
from hrmsearch.tasks.boards import Rows
from hrmsearch.tasks.drawing import Drawing
from hrmsearch.tasks.generated import Generated
from hrmsearch.tasks.words import Words

#: of so many puzzles to be solved one is for valid
_SHARE: Final = 4
_COLOURS: Final = (
    *("#000000", "#1e93ff", "#f93c31", "#4fcc30", "#ffdc00"),
    *("#999999", "#e53aa3", "#ff851b", "#87d8f1", "#921231"),
)
_Made = tuple[Ids, Ids, int]


class Arc(Generated):
    """Puzzles of ARC-AGI.

    source: an archive or a folder with `training/*.json` and `evaluation/*.json`, here or below HRMSEARCH_DATA. also:
    files `*_challenges.json`, each with its `*_solutions.json`, whose puzzles join those for training. training,
    evaluation: how many puzzles of each to take. changes: how many changed copies a puzzle has beside itself, by
    symmetries of the square and permutations of colours but 0; each copy has a number of its own for the puzzle
    embedding. Every epoch draws `examples` pairs of each puzzle, each of a random copy, and moves them about the board
    where `translate` says so. What is asked of evaluation is asked of the puzzle and of `votes` copies; `pass2` counts
    where the right grid is among the two that most of them give.
    Source: Wang et al. 2025, arXiv:2506.21734; sapientinc/HRM, dataset/build_arc_dataset.py.
    """

    kind: Literal["arc"] = "arc"
    idle: ClassVar[frozenset[str]] = frozenset({"loader", "best"})
    whole: ClassVar[bool] = True
    window: Literal[900] = 900
    source: str = "arc/arc-agi-1.tar"
    also: tuple[str, ...] = ()
    training: PositiveInt = 400
    evaluation: int = Field(default=400, ge=1, le=400)
    changes: NonNegativeInt = 100
    examples: int = Field(default=4, ge=1, le=8)
    translate: bool = True
    votes: int = Field(default=8, ge=0, le=16)
    best: Literal["pass2", "exact", "accuracy", "loss"] = "pass2"  # pyright: ignore[reportIncompatibleVariableOverride]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "hrm1": {"also": ("arc/arc-agi_concept_challenges.json",), "training": 560, "changes": 1000},
        "hrm2": {"source": "arc/arc-agi-2.tar", "training": 1000, "evaluation": 120, "changes": 1000},
        "small": {"training": 40, "evaluation": 40, "changes": 8, "votes": 2},
    }

    @property
    def vocabulary(self) -> int:
        """Padding, the end and ten colours."""
        return FIRST + COLOURS

    @property
    def causal(self) -> bool:
        """False: a board is seen whole."""
        return False

    @property
    def puzzles(self) -> int:
        """0 for none, then one for every puzzle and every copy of it."""
        return 1 + (self.training + self.evaluation) * (1 + self.changes)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Puzzles solved by votes, then right cells and right boards."""
        return ("pass2", "exact", "accuracy")

    @property
    def drawing(self) -> Drawing:
        """Colours; the end is a dot."""
        return Drawing(SIDE, (" ", ".", *map(str, range(COLOURS))), (None, None, *_COLOURS), pad=PAD)

    def sections(self) -> Mapping[str, Sequence[Rows]]:
        """Return one section per split; how many rows valid and test have, files say."""
        counts = {"train": (self.training + self.evaluation) * self.examples}
        counts |= {split: sum(1 for _ in self._asked(split)) for split in ("valid", "test")}
        return {split: [Rows(count, self.window)] for split, count in counts.items()}

    def draw(self, words: Words, section: Rows, split: str, rows: int) -> tuple[Ids, Ids, Ids]:
        """Return the first rows of a split: tokens, targets and numbers."""
        made = self._shown(words) if split == "train" else self._asked(split)
        some = [one for _, one in zip(range(rows), made, strict=False)]
        tokens, targets, numbers = zip(*some, strict=True)
        return np.array(tokens), np.array(targets), np.array(numbers, np.int32)

    # -- puzzles and their copies --------------------------------------------------------------------------------------

    @cached_property
    def _groups(self) -> list[Puzzle]:
        """The puzzles for training, then those to be solved, each kind in a drawn order that fewer are a part of."""
        known = read(self.source)
        more = [puzzle for file in self.also for puzzle in read(file)["training"]]
        return [
            *self._some("training", [*known["training"], *more], self.training),
            *self._some("evaluation", known["evaluation"], self.evaluation),
        ]

    def _some(self, subset: str, puzzles: list[Puzzle], count: int) -> list[Puzzle]:
        if len(puzzles) < count:
            message = f"has {len(puzzles)} puzzles for {subset}, {count} are asked; lower task.{subset}"
            raise DataError(f"{self.source}: {message}")
        order = Words(self.seed, self.kind, subset).order(len(puzzles))
        return [puzzles[i] for i in order[:count]]

    @cached_property
    def _copies(self) -> list[list[Change]]:
        return [puzzle.changes(self.seed, self.changes) for puzzle in self._groups]

    def number(self, group: int, copy: int) -> int:
        """Return the number of a puzzle's copy, from 1; copy 0 is the puzzle itself."""
        return 1 + group * (1 + self.changes) + copy

    def change(self, number: int) -> tuple[int, Change]:
        """Return the puzzle that a number is of, and how its copy was changed."""
        group, copy = divmod(number - 1, 1 + self.changes)
        return group, self._copies[group][copy]

    def _shown(self, words: Words) -> Iterator[_Made]:
        """Yield pairs that show rules: of puzzles for training all pairs, of the others those that are not asked."""
        for group, puzzle in enumerate(self._groups):
            pairs = [*puzzle.shown, *(puzzle.asked if group < self.training else ())]
            copies: list[int] = words.below(len(self._copies[group]), self.examples).tolist()
            chosen: list[int] = words.below(len(pairs), self.examples).tolist()
            places: list[list[float]] = words.uniform(self.examples, 2).tolist()
            for copy, which, place in zip(copies, chosen, places, strict=True):
                pair = _changed(self._copies[group][copy], pairs[which])
                # one pair of each copy stays where it is
                moves = self.translate and which != crc32(f"{puzzle.name}/{copy}".encode()) % len(pairs)
                yield *row(pair, *(_place(pair, place) if moves else (0, 0))), self.number(group, copy)

    def _asked(self, split: str) -> Iterator[_Made]:
        """Yield the pairs to be solved of a split, each of the puzzle and of its voting copies."""
        for group, puzzle in enumerate(self._groups):
            ours = (crc32(puzzle.name.encode()) % _SHARE == 0) == (split == "valid")
            if group < self.training or not ours:
                continue
            for pair in puzzle.asked:
                for copy, change in enumerate(self._copies[group][: 1 + self.votes]):
                    yield *row(_changed(change, pair)), self.number(group, copy)

    # -- votes ---------------------------------------------------------------------------------------------------------

    @property
    def takes_votes(self) -> bool:
        """True: copies of a puzzle vote."""
        return True

    def voted(self, split: Split, predicted: NDArray[Any]) -> Mapping[str, float]:
        """Return the mean over puzzles of the share of their boards that are solved by one of two answers."""
        return {"pass2": pass2(split, predicted, self.change)}


def _changed(change: Change, pair: Pair) -> Pair:
    return change.apply(pair[0]), change.apply(pair[1])


def _place(pair: Pair, at: Sequence[float]) -> tuple[int, int]:
    """Return where a pair stands: anywhere that both grids fit."""
    room = [SIDE - max(grid.shape[axis] for grid in pair) + 1 for axis in range(2)]
    return int(at[0] * room[0]), int(at[1] * room[1])
