"""Recall across windows: the first window of a stream tells pairs, the later ones ask for their values by key.

Ours. A row is a window, and `windows` of them in a row are a stream. Nothing in a window that asks says what the first
one told: given that window alone, the value of a key is as likely to be any value. So a model without memory is right
once in as many times as there are values, whatever its size, and a window as long as one likes changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from hrmsearch.spec.problems import FieldProblem
from hrmsearch.tasks.base import IGNORE, Ids, Split
from hrmsearch.tasks.generated import Generated
from hrmsearch.tasks.words import Words


@dataclass(frozen=True, slots=True)
class Windows:
    """So many windows of one length."""

    rows: int
    tokens: int


class StreamRecall(Generated):
    """Pairs of a key and its value, told in the first window of a stream; later windows ask for each of `asked` keys.

    Token 0 fills, 1 to `keys` are keys, and `values` more are values (C = 1 + keys + values). A window is W / 2 places
    of two tokens: a told pair stands in one place, an asked key at the first token of one, where its value is the
    target. Keys of a stream are distinct, their values need not be. Places, keys and values are uniform. windows: of a
    stream, one that tells and the others that ask. `*_streams`: streams of a split.
    """

    idle: ClassVar[frozenset[str]] = frozenset({"loader", "best"})
    kind: Literal["stream_recall"] = "stream_recall"
    loader: Literal["contiguous"] = "contiguous"
    window: int = Field(default=64, ge=2, multiple_of=2)
    windows: int = Field(default=3, ge=2, le=64)
    keys: PositiveInt = 16
    values: int = Field(default=16, ge=2)
    pairs: PositiveInt = 8
    asked: PositiveInt = 8
    train_streams: PositiveInt = 1_024
    valid_streams: PositiveInt = 128
    test_streams: PositiveInt = 512
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"small": {"window": 16, "keys": 8, "pairs": 4, "asked": 4}}

    @model_validator(mode="after")
    def _windows_hold_their_pairs(self) -> Self:
        places = self.window // 2
        if self.pairs > self.keys:
            raise FieldProblem(f"{self.pairs} pairs need as many keys, and there are {self.keys}", "pairs")
        if self.pairs > places:
            raise FieldProblem(f"{self.pairs} pairs do not fit the {places} places of a window", "pairs")
        if self.asked > self.pairs:
            raise FieldProblem(f"{self.asked} keys cannot be asked for, since {self.pairs} are told", "asked")
        return self

    @property
    def vocabulary(self) -> int:
        """Tokens, C."""
        return 1 + self.keys + self.values

    @property
    def causal(self) -> bool:
        """True: what is asked was told before."""
        return True

    @property
    def stream(self) -> int:
        """Windows of a stream."""
        return self.windows

    def sections(self) -> Mapping[str, Sequence[Windows]]:
        """Return one section per split."""
        streams = {"train": self.train_streams, "valid": self.valid_streams, "test": self.test_streams}
        return {name: [Windows(count * self.windows, self.window)] for name, count in streams.items()}

    def draw(self, words: Words, section: Windows, split: str, rows: int) -> tuple[Ids, Ids]:
        """Return the windows of whole streams, one stream after another."""
        del split
        streams = rows // self.windows
        keys = 1 + words.distinct(self.keys, streams, self.pairs)
        values = 1 + self.keys + words.below(self.values, streams, self.pairs)
        tokens = np.zeros((streams, self.windows, section.tokens), np.int32)
        targets = np.full_like(tokens, IGNORE)
        told = 2 * words.distinct(section.tokens // 2, streams, self.pairs)
        _put(tokens[:, 0], told, keys)
        _put(tokens[:, 0], told + 1, values)
        for i in range(1, self.windows):
            which = words.distinct(self.pairs, streams, self.asked)
            places = 2 * words.distinct(section.tokens // 2, streams, self.asked)
            _put(tokens[:, i], places, np.take_along_axis(keys, which, axis=1))
            _put(targets[:, i], places, np.take_along_axis(values, which, axis=1))
        return tokens.reshape(rows, -1), targets.reshape(rows, -1)

    def guesses(self, split: Split) -> Mapping[str, Mapping[str, float]]:
        """Return what the best answers to a window alone achieve: a value is right once in `values` times."""
        del split
        share = 1.0 / self.values
        return {"window alone": {"accuracy": share, "exact": share**self.asked}}


def _put(rows: Ids, places: Any, what: Any) -> None:
    np.put_along_axis(rows, places, what.astype(np.int32), axis=1)
