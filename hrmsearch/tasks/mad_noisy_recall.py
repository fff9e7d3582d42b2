"""MAD noisy in-context recall: recall among tokens that mean nothing."""

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from hrmsearch.spec.problems import FieldProblem
from hrmsearch.tasks.base import Ids
from hrmsearch.tasks.mad import FEWER_ROWS, baseline_and, next_tokens
from hrmsearch.tasks.mad_recall import MadRecall, recall
from hrmsearch.tasks.words import Words


class MadNoisyRecall(MadRecall):
    """In-context recall in which each pair is two of `noise_vocab` noise tokens with probability `noise`.

    Noise tokens are the last of the vocabulary; keys and values share the others.
    """

    kind: Literal["mad_noisy_recall"] = "mad_noisy_recall"
    vocab: int = Field(default=32, ge=3)
    noise: float = Field(default=0.2, gt=0.0, lt=1.0)
    noise_vocab: PositiveInt = 16
    presets: ClassVar = baseline_and(
        vocab=(48, 80, 144), window=(256, 512, 1_024), train_rows=FEWER_ROWS, noise=(0.4, 0.6, 0.8)
    )

    @model_validator(mode="after")
    def _keys_and_values_are_left(self) -> Self:
        if self.vocab - self.noise_vocab < 2:
            raise FieldProblem(f"{self.noise_vocab} noise tokens of {self.vocab} leave no key and value", "noise_vocab")
        return self

    def instances(self, words: Words, rows: int, *, training: bool) -> tuple[Ids, Ids]:
        """Return pairs among noise, and the values of keys shown before."""
        symbols = self.vocab - self.noise_vocab
        drawn = recall(words, rows, self.window // 2, symbols, self.noise, self.noise_vocab)
        return next_tokens(*drawn, training=training)
