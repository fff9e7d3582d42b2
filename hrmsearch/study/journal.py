"""The default storage of a study: a journal file that a killed process can neither lock nor tear.

Optuna's own journal is locked by files that outlive their process and are waited out; this one is locked by the kernel,
which lets go at once. Where a process died while it wrote, the last line has no end, and the next writer removes it:
nobody was told that it was written. A line is on disk when a trial's end is; what a loss of power takes beyond that are
trials that were under way, and they are run again.
"""

import fcntl
import json
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from hrmsearch.errors import RunError

#: how far from the end a line break is looked for at a time
_BLOCK = 4096
#: how much of a file is read to tell whether it is a journal; its first line names a study and takes far less
_HEAD = 1 << 16
_ENDS = {state.value for state in TrialState if state.is_finished()}


class Journal(JournalFileBackend):
    """A file of JSON lines, one per change; raises RunError for a file that is something else, and leaves it alone."""

    def __init__(self, path: Path) -> None:
        _refuse_foreign(path)
        super().__init__(str(path))
        self._path = path

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield changes from one on; raises RunError at a line that holds none."""
        number = log_number_from
        try:
            for log in super().read_logs(log_number_from):
                number += 1
                if not _is_change(log):
                    raise _damaged(self._path, number)
                yield log
        except ValueError as error:
            raise _damaged(self._path, number + 1) from error

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append changes; those that end a trial are on disk when this returns."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self._locked(), open(self._path, "ab") as stream:
            mend(self._path)
            stream.write(lines.encode())
            stream.flush()
            if _is_an_end(logs):
                os.fsync(stream.fileno())

    @contextmanager
    def _locked(self) -> Generator[None]:
        """Exclude other writers; the kernel ends that with the process at the latest."""
        lock = os.open(self._path.with_name(f"{self._path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _is_an_end(logs: Sequence[dict[str, Any]]) -> bool:
    return any(log.get("state") in _ENDS for log in logs)


def _is_change(log: Any) -> bool:
    return isinstance(log, dict) and "op_code" in log


def _damaged(journal: Path, line: int) -> RunError:
    return RunError(f"{journal}: line {line} is damaged; restore the file, or name a new one")


def _refuse_foreign(path: Path) -> None:
    """Raise RunError for a file with anything but a journal in it: what has no line break would be cut off as torn."""
    try:
        with open(path, "rb") as stream:
            first = stream.readline(_HEAD)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunError(f"{path}: cannot be read as a journal of a study ({error.strerror or error})") from error
    if first and not (first.endswith(b"\n") and _is_change(_parsed(first))):
        raise RunError(f"{path}: is no journal of a study; name a new file")


def _parsed(line: bytes) -> Any:
    """Return what a line of JSON says; None where it is none."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def mend(journal: Path) -> None:
    """Cut off what follows the last line break of a file: a line that was never finished."""
    with open(journal, "r+b") as stream:
        end = start = stream.seek(0, os.SEEK_END)
        while start > 0:
            begin = max(0, start - _BLOCK)
            stream.seek(begin)
            found = stream.read(start - begin).rfind(b"\n")
            start = begin + found + 1
            if found >= 0:
                break
        if start < end:
            stream.truncate(start)


def open_journal(path: Path) -> JournalStorage:
    """Return the storage in a journal file, which is made at need; raises RunError for a file that is no journal."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path.parent}: cannot be made ({error.strerror or error})") from error
    journal = Journal(path)
    try:
        return JournalStorage(journal)
    except (LookupError, TypeError, AssertionError) as error:
        raise RunError(f"{path}: has a change that cannot be followed ({error!r}); name a new file") from error
