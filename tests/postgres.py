"""A PostgreSQL server of a test's own, in a folder of its own, as a user that may run one."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from glob import glob
from pathlib import Path

import pytest

#: what may own a server where the tests run as root, whom PostgreSQL refuses
_USERS = ("postgres", "nobody")


def _program(name: str) -> str:
    """Return the path of a program of PostgreSQL, which Debian keeps off PATH; skip where there is none."""
    found = shutil.which(name) or next(iter(sorted(glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None)
    if found is None:
        pytest.skip(f"PostgreSQL is not installed: there is no {name}")
    return found


def _user() -> str | None:
    """Return the user that a server runs as; None for the one that runs the tests."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in _USERS if name in known), None) or pytest.skip("no user but root, whom it refuses")


@contextmanager
def server() -> Generator[str]:
    """Start a server; yield the URL of its database; stop it. It listens on a socket in its folder only."""
    pytest.importorskip("psycopg", reason="psycopg is not installed, through which Optuna talks to PostgreSQL")
    initdb, pg_ctl, user = _program("initdb"), _program("pg_ctl"), _user()
    folder = Path(tempfile.mkdtemp(prefix="hrmsearch-pg-", dir="/tmp"))

    def run(*command: str) -> None:
        environment = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(
            command, user=user, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        if user is not None:
            shutil.chown(folder, user)
        data = str(folder / "data")
        run(initdb, "-D", data, "-U", "hrmsearch", "-E", "UTF8", "--auth=trust", "--no-sync")
        # not captured: the server keeps its parent's pipes open
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        run(pg_ctl, "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql+psycopg://hrmsearch@/postgres?host={folder}"
        finally:
            run(pg_ctl, "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
