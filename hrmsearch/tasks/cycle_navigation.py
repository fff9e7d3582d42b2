"""Cycle navigation: where a walk on a ring ends."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveInt

from hrmsearch.tasks.base import Ids
from hrmsearch.tasks.formal import PRESETS, Integers, Language
from hrmsearch.tasks.words import Words


class CycleNavigation(Language):
    """The place reached from 0 on a ring of `cycle` places by moves of up to `stride` places either way.

    Tokens 1 to stride + 1 move by 0 to stride places ahead, the next `stride` tokens by 1 to stride places back, and
    the places follow as answers. The xLSTM generator's default of 10 tokens is a ring of 6; Delétang et al. have 5.
    """

    kind: Literal["cycle_navigation"] = "cycle_navigation"
    cycle: int = Field(default=5, ge=2)
    stride: PositiveInt = 1
    presets: ClassVar = {"xlstm": {**PRESETS["xlstm"], "cycle": 6}, "small": PRESETS["small"]}

    @property
    def vocabulary(self) -> int:
        """The padding, the moves and the places."""
        return 1 + self._moves + self.cycle

    @property
    def _moves(self) -> int:
        return 2 * self.stride + 1

    def symbols(self, words: Words, lengths: Integers, width: int) -> Integers:
        """Return moves."""
        return words.below(self._moves, len(lengths), width) + 1

    def answer(self, tokens: Ids, lengths: Integers) -> Integers:
        """Return the place where the moves end."""
        ahead = np.arange(self.stride + 1)
        by = np.array([0, *ahead, *-ahead[1:]])
        return by[tokens].sum(axis=1) % self.cycle + 1 + self._moves
