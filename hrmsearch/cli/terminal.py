"""Where output goes: consoles that know a terminal from a pipe. Imported by a command that runs, never at start-up."""

import errno
import json
import sys
from typing import Any, Final

from rich.console import Console

from hrmsearch.files import strict
from hrmsearch.report.table import Table

# In a pipe nothing is wrapped or cut, so that lines can be searched and counted.
_PIPE_WIDTH: Final = 10_000


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Pass on that the reader went away; the command group ends quietly."""
        raise BrokenPipeError(errno.EPIPE, "the reader went away")


def console(*, stderr: bool = False) -> Console:
    """Return a console on stdout or stderr; colour only on a terminal and without NO_COLOR."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return _Console(file=stream, width=width, highlight=False, markup=False, soft_wrap=width is not None)


def print_table(table: Table) -> None:
    """Print a table and an empty line: fitted to a terminal, whole lines in a pipe."""
    out = console()
    if out.is_terminal:
        out.print(table.rich())
        out.print()
    else:
        print(table.plain(), flush=True)


def print_json(data: Any) -> None:
    """Print one JSON value on one line; NaN and infinity, which JSON lacks, become null."""
    print(json.dumps(strict(data), ensure_ascii=False, allow_nan=False), flush=True)
