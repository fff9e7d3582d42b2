"""MAD selective copying: tokens scattered among blanks, to be repeated in order."""

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from hrmsearch.spec.problems import FieldProblem
from hrmsearch.tasks.base import IGNORE, Ids
from hrmsearch.tasks.mad import FEWER_ROWS, Mad, baseline_and
from hrmsearch.tasks.words import Words


class MadSelectiveCopying(Mad):
    """`copied` tokens with blanks before them, the copy token, and as many blanks, whose targets are the tokens.

    The last token is the copy token, the one before it the blank. Each blank of the first part stands before a token
    chosen at random, so the last token is followed by the copy token.
    """

    kind: Literal["mad_selective_copying"] = "mad_selective_copying"
    window: PositiveInt = 256
    vocab: int = Field(default=16, ge=3)
    copied: PositiveInt = 16
    presets: ClassVar = baseline_and(
        vocab=(32, 64, 128), window=(512, 1_024), train_rows=FEWER_ROWS, copied=(32, 64, 96)
    )

    @model_validator(mode="after")
    def _blanks_are_left(self) -> Self:
        if self.window <= 2 * self.copied + 1:
            message = f"{self.copied} tokens, the copy token and their copies leave no blank in {self.window} tokens"
            raise FieldProblem(message, "copied")
        return self

    def instances(self, words: Words, rows: int, *, training: bool) -> tuple[Ids, Ids]:
        """Return rows, and the tokens to copy at the last blanks; training and test are alike."""
        del training
        blanks = self.window - 2 * self.copied - 1
        copied = words.below(self.vocab - 2, rows, self.copied)
        before = words.below(self.copied, rows, blanks)
        # token i has moved by the blanks that stand before it or before an earlier one
        moved = np.stack([(before <= i).sum(axis=1) for i in range(self.copied)], axis=1) + np.arange(self.copied)
        tokens = np.full((rows, self.window), self.vocab - 2, np.int32)
        np.put_along_axis(tokens, moved, copied.astype(np.int32), axis=1)
        tokens[:, self.copied + blanks] = self.vocab - 1
        targets = np.full_like(tokens, IGNORE)
        targets[:, -self.copied :] = copied
        return tokens, targets
