"""MAD in-context recall: pairs of a key and its value; a key that comes again is to be answered by its value."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from hrmsearch.tasks.base import IGNORE, Ids
from hrmsearch.tasks.mad import FEWER_ROWS, Mad, baseline_and, next_tokens
from hrmsearch.tasks.words import Words


class MadRecall(Mad):
    """The first half of the vocabulary are keys, the second values, bound anew in every row.

    Keys come at random, the last one among those shown before; a value counts when its key was shown before. In
    training every next token is a target. A row is one token shorter than the window.
    """

    kind: Literal["mad_recall"] = "mad_recall"
    window: int = Field(default=128, ge=4, multiple_of=2)
    vocab: int = Field(default=16, ge=2)
    presets: ClassVar = baseline_and(vocab=(32, 64, 128), window=(256, 512, 1_024), train_rows=FEWER_ROWS)

    @property
    def tokens(self) -> int:
        """Tokens in a row: the last one is a target only."""
        return self.window - 1

    def instances(self, words: Words, rows: int, *, training: bool) -> tuple[Ids, Ids]:
        """Return pairs, and the values of keys shown before."""
        tokens, answers = recall(words, rows, self.window // 2, self.vocab)
        return next_tokens(tokens, answers, training=training)


def recall(
    words: Words, rows: int, pairs: int, symbols: int, noise: float = 0.0, noise_symbols: int = 0
) -> tuple[Ids, Ids]:
    """Return pairs of keys and values, and the answers at the tokens they are, i32[rows, 2 * pairs] each.

    Each pair but the last is two noise tokens with probability `noise`; one that is none is certain.
    """
    at, half = np.arange(rows), symbols // 2
    keys = words.below(half, rows, pairs)
    bound = half + words.below(symbols - half, rows, half)
    noisy = words.uniform(rows, pairs) < noise
    noisy[at, words.below(pairs - 1, rows)] = noisy[:, -1] = False
    shown, known = np.zeros((rows, half), bool), np.zeros((rows, pairs), bool)
    for i in range(pairs - 1):
        known[:, i] = shown[at, keys[:, i]]
        shown[at, keys[:, i]] |= ~noisy[:, i]
    # of words that are not 0, the largest among the keys shown
    keys[:, -1] = np.where(shown, words.raw(rows, half) | np.uint64(1), np.uint64(0)).argmax(axis=1)
    known[:, -1] = True
    pair = np.stack([keys, np.take_along_axis(bound, keys, axis=1)], axis=2)
    if noise:
        pair = np.where(noisy[:, :, None], symbols + words.below(noise_symbols, rows, pairs, 2), pair)
    answers = np.full_like(pair, IGNORE)
    answers[:, :, 1] = np.where(known & ~noisy, pair[:, :, 1], IGNORE)
    return pair.reshape(rows, -1).astype(np.int32), answers.reshape(rows, -1).astype(np.int32)
