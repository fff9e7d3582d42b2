"""What a run shows on a terminal: a bar per seed with live loss, best perplexity and time left."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from hrmsearch.cli.lines import finished_text, leading, started_text, stopped_text
from hrmsearch.train import EpochDone, SeedResult, SeedStarted, Step, Watcher


class Live(Watcher):
    """A context in which events move a progress bar; what is worth keeping is printed above it."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[scores]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            # The bar is drawn from a thread that takes turns with training.
            refresh_per_second=4,
            transient=True,
            expand=True,
        )
        self._task: TaskID | None = None
        self._best = ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def headline(self, text: str) -> None:
        """Print which corpus is used."""
        self._print(text)

    def note(self, text: str) -> None:
        """Print a remark."""
        self._print(f"note: {text}", style="yellow")

    def started(self, event: SeedStarted) -> None:
        """Print what is trained, and start its bar where the seed stands."""
        self._print(started_text(event))
        self._best = ""
        self._task = self._progress.add_task(f"seed {event.seed}", total=event.steps, scores="")
        # An advance would count as speed, and the time left would be too short.
        self._progress.update(self._task, completed=event.step)
        self._progress.reset(self._task, start=True, completed=event.step)

    def step(self, event: Step) -> None:
        """Move the bar and show the loss."""
        if self._task is not None:
            scores = f"epoch {event.epoch}  loss {event.loss:.3f}{self._best}"
            self._progress.update(self._task, completed=event.step, scores=scores)

    def epoch(self, event: EpochDone) -> None:
        """Remember the best validation score."""
        if event.best:
            self._best = f"  valid {leading(event.valid[-1])}"

    def stopped_early(self, seed: int, epoch: int, best_epoch: int) -> None:
        """Print that patience ran out."""
        self._print(stopped_text(seed, epoch, best_epoch))

    def finished(self, result: SeedResult) -> None:
        """Remove the bar and print the seed's result."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        self._print(finished_text(result))

    def _print(self, text: str, style: str = "") -> None:
        self._progress.console.print(Text(text, style=style))
