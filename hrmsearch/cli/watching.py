"""Chooses how a run is watched: a live bar on a terminal, plain lines in a pipe."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from hrmsearch.cli.lines import Lines
from hrmsearch.cli.terminal import console
from hrmsearch.train import Watcher


@contextmanager
def watching(notes: Sequence[str] = ()) -> Generator[Watcher]:
    """Yield the watcher for people; it says `notes` below the headline."""
    out = console()
    if not out.is_terminal:
        yield Lines(notes)
        return
    from hrmsearch.cli.live import Live

    with Live(out, notes) as live:
        yield live
