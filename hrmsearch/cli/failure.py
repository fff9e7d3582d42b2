"""Exceptions as a user meets them: one message on stderr and an exit code."""

import errno
import os
import signal
import sys
from typing import IO, Any, Final

import click

from hrmsearch.errors import HrmsearchError, SpecError

BUG: Final = 70  # EX_SOFTWARE of sysexits.h; 1 means that a check found something
# As a shell reports a process that a signal ended.
BY_SIGNAL: Final = 128
BROKEN_PIPE: Final = BY_SIGNAL + 13  # Windows has no SIGPIPE to ask

# What the machine refuses, as opposed to what the program got wrong.
_ENVIRONMENT: Final = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EMFILE,
    errno.ENAMETOOLONG,
}


class Failure(click.ClickException):
    """Ends the command with a message that stands as it is and an exit code."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        # click declares it for the class, and reads it from the instance
        self.exit_code = exit_code  # pyright: ignore[reportAttributeAccessIssue]

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message, if there is one."""
        if self.message:
            click.echo(self.message, file=file or sys.stderr)


def as_failure(error: BaseException) -> click.ClickException | None:
    """Return what to tell the user; None for a bug and for what click handles itself."""
    if isinstance(error, SpecError):
        return Failure(str(error), error.exit_code)
    if isinstance(error, HrmsearchError):
        return Failure(f"hrmsearch: {error}", error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return _interrupted(error)
    if isinstance(error, BrokenPipeError):
        _forget_stdout()
        return Failure("", BROKEN_PIPE)
    if isinstance(error, OSError) and error.errno in _ENVIRONMENT:
        file = f"{error.filename}: " if error.filename else ""
        return Failure(f"hrmsearch: {file}{error.strerror}")
    return None


def _interrupted(error: KeyboardInterrupt) -> Failure:
    """Say how to go on, where the interrupted work knows; `signal` is set when it was another one than SIGINT."""
    code = BY_SIGNAL + int(getattr(error, "signal", signal.SIGINT))
    # The first line break ends the terminal's ^C.
    return Failure(f"\nhrmsearch: {str(error) or 'interrupted'}", code)


def report_bug() -> int:
    """Print the exception being handled with its traceback and ask for a report; return the exit code."""
    import traceback

    traceback.print_exc()
    print("\nhrmsearch: this is a bug. Please report it, with the lines above and the command.", file=sys.stderr)
    return BUG


def _forget_stdout() -> None:
    """Point stdout at nothing, or Python complains about the broken pipe once more when it flushes at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return
