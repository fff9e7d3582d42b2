"""How far a run is, in numbers; with the arrays of a checkpoint it is all that the rest of the run depends on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from hrmsearch.errors import RunError
from hrmsearch.tasks.judging import is_better
from hrmsearch.train.scores import Score


@dataclass(slots=True)
class Progress:
    """Counters, sums over the epoch under way, and the best epoch.

    epoch: epochs done. batch: batches of the next epoch done. step: optimiser steps done. first_loss: of the first
    pass of all, which tells a runaway loss. losses: by pass, summed over the rows of this epoch. norms: gradient norms,
    summed over its `updates`. lr: of the last step. seconds: of training in this epoch. halted: how many rows halted in
    this epoch after one pass, two, and so on, of which `halted_right` were right; all_halted: in all epochs. best:
    records of the validation scores by pass at `best_epoch`, which counts from 1.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    first_loss: float | None = None
    losses: list[float] = field(default_factory=list[float])
    rows: int = 0
    norms: float = 0.0
    updates: int = 0
    lr: float = 0.0
    seconds: float = 0.0
    epoch_seconds: list[float] = field(default_factory=list[float])
    halted: list[int] = field(default_factory=list[int])
    halted_right: int = 0
    all_halted: list[int] = field(default_factory=list[int])
    best: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    best_epoch: int = 0
    best_step: int = 0

    def add_batch(self, losses: Sequence[float], rows: int, batches: int) -> None:
        """Count a trained group: its mean losses by pass, weighted by rows (of all its batches)."""
        before = self.losses or [0.0] * len(losses)
        self.losses = [total + loss * rows for total, loss in zip(before, losses, strict=True)]
        self.rows += rows
        self.batch += batches

    def add_halted(self, counts: Sequence[int], right: int) -> None:
        """Count rows that halted, so many after each pass from 1 on, of which some were right."""
        self.halted, self.all_halted = _sums(self.halted, counts), _sums(self.all_halted, counts)
        self.halted_right += right

    def train_losses(self) -> list[float]:
        """Return the mean training loss by pass over the epoch under way."""
        return [total / self.rows for total in self.losses]

    def valid_scores(self) -> tuple[Score, ...]:
        """Return the validation scores of the best epoch."""
        return tuple(map(Score.of, self.best))

    def judge(self, valid: Sequence[Score], by: str) -> bool:
        """Take the validation scores of the epoch under way; return whether its last pass is better than ever.

        by: the metric that says so, or `loss`.
        """
        better = not self.best or is_better(by, valid[-1][by], self.valid_scores()[-1][by])
        if better:
            self.best = [score.record() for score in valid]
            self.best_epoch, self.best_step = self.epoch + 1, self.step
        return better

    def end_epoch(self) -> None:
        """Count the epoch under way as done."""
        self.epoch_seconds.append(self.seconds)
        self.epoch, self.batch = self.epoch + 1, 0
        self.losses, self.rows, self.norms, self.updates, self.seconds = [], 0, 0.0, 0, 0.0
        self.halted, self.halted_right = [], 0

    def record(self) -> dict[str, Any]:
        """Return the progress as JSON values, which keep every bit of a float."""
        return asdict(self)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Progress":
        """Return the progress that a record holds; raises RunError for any other record."""
        if set(record) != {f.name for f in fields(cls)}:
            raise RunError("the progress it holds is of another version of hrmsearch")
        return cls(**record)


def _sums(counts: Sequence[int], more: Sequence[int]) -> list[int]:
    """Return counts by pass with further ones added; there are none yet at the start."""
    return [before + now for before, now in zip(counts or [0] * len(more), more, strict=True)]
