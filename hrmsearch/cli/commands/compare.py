"""`hrmsearch compare`: which of several trained specs is better, as far as their seeds can tell."""

from pathlib import Path

import click

from hrmsearch.cli import options


@click.command("compare")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--metric", metavar="[SPLIT.]NAME", help="What to compare, such as valid.ppl; by default test.bpc.")
@click.option("--control", metavar="ARM", help="The spec that all others are compared with; the first one.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write Markdown here too.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@options.as_json
def command(
    runs: tuple[Path, ...], metric: str | None, control: str | None, output: Path | None, force: bool, as_json: bool
) -> None:
    """Compare finished runs over paired seeds.

    RUN is the folder of a spec's seeds, as `hrmsearch run` writes it, a folder above several, or a manifest. Prints
    budgets, differences with intervals, and what may be claimed; docs/statistics.md says how.
    """
    from hrmsearch.cli.files import may_write, write_text
    from hrmsearch.cli.terminal import print_json, print_table
    from hrmsearch.report.comparison import arms_table, differences_table, page
    from hrmsearch.study.comparing import compare_runs
    from hrmsearch.study.runs import arms_in

    if output is not None:
        may_write(output, force=force)
    found = compare_runs(arms_in(runs), metric=metric, control=control)
    if as_json:
        print_json(found.record())
    else:
        print_table(arms_table(found))
        print_table(differences_table(found.comparison, found.metric.measure))
        click.echo("\n".join(found.sentences()))
        for warning in found.warnings:
            click.echo(f"warning: {warning}", err=True)
    if output is not None:
        write_text(output, page(found))
