"""Chooses how a run is watched: a live bar on a terminal, plain lines in a pipe."""

from collections.abc import Generator
from contextlib import contextmanager

from hrmsearch.cli.lines import Lines
from hrmsearch.cli.terminal import console
from hrmsearch.train import Watcher


@contextmanager
def watching() -> Generator[Watcher]:
    """Yield the watcher for people."""
    out = console()
    if not out.is_terminal:
        yield Lines()
        return
    from hrmsearch.cli.live import Live

    with Live(out) as live:
        yield live
