"""Writing a file whole: whoever reads it, even after a crash, sees the old content or the new; and strict JSON."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from hrmsearch.errors import RunError


def write(path: Path, content: bytes | str, *, parents: bool = False) -> None:
    """Write a file by way of `<path>.part`, which a crash may leave behind; parents: make its folder if there is none.

    Raises RunError where it cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        if parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise RunError(f"{path}: cannot be written ({error.strerror or error})") from error


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a loss of power; folders cannot be opened on every system."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def strict(data: Any) -> Any:
    """Return data as strict JSON holds it: NaN and infinity become null, keys text."""
    if isinstance(data, float):
        return data if data - data == 0 else None
    if isinstance(data, dict):
        return {str(key): strict(value) for key, value in data.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return [strict(item) for item in data] if isinstance(data, list | tuple) else data  # pyright: ignore[reportUnknownVariableType]
