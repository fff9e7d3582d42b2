"""`hrmsearch report`: finished runs or a study as tables, figures, CSV and one HTML file."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hrmsearch.report.document import Document
    from hrmsearch.report.runs import Compared
    from hrmsearch.report.table import Table


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
    """Report on finished runs, or on a study.

    RUN is a run, a folder above runs such as `runs`, or the folder of a study. The HTML file holds everything and needs
    no network; report.md, CSV of every value and the figures as SVG lie beside it.
    """
    from hrmsearch.cli.terminal import print_table
    from hrmsearch.report.events import event_files
    from hrmsearch.report.folder import contents, refuse_if_used, save
    from hrmsearch.report.study_file import is_study

    if png and no_figures:
        raise click.UsageError("--png and --no-figures exclude each other")
    refuse_if_used(output, force=force)
    made = _of_study if any(map(is_study, folders)) else _of_runs
    found = made(folders, control, figures=not no_figures)
    for table in found.shown:
        print_table(table)
    files = {**contents(found.document, found.compared, png=png), **found.more}
    events = event_files(found.compared) if tensorboard is not None else {}
    save(output, files)
    click.echo(f"wrote {output / 'report.html'} and {len(files) - 1} files beside it", err=True)
    if tensorboard is not None:
        save(tensorboard, events)
        click.echo(f"wrote {len(events)} event files; look at them by: tensorboard --logdir {tensorboard}", err=True)


class _Found(NamedTuple):
    """What to report: shown on the terminal, written, and further files by path."""

    document: "Document"
    compared: "Sequence[Compared]"
    shown: "Sequence[Table]"
    more: "Mapping[Path, str]"


def _of_study(folders: tuple[Path, ...], control: str | None, *, figures: bool) -> _Found:
    """Return the report on a study; raises HrmsearchError beside other folders or another control than its own."""
    from hrmsearch.errors import RunError
    from hrmsearch.report.runs import tables
    from hrmsearch.report.search import trials_csv, trials_table
    from hrmsearch.report.study_file import read
    from hrmsearch.report.study_report import study_document

    (folder, *others) = folders
    if others:
        raise RunError("a study has a report of its own; name its folder alone")
    study = read(folder)
    if control not in (None, study.control):
        raise RunError(f"--control {control}: the control of study {study.name} is {study.control}")
    for one in study.others:
        click.echo(str(one), err=True)
    compared = [study.finalists] if study.finalists else []
    shown = [trials_table(study), *tables(compared)]
    return _Found(study_document(study, figures=figures), compared, shown, {Path("trials.csv"): trials_csv(study)})


def _of_runs(folders: tuple[Path, ...], control: str | None, *, figures: bool) -> _Found:
    """Return the report on runs, naming what is left out; raises HrmsearchError where none is finished.

    The runs of a study belong to its report: hundreds of trials are no specs to put side by side.
    """
    from hrmsearch.errors import RunError
    from hrmsearch.report.evidence import gather
    from hrmsearch.report.experiment import document
    from hrmsearch.report.runs import compare, tables
    from hrmsearch.report.study_file import studies_below

    studies = studies_below(folders)
    finished, others = gather(folders)
    finished = [one for one in finished if not _is_below(one.file, studies)]
    others = [one for one in others if not _is_below(one.file, studies)]
    for left in [*(f"{study}: a study, left out; it has a report of its own" for study in studies), *others]:
        click.echo(str(left), err=True)
    if not finished:
        raise RunError("none of these runs is finished")
    compared = compare(finished, others)
    return _Found(document(compared, others, control=control, figures=figures), compared, tables(compared), {})


def _is_below(file: Path, folders: "Sequence[Path]") -> bool:
    return any(folder in file.parents for folder in folders)
