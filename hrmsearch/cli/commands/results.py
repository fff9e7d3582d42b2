"""`hrmsearch results`: finished runs side by side, on the terminal or as Markdown in a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hrmsearch.report.evidence import Evidence


@click.command("results")
@click.argument("folders", metavar="FOLDER...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write Markdown here too.")
@click.option("--manifests", is_flag=True, help="Copy each run's manifest beside FILE, as SPEC/seed-K.json.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
def command(folders: tuple[Path, ...], output: Path | None, manifests: bool, force: bool) -> None:
    """Compare finished runs, a row per spec.

    FOLDER is a run, or a folder above runs such as `runs`. Rows are means and deviations over seeds; each corpus has a
    table of its own, with the task's controls on it.
    """
    from hrmsearch.cli.files import may_write, write_text
    from hrmsearch.cli.terminal import print_table
    from hrmsearch.errors import RunError
    from hrmsearch.report.evidence import gather
    from hrmsearch.report.runs import compare, tables

    if manifests and output is None:
        raise click.UsageError("--manifests needs --output, beside which they go")
    if output is not None:
        may_write(output, force=force)
    finished, others = gather(folders)
    for one in others:
        click.echo(str(one), err=True)
    if not finished:
        raise RunError("none of these runs is finished")
    copies = _copies(finished, output.parent) if manifests and output else {}
    for copy in copies:
        may_write(copy, force=force)
    made = tables(compare(finished))
    for table in made:
        print_table(table)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_text(output, "\n".join(table.markdown() for table in made))
        for copy, one in copies.items():
            copy.parent.mkdir(exist_ok=True)
            write_text(copy, one.file.read_text(encoding="utf-8"))


def _copies(finished: Sequence["Evidence"], folder: Path) -> dict[Path, "Evidence"]:
    """Return where each run's manifest goes; raises RunError where two would go to one place."""
    from hrmsearch.errors import RunError

    found: dict[Path, Evidence] = {}
    for one in finished:
        copy = folder / one.result.name / f"seed-{one.seed}.json"
        if copy in found:
            raise RunError(
                f"{found[copy].file.parent} and {one.file.parent} are both seed {one.seed} of {one.result.name}, whose "
                "manifest has one place; write their results apart, or give the specs names of their own"
            )
        found[copy] = one
    return found
