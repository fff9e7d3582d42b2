"""MAD fuzzy in-context recall: keys and values are motifs of one to three tokens."""

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hrmsearch.tasks.base import IGNORE, Ids
from hrmsearch.tasks.mad import FEWER_ROWS, Mad, baseline_and, next_tokens
from hrmsearch.tasks.words import Words

Integers = NDArray[np.int64]

_LONGEST: Final = 3
_PAIR: Final = 2 * _LONGEST
_NO_KEY: Final = -1


class MadFuzzyRecall(Mad):
    """Motifs of distinct tokens; outside training keys always have three. Rows are padded on the left.

    The last token pads, the others are keys and values in halves. A row ends in a key shown before and its value. In
    training every next token is a target, the padding too; otherwise the values of keys shown before. Ours: the pair
    that is asked for at the end is always shown (in the source its place may lie beyond the row's end).
    """

    kind: Literal["mad_fuzzy_recall"] = "mad_fuzzy_recall"
    window: int = Field(default=128, ge=4 * _PAIR)
    vocab: int = Field(default=16, ge=2 * _LONGEST + 1)
    presets: ClassVar = baseline_and(vocab=(32, 64, 128), window=(256, 512, 1_024), train_rows=FEWER_ROWS)

    def instances(self, words: Words, rows: int, *, training: bool) -> tuple[Ids, Ids]:
        """Return motif pairs, and the values of keys shown before."""
        page = _Page(words, rows, self.window, self.vocab - 1, training)
        tokens, answers = page.written()
        lengths = page.length[:, None]
        at = np.arange(self.window + 1) - (self.window + 1 - lengths)
        placed = [np.take_along_axis(array, np.maximum(at, 0), axis=1) for array in (tokens, answers)]
        tokens, answers = (
            np.where(at >= 0, array, fill) for array, fill in zip(placed, (self.vocab - 1, IGNORE), strict=True)
        )
        return next_tokens(tokens.astype(np.int32), answers.astype(np.int32), training=training)


@dataclass(slots=True)
class _Motifs:
    """A motif per row (or several): `tokens` [rows, 3], of which the first `size` count."""

    tokens: Integers
    size: Integers

    def where(self, condition: NDArray[np.bool_], other: "_Motifs") -> "_Motifs":
        """Return these motifs where a condition holds, else others."""
        tokens = np.where(condition[:, None], self.tokens, other.tokens)
        return _Motifs(tokens, np.where(condition, self.size, other.size))

    @property
    def code(self) -> Integers:
        """A number per motif that no other has."""
        digits = np.where(np.arange(_LONGEST) < self.size[:, None], self.tokens + 1, 0)
        return digits @ (np.int64(1) << (20 * np.arange(_LONGEST)))


class _Page:
    """Rows under construction: all grow step by step, a pair at a time, until they are long enough."""

    def __init__(self, words: Words, rows: int, window: int, symbols: int, training: bool) -> None:
        self._words, self._rows, self._symbols, self._training = words, rows, symbols, training
        self._tokens = np.zeros((rows, window + _PAIR), np.int64)
        self._answers = np.full_like(self._tokens, IGNORE)
        self.length = np.zeros(rows, np.int64)
        self._key, self._value = self._keys(), self._values()
        # where the body ends, with room for one pair more and for the question
        self._end = window - self._key.size - self._value.size - _PAIR
        places = (self._end - _PAIR + 1).astype(np.uint64)
        self._place = (words.raw(rows) % places).astype(np.int64)

    def written(self) -> tuple[Integers, Integers]:
        """Write the rows; return tokens and answers, of which the first `length` of a row count."""
        # the pairs so far: the code of each key, and its value
        codes = np.full((self._rows, self._tokens.shape[1] // 2), _NO_KEY)
        values = _Motifs(np.zeros((*codes.shape, _LONGEST), np.int64), np.zeros(codes.shape, np.int64))
        shown, at, step = np.zeros(self._rows, bool), np.arange(self._rows), 0
        while (going := self.length < self._end).any():
            key, value = self._keys(), self._values()
            asked = (~shown & (self.length >= self._place)) | (key.code == self._key.code)
            key, value = self._key.where(asked, key), self._value.where(asked, value)
            again = codes[:, :step] == key.code[:, None]
            known, first = again.any(axis=1), again.argmax(axis=1) if step else at * 0
            value = _Motifs(values.tokens[at, first], values.size[at, first]).where(known, value)
            self._write(key, value, going, known)
            codes[:, step] = np.where(going, key.code, _NO_KEY)
            values.tokens[:, step], values.size[:, step] = value.tokens, value.size
            shown, step = shown | (going & asked), step + 1
        self._write(self._key, self._value, np.ones(self._rows, bool), np.ones(self._rows, bool))
        return self._tokens, self._answers

    def _keys(self) -> _Motifs:
        size = self._words.below(_LONGEST, self._rows) + 1 if self._training else np.full(self._rows, _LONGEST)
        return _Motifs(self._words.distinct(self._symbols // 2, self._rows, _LONGEST), size)

    def _values(self) -> _Motifs:
        half = self._symbols // 2
        tokens = half + self._words.distinct(self._symbols - half, self._rows, _LONGEST)
        return _Motifs(tokens, self._words.below(_LONGEST, self._rows) + 1)

    def _write(self, key: _Motifs, value: _Motifs, going: NDArray[np.bool_], known: NDArray[np.bool_]) -> None:
        """Append a pair to the rows that are going on; its value is an answer where its key is known."""
        for motif, answered in ((key, np.zeros_like(known)), (value, known)):
            for i in range(_LONGEST):
                at = np.flatnonzero(going & (i < motif.size))
                self._tokens[at, self.length[at] + i] = motif.tokens[at, i]
                heard = at[answered[at]]
                self._answers[heard, self.length[heard] + i] = motif.tokens[heard, i]
            self.length += np.where(going, motif.size, 0)
