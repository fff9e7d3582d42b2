"""Formal languages: read a string, and answer a question about it at its last symbol. The base of one file each.

Strings follow the generators of the xLSTM experiments (Beck et al. 2024, arXiv:2405.04517; NX-AI/xlstm, experiments/),
which follow Delétang et al. 2023, arXiv:2207.02098. There a length counts the string and its answer, 3 to 40 and 40 to
256; here it counts the symbols that a model reads, so one less. Token 0 pads short strings.

Ours: which strings are held out is a property of the string, so a string of valid or test occurs in no training epoch
of any run, however short it is; and valid, which chooses the epoch, has lengths of training, so test extrapolates.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from hrmsearch.errors import DataError
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.tasks.base import IGNORE, Ids
from hrmsearch.tasks.generated import Generated
from hrmsearch.tasks.words import Words

Lengths = tuple[PositiveInt, PositiveInt]
Name = Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")]
Integers = NDArray[np.int64]

# strings fall into so many parts by their hash: one is valid, one is scored at the end, the others are trained on
_PARTS: Final = 8
_VALID: Final = 0
_SCORED: Final = 1
_MOST_TRIES: Final = 50
# strings drawn at a time: what long ones take in memory has a bound
_AT_ONCE: Final = 1 << 13

#: published settings; a small one that a CPU trains in minutes
PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "xlstm": {"train_lengths": (2, 39), "test_lengths": (39, 255), "window": 255, "train_rows": 51_200},
    "small": {
        "train_lengths": (2, 12),
        "test_lengths": (13, 40),
        "window": 40,
        "train_rows": 4_096,
        "valid_rows": 512,
        "test_rows": 1_024,
    },
}


@dataclass(frozen=True, slots=True)
class Strings:
    """Strings whose lengths are uniform among those between two ends that the language has."""

    rows: int
    lengths: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """The longest length."""
        return self.lengths[-1]


class Language(Generated):
    """Strings with an answer.

    train_lengths: of train and valid. test_lengths: of test. also: lengths of further splits, by name. Ends count.
    step: a ClassVar; the language has strings of its multiples only.
    """

    step: ClassVar[int] = 1
    best: Literal["accuracy", "loss"] = "accuracy"
    window: PositiveInt = 255
    train_lengths: Lengths = (2, 39)
    test_lengths: Lengths = (39, 255)
    also: dict[Name, Lengths] = Field(default_factory=dict[str, Lengths])
    train_rows: PositiveInt = 51_200
    valid_rows: PositiveInt = 2_048
    test_rows: PositiveInt = 8_192

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        for name in ("train", "valid", "test"):
            if name in self.also:
                raise FieldProblem(f"{name!r} is a split already; choose another name", "also", name, key=True)
        fields = {("train_lengths",): self.train_lengths, ("test_lengths",): self.test_lengths}
        for at, (low, high) in (fields | {("also", name): ends for name, ends in self.also.items()}).items():
            if low > high:
                raise FieldProblem(f"{low} to {high} is no range; the shorter length comes first", *at)
            if high > self.window:
                raise FieldProblem(f"{high} symbols do not fit the window of {self.window} tokens", *at)
            if not self._strings(1, (low, high)).lengths:
                raise FieldProblem(f"strings of this language have multiples of {self.step} symbols", *at)
        return self

    @property
    def metrics(self) -> tuple[str, ...]:
        """Right answers; a string has one."""
        return ("accuracy",)

    @property
    def causal(self) -> bool:
        """True: the answer is asked for at the last symbol, which has seen the others."""
        return True

    @abstractmethod
    def symbols(self, words: Words, lengths: Integers, width: int) -> Integers:
        """Return [rows, width] symbols, of which the first `lengths` of a row count."""

    @abstractmethod
    def answer(self, tokens: Ids, lengths: Integers) -> Integers:
        """Return the answer, a token, to each string of i32[rows, width], which 0 fills beyond its length."""

    def sections(self) -> Mapping[str, Sequence[Strings]]:
        """Return a section per split."""
        train = {"train": self.train_lengths, "valid": self.train_lengths}
        rows = {"train": self.train_rows, "valid": self.valid_rows}
        every = train | {"test": self.test_lengths} | self.also
        return {name: [self._strings(rows.get(name, self.test_rows), ends)] for name, ends in every.items()}

    def _strings(self, rows: int, ends: Lengths) -> Strings:
        return Strings(rows, tuple(n for n in range(ends[0], ends[1] + 1) if n % self.step == 0))

    def draw(self, words: Words, section: Strings, split: str, rows: int) -> tuple[Ids, Ids]:
        """Return strings of a split and their answers."""
        tokens = self._held_in(words, section, split, rows)
        lengths = np.count_nonzero(tokens, axis=1)
        targets = np.full_like(tokens, IGNORE)
        targets[np.arange(rows), lengths - 1] = self.answer(tokens, lengths)
        return tokens, targets

    def _held_in(self, words: Words, section: Strings, split: str, rows: int) -> Ids:
        """Draw strings and keep those of the split's part; raises DataError where there seem to be none."""
        kept = [np.empty((0, section.tokens), np.int32)]
        tries = 0
        while (lacking := rows - sum(map(len, kept))) > 0:
            drawn = self._any(words, section, min(lacking * (2 if split == "train" else _PARTS) + 64, _AT_ONCE))
            kept.append(drawn[_belongs(drawn, split)][:lacking])
            tries = 0 if len(kept[-1]) else tries + 1
            if tries == _MOST_TRIES:
                low, high = section.lengths[0], section.lengths[-1]
                told = f"the strings of {low} to {high} symbols leave none for {split}; allow longer ones"
                raise DataError(f"task {self.kind}: {told}")
        return np.concatenate(kept)

    def _any(self, words: Words, section: Strings, rows: int) -> Ids:
        lengths = np.array(section.lengths)[words.below(len(section.lengths), rows)]
        symbols = self.symbols(words, lengths, section.tokens)
        return np.where(np.arange(section.tokens) < lengths[:, None], symbols, 0).astype(np.int32)


def _belongs(tokens: Ids, split: str) -> NDArray[np.bool_]:
    """Return which strings a split may hold."""
    part = _part(tokens)
    return part > _SCORED if split == "train" else part == (_VALID if split == "valid" else _SCORED)


def _part(tokens: Ids) -> NDArray[np.uint64]:
    """Return the part of each string: a hash of its symbols, whatever pads it."""
    factors = Words("formal language", "parts").raw(tokens.shape[1]) | np.uint64(1)
    mixed = (tokens.astype(np.uint64) * factors).sum(axis=1, dtype=np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(32)) % np.uint64(_PARTS)
