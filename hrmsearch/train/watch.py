"""What training tells while it goes on: a watcher renders it, for a terminal, a pipe or a program."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hrmsearch.train.scores import Score, SeedResult


@dataclass(frozen=True, slots=True)
class SeedStarted:
    """A seed begins, or goes on when `resumed`.

    params: number of parameters. flops: contraction FLOPs of all passes over one batch of the longest training windows,
    forward and backward. passes: over a window, at most. batches: per epoch. steps: optimiser steps if all epochs run.
    step: steps done already.
    """

    seed: int
    run_dir: Path
    resumed: bool
    params: int
    flops: int
    passes: int
    epochs: int
    batches: int
    steps: int
    step: int


@dataclass(frozen=True, slots=True)
class Step:
    """An optimiser step was taken.

    step: counts from 1. total: steps if all epochs run. epoch: from 1. loss: of the last pass in the step's spans.
    seconds: of training in this epoch, before this step's batch.
    """

    seed: int
    step: int
    total: int
    epoch: int
    loss: float
    lr: float
    grad_norm: float
    seconds: float


@dataclass(frozen=True, slots=True)
class EpochDone:
    """An epoch was trained; scores by pass, `best` when the last pass on valid is better than ever.

    valid: nothing, if validation was not due. seconds: training, without validation.
    """

    seed: int
    epoch: int
    epochs: int
    step: int
    train: Sequence[Score]
    valid: Sequence[Score]
    best: bool
    seconds: float


class Watcher(Protocol):
    """Hears of everything in order; the base does nothing, so a watcher overrides what it cares about."""

    def headline(self, text: str) -> None:
        """Hear which corpus is used; the first event of all, once per run."""

    def note(self, text: str) -> None:
        """Hear a sentence that a person should read, such as that nothing was there to resume."""

    def started(self, event: SeedStarted) -> None:
        """Hear that a seed begins or goes on."""

    def step(self, event: Step) -> None:
        """Hear of an optimiser step."""

    def epoch(self, event: EpochDone) -> None:
        """Hear of an epoch's scores."""

    def checkpoint(self, path: Path, step: int) -> None:
        """Hear that a checkpoint is safely on disk."""

    def stopped_early(self, seed: int, epoch: int, best_epoch: int) -> None:
        """Hear that patience ran out after `epoch`."""

    def finished(self, result: SeedResult) -> None:
        """Hear a seed's result, trained now or found finished."""


class Several(Watcher):
    """Tells several watchers, in their order."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def headline(self, text: str) -> None:
        """Tell which corpus is used."""
        for one in self._watchers:
            one.headline(text)

    def note(self, text: str) -> None:
        """Tell a remark."""
        for one in self._watchers:
            one.note(text)

    def started(self, event: SeedStarted) -> None:
        """Tell that a seed begins or goes on."""
        for one in self._watchers:
            one.started(event)

    def step(self, event: Step) -> None:
        """Tell of a step."""
        for one in self._watchers:
            one.step(event)

    def epoch(self, event: EpochDone) -> None:
        """Tell of an epoch."""
        for one in self._watchers:
            one.epoch(event)

    def checkpoint(self, path: Path, step: int) -> None:
        """Tell of a checkpoint."""
        for one in self._watchers:
            one.checkpoint(path, step)

    def stopped_early(self, seed: int, epoch: int, best_epoch: int) -> None:
        """Tell that patience ran out."""
        for one in self._watchers:
            one.stopped_early(seed, epoch, best_epoch)

    def finished(self, result: SeedResult) -> None:
        """Tell a seed's result."""
        for one in self._watchers:
            one.finished(result)


class Silent(Watcher):
    """Hears and says nothing."""
