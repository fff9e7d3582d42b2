"""`hrmsearch report`: finished runs as tables, figures, CSV and one HTML file."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hrmsearch.report.evidence import Evidence, LeftOut


@click.command("report")
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    default=Path("report"),
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder of the report.",
)
@click.option("--control", metavar="SPEC", help="The spec that the others are judged against.")
@click.option("--png", is_flag=True, help="Write figures as PNG too.")
@click.option("--no-figures", is_flag=True, help="Write no figures; needs no matplotlib.")
@click.option(
    "--tensorboard", metavar="DIR", type=click.Path(path_type=Path), help="Write TensorBoard event files here too."
)
@click.option("--force", is_flag=True, help="Replace files that exist.")
def command(
    folders: tuple[Path, ...],
    output: Path,
    control: str | None,
    png: bool,
    no_figures: bool,
    tensorboard: Path | None,
    force: bool,
) -> None:
    """Report on finished runs: tables, figures, one HTML file.

    RUN is a run, or a folder above runs such as `runs`. The HTML file holds everything and needs no network; report.md,
    CSV of every value and the figures as SVG lie beside it.
    """
    from hrmsearch.cli.terminal import print_table
    from hrmsearch.report.events import event_files
    from hrmsearch.report.experiment import document
    from hrmsearch.report.folder import contents, refuse_if_used, save
    from hrmsearch.report.runs import compare, tables

    if png and no_figures:
        raise click.UsageError("--png and --no-figures exclude each other")
    refuse_if_used(output, force=force)
    finished, others = _found(folders)
    compared = compare(finished, others)
    for table in tables(compared):
        print_table(table)
    made = document(compared, others, control=control, figures=not no_figures)
    files = contents(made, compared, png=png)
    events = event_files(compared) if tensorboard is not None else {}
    save(output, files)
    click.echo(f"wrote {output / 'report.html'} and {len(files) - 1} files beside it", err=True)
    if tensorboard is not None:
        save(tensorboard, events)
        click.echo(f"wrote {len(events)} event files; look at them by: tensorboard --logdir {tensorboard}", err=True)


def _found(folders: tuple[Path, ...]) -> tuple[list["Evidence"], list["LeftOut"]]:
    """Return finished runs and the others, naming these; raises RunError where none is finished."""
    from hrmsearch.errors import RunError
    from hrmsearch.report.evidence import gather

    finished, others = gather(folders)
    for one in others:
        click.echo(str(one), err=True)
    if not finished:
        raise RunError("none of these runs is finished")
    return finished, others
