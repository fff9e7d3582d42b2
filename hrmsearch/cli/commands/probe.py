"""`hrmsearch probe`: how much of its input a trained run's carry still knows."""

from pathlib import Path

import click

from hrmsearch.cli import options


@click.command("probe")
@options.run_dir
@click.option("--split", default="valid", show_default=True, metavar="NAME", help="valid, test, or another.")
@click.option(
    "--back", type=click.IntRange(min=0), default=0, show_default=True, metavar="K", help="Ask for the token K before."
)
@click.option("--keep", is_flag=True, help="Write it to RUN/probe.json too, which reports draw.")
@options.run_backend
@options.run_device
@options.as_json
def command(
    run: Path, split: str, back: int, keep: bool, backend: str | None, device: str | None, as_json: bool
) -> None:
    """Read tokens back from the states a trained model carries.

    RUN is a folder that `run` wrote, with its manifest in it. A linear probe is fitted in closed form to every other
    window and judged on those between; prints its accuracy and the variance it explains, by state and pass.
    """
    from hrmsearch.cli.files import one_run
    from hrmsearch.cli.terminal import print_json, print_table
    from hrmsearch.report.probed import Probed, probe_table
    from hrmsearch.train import load_run, reconstruct

    folder = one_run(run)
    found = Probed(split, back, reconstruct(load_run(folder, backend, device), split, back=back))
    if keep:
        click.echo(f"wrote {found.keep(folder)}", err=True)
    if as_json:
        print_json({"run_dir": str(run), **found.record()})
    else:
        print_table(probe_table(found))
