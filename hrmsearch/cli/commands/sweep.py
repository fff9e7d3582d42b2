"""`hrmsearch sweep`: a study from its file to a ranked table with verdicts."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hrmsearch.cli import options

if TYPE_CHECKING:
    from hrmsearch.study.contract import Contract
    from hrmsearch.study.results import StudyResults


@click.command("sweep")
@click.argument("file", metavar="[FILE]", default="kernel")
@click.option("--trials", type=click.IntRange(min=1), metavar="N", help="Trials per arm.")
@click.option("--seeds", type=click.IntRange(min=1), metavar="N", help="Fresh seeds of each finalist.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a value of the study, or of all arms, such as train.epochs=5; may be repeated.",
)
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Processes here; one per core, up to 8.")
@options.storage
@click.option(
    "--out",
    default=Path("runs"),
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder of all studies; this one's files go to DIR/<study>.",
)
@click.option("--resume", is_flag=True, help="Go on with a study that was stopped.")
@click.option("--dry-run", is_flag=True, help="Print what the arms are matched to, and run nothing.")
@options.backend
@options.device
@options.optimize
@options.as_json
def command(
    file: str,
    trials: int | None,
    seeds: int | None,
    overrides: tuple[str, ...],
    workers: int | None,
    storage: str | None,
    out: Path,
    resume: bool,
    dry_run: bool,
    backend: str,
    device: str,
    optimize: bool,
    as_json: bool,
) -> None:
    """Run the study in FILE.

    Its arms are matched, each is searched, and the finalists are compared on fresh seeds. FILE is a study file or the
    name of a shipped one; without it, the H/L kernel, sLSTM and HRM are compared at equal size. Ctrl-C leaves a study
    that --resume continues; other hosts join by `hrmsearch worker`.
    """
    from hrmsearch.cli.studies import observing
    from hrmsearch.study.contract import contract
    from hrmsearch.study.load import load_study
    from hrmsearch.study.sweeping import SweepOptions, cores, sweep

    given = {"trials": trials, "seeds": seeds}
    chosen = [*overrides, *(f"{name}={value}" for name, value in given.items() if value is not None)]
    study = load_study(file, chosen)
    folder = out / study.name
    agreed = contract(study, backend, device, folder.absolute(), optimize=optimize)
    _print_plan(agreed, as_json)
    if dry_run:
        return
    with observing(agreed, as_json=as_json) as observer:
        found = sweep(agreed, SweepOptions(folder, storage, workers or min(8, cores()), resume), observer)
    _print_results(found, folder, as_json)


def _print_plan(agreed: "Contract", as_json: bool) -> None:
    from hrmsearch.cli.terminal import print_json, print_table
    from hrmsearch.report.studies import plan_table

    if as_json:
        print_json({"event": "study", **agreed.model_dump(mode="json")})
    else:
        print_table(plan_table(agreed))


def _print_results(found: "StudyResults", folder: Path, as_json: bool) -> None:
    from hrmsearch.cli.terminal import print_json, print_table
    from hrmsearch.report.studies import ranking

    if as_json:
        print_json({"event": "done", "folder": str(folder), **found.record()})
        return
    table = ranking(found)
    click.echo()
    if table is None:
        click.echo(f"nothing to compare: {found.why}")
    else:
        assert found.comparison is not None
        print_table(table)
        click.echo("\n".join(found.comparison.sentences()))
        for warning in found.comparison.warnings:
            click.echo(f"warning: {warning}", err=True)
    click.echo("\n".join(f"best {arm}: {folder / f'best-{arm}.yaml'}" for arm in found.finalists))
    click.echo(f"files: {folder}")
