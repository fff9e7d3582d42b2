"""`metrics.jsonl`: one score a line, strict JSON, appended while a run goes on."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from hrmsearch.errors import RunError
from hrmsearch.train.scores import Score


class MetricsFile:
    """Appends lines; what lies beyond `length` bytes when it is opened was never confirmed, and is cut off.

    Raises RunError where the file cannot be written or is shorter than `length`.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        self._path = path
        self._length = length
        try:
            size = path.stat().st_size if path.exists() else 0
            if size < length:
                raise RunError(f"{path}: truncated: it has {size} bytes, its checkpoint knows of {length}")
            with open(path, "ab") as stream:
                stream.truncate(length)
        except OSError as error:
            raise self._failed(error) from error

    @property
    def length(self) -> int:
        """Bytes written, all of them on disk."""
        return self._length

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Append records and wait until they are on disk."""
        text = "".join(json.dumps(record, allow_nan=False) + "\n" for record in records)
        try:
            with open(self._path, "ab") as stream:
                stream.write(text.encode())
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise self._failed(error) from error
        self._length += len(text.encode())

    def _failed(self, error: OSError) -> RunError:
        return RunError(f"{self._path}: cannot be written ({error.strerror or error})")


def record(step: int, epoch: int, split: str, score: Score, **more: float | None) -> dict[str, Any]:
    """Return a line: step and epoch count from 1; `more` holds what training lines have besides."""
    scored = score.record()
    return {"step": step, "epoch": epoch, "pass": scored.pop("pass"), "split": split, **scored, **more}


def read(path: Path) -> list[dict[str, Any]]:
    """Return all lines; raises RunError where the file is missing or a line is no JSON object."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: cannot be read ({error})") from error
    return [_object(f"{path}:{number}", line) for number, line in enumerate(lines, start=1)]


def _object(place: str, line: str) -> dict[str, Any]:
    """Return the JSON object in a line; raises RunError, which begins with `place`, where it holds none."""
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        raise RunError(f"{place}: the line is no JSON ({error.msg} at column {error.colno})") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{place}: the line is no JSON ({error})") from error
    if not isinstance(found, dict):
        raise RunError(f"{place}: the line is no JSON object; a run writes one a score")
    return cast("dict[str, Any]", found)
