"""Files that a command is pointed to: runs to read, and texts to write, never over another unasked or by half."""

from pathlib import Path

import click

from hrmsearch.errors import RunError


def one_run(path: Path) -> Path:
    """Return the folder of a run; raises RunError for one that holds the runs of several seeds."""
    seeds = [] if (path / "manifest.json").exists() else sorted(path.glob("*/manifest.json"))
    if seeds:
        raise RunError(f"{path}: holds the runs of {len(seeds)} seeds; name one, such as {seeds[0].parent}")
    return path


def may_write(path: Path, *, force: bool) -> None:
    """Raise RunError where writing would replace something; asked before the work is done."""
    if path.is_dir():
        raise RunError(f"{path}: is a folder; name a file in it")
    if path.exists() and not force:
        raise RunError(f"{path}: exists already; --force replaces it")


def write_text(path: Path, text: str) -> None:
    """Write a file and say so on stderr; raises RunError where that is impossible."""
    from hrmsearch.files import write

    write(path, text)
    click.echo(f"wrote {path}", err=True)
