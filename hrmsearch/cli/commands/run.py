"""`hrmsearch run`: trains every seed of a spec and tells what came of it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hrmsearch.cli import options

if TYPE_CHECKING:
    from hrmsearch.spec.model import Spec
    from hrmsearch.train import RunOptions, Watcher


@click.command("run")
@options.spec
@options.overrides
@options.backend
@options.device
@click.option(
    "--out",
    default=Path("runs"),
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder of all runs; a seed's files go to DIR/<name>/seed-<seed>.",
)
@click.option(
    "--kernels/--no-kernels",
    default=True,
    show_default=True,
    help="Run recurrences by generated kernels where the device has them.",
)
@options.optimize
@click.option("--resume", is_flag=True, help="Continue an interrupted run from its last checkpoint.")
@click.option(
    "--tensorboard",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write TensorBoard event files here while the run goes on.",
)
@options.as_json
def command(
    spec: str,
    overrides: tuple[str, ...],
    backend: str,
    device: str,
    out: Path,
    kernels: bool,
    optimize: bool,
    resume: bool,
    tensorboard: Path | None,
    as_json: bool,
) -> None:
    """Train SPEC over its seeds.

    Prints a line per epoch, or a live bar on a terminal, and ends with a table: a row per seed, mean and standard
    deviation, and the task's controls; where rows halt one by one, with another of the passes that they took. Ctrl-C
    leaves a run that --resume continues exactly.
    """
    from hrmsearch.spec.load import load
    from hrmsearch.train import RunOptions

    words = ("hrmsearch", *sys.argv[1:])
    chosen = RunOptions(backend, device, out, resume, optimize, kernels=kernels, command=words)
    loaded = load(spec, overrides)
    also = _events(tensorboard, loaded.name)
    if as_json:
        _for_programs(loaded, chosen, also)
    else:
        _for_people(loaded, chosen, also)


def _events(folder: Path | None, name: str) -> "Watcher":
    """Return what writes event files, if they are wanted."""
    from hrmsearch.train import Silent

    if folder is None:
        return Silent()
    from hrmsearch.report.live_events import LiveEvents

    return LiveEvents(folder, name)


def _for_people(spec: "Spec", chosen: "RunOptions", also: "Watcher") -> None:
    from hrmsearch.cli.terminal import print_table
    from hrmsearch.cli.watching import watching
    from hrmsearch.report.halting import halting_table
    from hrmsearch.report.results import seeds_table
    from hrmsearch.train import Several, run, summarise

    with watching() as watcher:
        results = run(spec, chosen, Several(watcher, also))
    click.echo()
    print_table(seeds_table(results))
    if (halted := halting_table([summarise(results)])) is not None:
        print_table(halted)
    click.echo("\n".join(f"files: {result.run_dir}" for result in results))


def _for_programs(spec: "Spec", chosen: "RunOptions", also: "Watcher") -> None:
    from hrmsearch.cli.lines import JsonLines, result_record
    from hrmsearch.cli.terminal import print_json
    from hrmsearch.train import Several, run, summarise

    results = run(spec, chosen, Several(JsonLines(), also))
    seeds = [result_record(result) for result in results]
    # With several seeds, `run_dir` and `metrics` are the last one's; `seeds` has all.
    print_json({"event": "done", **seeds[-1], "seeds": seeds, "summary": summarise(results).record()})
