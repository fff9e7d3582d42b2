"""MAD memorization: facts that no row tells, to be kept in the parameters."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from hrmsearch.tasks.base import IGNORE, Ids
from hrmsearch.tasks.mad import Mad, baseline_and
from hrmsearch.tasks.words import Words


class MadMemorization(Mad):
    """Keys, each followed by the insert token, where the target is the value that the key has in every row.

    The last token is the insert token; the first half of the others are keys, of the rest each key has another one as
    its value, which the task's seed decides for training and test alike.
    """

    kind: Literal["mad_memorization"] = "mad_memorization"
    window: int = Field(default=32, ge=2, multiple_of=2)
    vocab: int = Field(default=256, ge=3)
    train_rows: PositiveInt = 256
    presets: ClassVar = baseline_and(vocab=(512, 1_024, 2_048, 4_096, 8_192))

    @property
    def values(self) -> NDArray[np.int64]:
        """The value of each key."""
        symbols = self.vocab - 1
        keys = symbols // 2
        return keys + Words(self.seed, self.kind, "values", self.vocab).distinct(symbols - keys, 1, keys)[0]

    def instances(self, words: Words, rows: int, *, training: bool) -> tuple[Ids, Ids]:
        """Return keys and insert tokens, and the values at the latter; training and test are alike."""
        del training
        values = self.values
        keys = words.below(len(values), rows, self.window // 2)
        tokens = np.full((rows, self.window), self.vocab - 1, np.int32)
        targets = np.full_like(tokens, IGNORE)
        tokens[:, ::2], targets[:, 1::2] = keys, values[keys]
        return tokens, targets
