"""`hrmsearch tasks`: what models can be trained on, and the settings that have a name."""

import click


@click.command("tasks")
def command() -> None:
    """List the tasks and their presets.

    A spec names one as `task: kind/preset`.
    """
    from hrmsearch.cli.terminal import print_table
    from hrmsearch.report.table import Table
    from hrmsearch.spec.registry import discover, kinds

    discover()
    rows = [(name, _about(kind.__doc__ or ""), " ".join(kind.presets)) for name, kind in kinds("task").items()]
    print_table(Table(["task", "about", "presets"], "lll", [rows]))


def _about(text: str) -> str:
    """Return the first sentence of a docstring on one line."""
    return " ".join(text.partition("\n\n")[0].split())
