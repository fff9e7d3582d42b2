"""Parity: whether a string of bits has an odd number of ones; the smallest group that a state has to track."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from hrmsearch.tasks.base import Ids
from hrmsearch.tasks.formal import PRESETS, Integers, Language
from hrmsearch.tasks.words import Words


class Parity(Language):
    """The sum of a string of digits, modulo `base`. Token d + 1 is the digit d, as symbol and as answer."""

    kind: Literal["parity"] = "parity"
    base: int = Field(default=2, ge=2)
    presets: ClassVar = PRESETS

    @property
    def vocabulary(self) -> int:
        """The padding and the digits."""
        return self.base + 1

    def symbols(self, words: Words, lengths: Integers, width: int) -> Integers:
        """Return digits."""
        return words.below(self.base, len(lengths), width) + 1

    def answer(self, tokens: Ids, lengths: Integers) -> Integers:
        """Return the sum of the digits, modulo the base."""
        return (tokens.sum(axis=1, dtype=np.int64) - lengths) % self.base + 1
