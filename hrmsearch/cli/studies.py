"""What a study shows while it runs: a live table on a terminal, a line per trial in a pipe, JSON lines for programs."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from hrmsearch.cli.terminal import console, print_json
from hrmsearch.report.numbers import duration, measured
from hrmsearch.report.studies import progress_table
from hrmsearch.study.contract import Contract
from hrmsearch.study.outcomes import Outcome
from hrmsearch.study.progress import Progress
from hrmsearch.study.results import Trial
from hrmsearch.study.sweeping import Observer

if TYPE_CHECKING:
    from rich.live import Live


def trial_text(contract: Contract, trial: Trial, progress: Progress) -> str:
    """Return the line that tells of a trial that ended."""
    left = "" if progress.left is None else f", about {duration(progress.left)} left"
    return f"{progress.done}/{progress.total} {trial.item.name}: {_what(contract, trial.outcome)}{left}"


def _what(contract: Contract, outcome: Outcome | None) -> str:
    if outcome is None:
        return "ended elsewhere"
    name = contract.file.leading
    value = outcome.valid.get(name)
    shown = "" if value is None else f" valid {name} {measured(name, value)}"
    same = "" if outcome.same_as is None else f", the point of trial {outcome.same_as}"
    epochs = f" after {outcome.epochs} epochs" if outcome.epochs else ""
    why = "" if not outcome.why else f" ({outcome.why.splitlines()[0]})"
    return f"{outcome.what.replace('_', ' ')}{epochs}{shown}{same}{why}"


class Lines(Observer):
    """A line per trial."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def note(self, text: str) -> None:
        """Print a remark."""
        click.echo(f"note: {text}")

    def ended(self, trial: Trial, progress: Progress) -> None:
        """Print what came of a trial."""
        click.echo(trial_text(self._contract, trial, progress))

    def progress(self, progress: Progress) -> None:
        """Say nothing."""


class JsonLines(Observer):
    """An object per trial, with `event` saying what it is."""

    def note(self, text: str) -> None:
        """Print a remark."""
        print_json({"event": "note", "text": text})

    def ended(self, trial: Trial, progress: Progress) -> None:
        """Print what came of a trial."""
        far = {"done": progress.done, "total": progress.total, "seconds_left": progress.left}
        print_json({"event": "trial", **trial.record(), **far})

    def progress(self, progress: Progress) -> None:
        """Say nothing."""


class Table(Observer):
    """A table that is drawn again as the study goes on; what a person should read stays above it."""

    def __init__(self, contract: Contract, live: "Live") -> None:
        self._contract = contract
        self._live = live

    def note(self, text: str) -> None:
        """Print a remark above the table."""
        self._live.console.print(f"note: {text}", style="yellow")

    def ended(self, trial: Trial, progress: Progress) -> None:
        """Print what came of a trial above the table."""
        self._live.console.print(trial_text(self._contract, trial, progress))

    def progress(self, progress: Progress) -> None:
        """Draw the table."""
        self._live.update(progress_table(self._contract, progress).rich())


@contextmanager
def observing(contract: Contract, *, as_json: bool) -> Generator[Observer]:
    """Yield the observer for a terminal, a pipe or a program."""
    out = console()
    if as_json:
        yield JsonLines()
    elif not out.is_terminal:
        yield Lines(contract)
    else:
        from rich.live import Live

        with Live(console=out, refresh_per_second=4, transient=True) as live:
            yield Table(contract, live)
