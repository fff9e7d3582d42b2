"""Downloads that end on time and never leave half a file."""

import os
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

_CHUNK = 1 << 16


def get(url: str, deadline: float, limit: int | None = None) -> bytes:
    """Return the body behind a URL, or its first `limit` bytes, before `deadline` on the monotonic clock.

    Raises OSError when that fails. The work is done in a thread because a hanging name look-up obeys no time-out.
    """
    outcome: list[bytes | Exception] = []
    worker = threading.Thread(target=_work, args=(url, deadline, limit, outcome), daemon=True)
    worker.start()
    worker.join(max(0.0, deadline - time.monotonic()))
    if not outcome:
        raise TimeoutError("it took too long")
    if isinstance(outcome[0], Exception):
        raise OSError(str(outcome[0])) from outcome[0]
    return outcome[0]


def _work(url: str, deadline: float, limit: int | None, outcome: list[bytes | Exception]) -> None:
    try:
        outcome.append(_read(url, deadline, limit))
    except Exception as error:  # carried over to the thread that waits
        outcome.append(error)


def _read(url: str, deadline: float, limit: int | None) -> bytes:
    body = bytearray()
    with _open(url, max(0.1, deadline - time.monotonic())) as response:
        stated = response.headers.get("Content-Length")
        wanted = min(size for size in (limit, int(stated) if stated else None, sys.maxsize) if size is not None)
        while len(body) < wanted and (chunk := response.read(min(_CHUNK, wanted - len(body)))):
            body += chunk
            if time.monotonic() > deadline:
                raise TimeoutError("it took too long")
    if stated and len(body) < wanted:
        raise ConnectionError(f"the connection closed after {len(body)} of {wanted} bytes")
    return bytes(body)


def _open(url: str, timeout: float) -> Any:
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    try:
        return urlopen(url, timeout=timeout)
    except HTTPError as error:
        error.close()  # it is a response too, and holds its socket
        raise OSError(f"HTTP {error.code} {error.reason}") from None
    except URLError as error:
        raise OSError(str(error.reason)) from None


def write_atomic(path: Path, body: bytes) -> None:
    """Write a file so that others see all of it or none; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def cache_dir() -> Path:
    """Return the user's cache folder for this program, by the platform's convention; it need not exist."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or _home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = _home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or _home() / ".cache"
    return Path(base) / "hrmsearch"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a container's nameless user has none
        return Path(tempfile.gettempdir())
