"""`hrmsearch specs`: the shipped specs."""

import click


@click.command("specs")
def command() -> None:
    """List the shipped specs with their sizes."""
    from hrmsearch.cli.terminal import print_table
    from hrmsearch.report.numbers import count
    from hrmsearch.report.table import Table
    from hrmsearch.spec.load import shipped

    rows = [(name, count(params), about) for name in shipped() for params, about in [_describe(name)]]
    print_table(Table(["spec", "parameters", "about"], "lrl", [rows]))


def _describe(name: str) -> tuple[int, str]:
    from hrmsearch.lowering import lower
    from hrmsearch.report.structure import parameters
    from hrmsearch.spec.load import load

    spec = load(name)
    return parameters(lower(spec)), spec.about
