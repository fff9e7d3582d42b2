"""`hrmsearch worker`: a process that works on a study, beside any others on any hosts."""

import os
import sys
from pathlib import Path

import click

from hrmsearch.cli import options


@click.command("worker")
@options.study
@options.storage
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Where runs go here; the study's folder.")
@click.option("--device", metavar="NAME", help="In place of the study's device.")
@click.option(
    "--grace",
    type=click.FloatRange(min=0.1),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Silence after which a worker on another host counts as dead.",
)
def command(study: str, storage: str | None, out: Path | None, device: str | None, grace: float) -> None:
    """Work on STUDY until it is finished.

    STUDY is a study's name, and --storage where it lives; or the folder of a study on this host. Any number of workers
    on any number of hosts may work at once; one that dies loses nothing.
    """
    # read by the framework when it is first imported; workers share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from hrmsearch.cli.place import place
    from hrmsearch.study.workers import work_on

    name, url = place(study, storage)
    command = ("hrmsearch", *sys.argv[1:])
    done = work_on(name, url, folder=out, device=device, grace=grace, heard=_tell, command=command)
    click.echo(f"study {name} is finished; {done} trials ended here")


def _tell(item: object, outcome: object) -> None:
    from hrmsearch.study.board import Item
    from hrmsearch.study.outcomes import Outcome

    assert isinstance(item, Item)
    again = f" again, attempt {item.attempt + 1}" if item.attempt else ""
    click.echo(f"{item.name}: {outcome.what}" if isinstance(outcome, Outcome) else f"{item.name}: begins{again}")
