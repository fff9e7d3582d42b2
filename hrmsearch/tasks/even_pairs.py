"""Even pairs: whether a string of two letters changes letter an even number of times."""

from typing import ClassVar, Literal

import numpy as np

from hrmsearch.tasks.base import Ids
from hrmsearch.tasks.formal import PRESETS, Integers, Language
from hrmsearch.tasks.words import Words


class EvenPairs(Language):
    """Whether the pairs ab and ba together are even in number: whether the first letter is the last.

    Tokens 1 and 2 are the letters; the answers are 1 for even and 2 for odd.
    """

    kind: Literal["even_pairs"] = "even_pairs"
    presets: ClassVar = PRESETS

    @property
    def vocabulary(self) -> int:
        """The padding and two letters."""
        return 3

    def symbols(self, words: Words, lengths: Integers, width: int) -> Integers:
        """Return letters."""
        return words.below(2, len(lengths), width) + 1

    def answer(self, tokens: Ids, lengths: Integers) -> Integers:
        """Return 1 where the first letter is the last, else 2."""
        last = tokens[np.arange(len(tokens)), lengths - 1]
        return np.where(tokens[:, 0] == last, 1, 2)
