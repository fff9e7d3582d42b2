"""Modular arithmetic: the value of a sum of products, without brackets."""

from typing import ClassVar, Final, Literal

import numpy as np
from pydantic import Field

from hrmsearch.tasks.base import Ids
from hrmsearch.tasks.formal import PRESETS, Integers, Language
from hrmsearch.tasks.words import Words

_PLUS, _MINUS, _TIMES, _EQUALS = range(1, 5)
_OPERATORS: Final = 3
_ZERO: Final = 5


class ModularArithmetic(Language):
    """The value of an expression such as `2 - 4 * 3 =`, modulo `modulus`; products come before sums.

    Tokens 1 to 4 are + - * =, and 5 + d is the number d, in the expression and as its value. Lengths are even.
    """

    kind: Literal["modular_arithmetic"] = "modular_arithmetic"
    modulus: int = Field(default=5, ge=2)
    step: ClassVar[int] = 2
    presets: ClassVar = PRESETS

    @property
    def vocabulary(self) -> int:
        """The padding, three operators, the equals sign and the numbers."""
        return _ZERO + self.modulus

    def symbols(self, words: Words, lengths: Integers, width: int) -> Integers:
        """Return numbers at even places, operators at odd ones, and the equals sign at the end."""
        found = words.below(self.modulus, len(lengths), width) + _ZERO
        found[:, 1::2] = words.below(_OPERATORS, len(lengths), width // 2) + _PLUS
        found[np.arange(len(lengths)), lengths - 1] = _EQUALS
        return found

    def answer(self, tokens: Ids, lengths: Integers) -> Integers:
        """Return the value: finished terms in `total`, the term under way, with its sign, in `term`."""
        total = np.zeros(len(tokens), np.int64)
        term = (tokens[:, 0] - _ZERO).astype(np.int64)
        for at in range(1, tokens.shape[1] - 1, 2):
            going = at < lengths - 1
            operator, number = tokens[:, at], tokens[:, at + 1] - _ZERO
            times = operator == _TIMES
            total = np.where(going & ~times, total + term, total)
            signed = np.where(operator == _MINUS, -number, number)
            term = np.where(going, np.where(times, term * number, signed) % self.modulus, term)
        return (total + term) % self.modulus + _ZERO
