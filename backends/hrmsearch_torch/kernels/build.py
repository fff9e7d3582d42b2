"""Compiles C with the system's compiler, once per text, compiler, flags and processor.

Libraries are kept in `hrmsearch/kernels` below the user's cache directory, which nobody else may write to: what lies
there is run. Several processes may build the same library at once: each writes a file of its own and renames it.
"""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from hrmsearch.errors import BackendError

# no fast-math: infinities, NaNs and the order of sums mean what they say
_FLAGS = ("-O2", "-fno-math-errno", "-ffp-contract=fast", "-fPIC", "-shared", "-std=gnu11")
#: what not every compiler has, the most wanted first
_EXTRAS: Sequence[Sequence[str]] = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native",), ())
#: a kernel compiles in a second; one that takes this long never will
_SECONDS = 120


def compiler() -> tuple[str, ...] | None:
    """Return the command of the C compiler, `$CC` or `cc`, None where there is none."""
    command = shlex.split(os.environ.get("CC", "")) or ["cc"]
    found = shutil.which(command[0])
    return (found, *command[1:]) if found else None


@cache
def version(command: tuple[str, ...]) -> str:
    """Return what a compiler calls itself."""
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=False)
    return done.stdout.partition("\n")[0]


@cache
def processor() -> str:
    """Return what tells this processor's instructions from another's, for `-march=native` depends on them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    kept = [line for line in lines if line.startswith(("flags", "Features", "model name", "CPU part"))]
    return f"{platform.machine()} {' '.join(sorted(set(kept)))}"


def folder() -> Path:
    """Return the directory of built libraries, made at need.

    Raises BackendError where others own it or may write to it.
    """
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        path = Path(base) / "hrmsearch" / "kernels"
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except (OSError, RuntimeError):  # nowhere to write, or no home
        return Path(_temporary().name)
    # whoever owns the directory above, or may write to it, can put another one in its place
    _check_owned(path.parent.resolve(), stat.S_IWOTH)
    _check_owned(path)
    return path


@cache
def _temporary() -> "tempfile.TemporaryDirectory[str]":
    """Return a directory for this process alone, where no cache can be written; it goes when the process ends."""
    return tempfile.TemporaryDirectory(prefix="hrmsearch-kernels-")


def _check_owned(path: Path, writable: int = stat.S_IWGRP | stat.S_IWOTH) -> None:
    """Raise BackendError where someone else may have written what a path holds."""
    if not hasattr(os, "getuid"):
        return
    found = path.lstat()
    if found.st_uid != os.getuid():
        raise BackendError(f"{path}: belongs to another user; set XDG_CACHE_HOME to a directory of your own")
    if stat.S_ISLNK(found.st_mode) or found.st_mode & writable:
        raise BackendError(f"{path}: others may write to it, and what lies there is run; chmod go-w it")


def build(text: str) -> ctypes.CDLL:
    """Return the library that a C text defines.

    Raises BackendError where there is no compiler, or the compiler refuses the text.
    """
    command = compiler()
    if command is None:
        raise BackendError("no C compiler: install one, or set CC to its command")
    problem = ""
    for extras in _EXTRAS:
        flags = (*_FLAGS, *extras)
        key = hashlib.sha256("\0".join([text, *command, version(command), *flags, processor()]).encode()).hexdigest()
        path = folder() / f"{key[:32]}.so"
        problem = "" if path.exists() else _compile(text, [*command, *flags], path)
        if not problem:
            _check_owned(path)
            return ctypes.CDLL(str(path))
    raise BackendError(
        f"{shlex.join(command)} refuses a generated kernel; mend it, or do without by --no-kernels: {problem}"
    )


def _compile(text: str, command: Sequence[str], path: Path) -> str:
    """Compile a text into a library; returns what went wrong, nothing where nothing did."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="build-") as work:
        source, made = Path(work) / "kernel.c", Path(work) / "kernel.so"
        source.write_text(text)
        line = [*command, "-o", str(made), str(source), "-lm"]
        done = subprocess.run(line, capture_output=True, text=True, timeout=_SECONDS, check=False)
        if done.returncode:
            return done.stderr.strip() or f"exit code {done.returncode}"
        # readable next to its library
        os.replace(source, path.with_suffix(".c"))
        made.chmod(0o700)
        os.replace(made, path)
    return ""
