"""What a run tells a pipe: plain lines for people, or JSON lines for programs."""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from hrmsearch.cli.terminal import print_json
from hrmsearch.report.numbers import count, duration, measured
from hrmsearch.train import EpochDone, Score, SeedResult, SeedStarted, Step, Watcher

Clock = Callable[[], float]

# A line this often within an epoch, so that a long one does not look dead.
_SECONDS_BETWEEN_STEPS: Final = {"lines": 30.0, "json": 1.0}


class _Pace:
    """Lets something through at most once per period."""

    def __init__(self, period: float, clock: Clock) -> None:
        self._period = period
        self._clock = clock
        self.restart()

    def restart(self) -> None:
        """Start a period."""
        self._since = self._clock()

    def is_due(self) -> bool:
        """Whether the period is over; if so, the next one starts."""
        if self._clock() - self._since < self._period:
            return False
        self.restart()
        return True


class Lines(Watcher):
    """A line per epoch, and one now and then within a long epoch."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._pace = _Pace(_SECONDS_BETWEEN_STEPS["lines"], clock)

    def headline(self, text: str) -> None:
        """Print which corpus is used."""
        click.echo(text)

    def note(self, text: str) -> None:
        """Print a remark."""
        click.echo(f"note: {text}")

    def started(self, event: SeedStarted) -> None:
        """Print what is trained, and where its files go."""
        click.echo(started_text(event))
        self._pace.restart()

    def step(self, event: Step) -> None:
        """Print the loss when nothing was said for a while."""
        if self._pace.is_due():
            click.echo(
                f"seed {event.seed}  epoch {event.epoch}  step {event.step}/{event.total}  loss {event.loss:.4f}"
            )

    def epoch(self, event: EpochDone) -> None:
        """Print an epoch's scores after its last pass."""
        parts = [
            f"seed {event.seed}  epoch {event.epoch:>{len(str(event.epochs))}}/{event.epochs}",
            f"train loss {event.train[-1].loss:.4f}",
        ]
        if event.valid:
            scores = "  ".join(f"{name} {measured(name, value)}" for name, value in event.valid[-1].metrics.items())
            parts.append(f"valid {scores}")
        parts += [duration(event.seconds), *(["best"] if event.best else [])]
        click.echo("  ".join(parts))
        self._pace.restart()

    def stopped_early(self, seed: int, epoch: int, best_epoch: int) -> None:
        """Print that patience ran out."""
        click.echo(stopped_text(seed, epoch, best_epoch))

    def finished(self, result: SeedResult) -> None:
        """Print a seed's result."""
        click.echo(finished_text(result))


class JsonLines(Watcher):
    """An object per event, with `event` saying which; steps at most once a second."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._pace = _Pace(_SECONDS_BETWEEN_STEPS["json"], clock)

    def headline(self, text: str) -> None:
        """Print which corpus is used."""
        print_json({"event": "corpus", "text": text})

    def note(self, text: str) -> None:
        """Print a remark."""
        print_json({"event": "note", "text": text})

    def started(self, event: SeedStarted) -> None:
        """Print what is trained, and where its files go."""
        print_json({"event": "started", **_record(event)})

    def step(self, event: Step) -> None:
        """Print the loss, unless that was done a moment ago."""
        if self._pace.is_due():
            print_json({"event": "step", **_record(event)})

    def epoch(self, event: EpochDone) -> None:
        """Print an epoch's scores."""
        scores = {"train": [s.record() for s in event.train], "valid": [s.record() for s in event.valid]}
        print_json({"event": "epoch", **_record(event), **scores})

    def checkpoint(self, path: Path, step: int) -> None:
        """Print that a checkpoint is on disk."""
        print_json({"event": "checkpoint", "path": str(path), "step": step})

    def stopped_early(self, seed: int, epoch: int, best_epoch: int) -> None:
        """Print that patience ran out."""
        print_json({"event": "stopped_early", "seed": seed, "epoch": epoch, "best_epoch": best_epoch})

    def finished(self, result: SeedResult) -> None:
        """Print a seed's result."""
        print_json({"event": "finished", **result_record(result)})


def result_record(result: SeedResult) -> dict[str, Any]:
    """Return a seed's result as JSON values."""
    return {"seed": result.seed, "run_dir": str(result.run_dir), "metrics": result.metrics}


def started_text(event: SeedStarted) -> str:
    """Return the line that opens a seed."""
    verb = f"goes on after step {event.step}" if event.resumed else "starts"
    size = f"{count(event.params)} parameters, {event.batches} batches an epoch, at most {event.epochs} epochs"
    return f"seed {event.seed} {verb}: {size}; {event.run_dir}"


def stopped_text(seed: int, epoch: int, best_epoch: int) -> str:
    """Return the line that says why a seed ended before its last epoch."""
    return f"seed {seed} stops after epoch {epoch}: no better since epoch {best_epoch}"


def finished_text(result: SeedResult) -> str:
    """Return the line that closes a seed."""
    shown = ", ".join(f"{split} {leading(passes[-1])}" for split, passes in result.scores.items() if passes)
    return f"seed {result.seed} done: {shown} (best of {result.epochs} epochs: {result.best_epoch})"


def leading(score: Score) -> str:
    """Return the metric that a task is judged by first: `ppl 11.023`."""
    name, value = next(iter(score.metrics.items()))
    return f"{name} {measured(name, value)}"


def _record(event: SeedStarted | Step | EpochDone) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(event).items()}
