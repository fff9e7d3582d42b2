"""MAD compression: a row squeezed into the encoding of its last token, and read back from there."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from hrmsearch.tasks.base import Ids
from hrmsearch.tasks.mad import FEWER_ROWS, Mad, baseline_and
from hrmsearch.tasks.words import Words


class MadCompression(Mad):
    """Random tokens and the compression token, which is the last; the targets are the tokens themselves.

    A head per token would copy its input, so this task takes a head that reads one position only, such as
    `autoencoder`; its outputs see the whole row, so the task is not causal.
    """

    kind: Literal["mad_compression"] = "mad_compression"
    window: int = Field(default=32, ge=2)
    vocab: int = Field(default=16, ge=2)
    presets: ClassVar = baseline_and(vocab=(32, 64, 128), window=(64, 128, 256), train_rows=FEWER_ROWS)

    @property
    def causal(self) -> bool:
        """False: a token is read back from what follows it."""
        return False

    @property
    def bottleneck(self) -> bool:
        """True."""
        return True

    def instances(self, words: Words, rows: int, *, training: bool) -> tuple[Ids, Ids]:
        """Return rows, which are their own targets; training and test are alike."""
        del training
        tokens = np.full((rows, self.window), self.vocab - 1, np.int32)
        tokens[:, :-1] = words.below(self.vocab - 1, rows, self.window - 1)
        return tokens, tokens.copy()
