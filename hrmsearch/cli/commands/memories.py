"""`hrmsearch memories`: every memory kind, and where it may stand for how long."""

import click


@click.command("memories")
@click.argument("kinds", nargs=-1)
def command(kinds: tuple[str, ...]) -> None:
    """Print where memories may stand and for how long.

    KINDS are names of memory kinds, by default all that are registered, plug-ins too. Codes of errors stop a run, those
    beside `runs` are warnings; `hrmsearch explain` has a page for each.
    """
    from hrmsearch.testing.combination_table import table
    from hrmsearch.testing.combinations import combinations, judge, variants

    known = variants()
    names = {memory["kind"] for memory in known.values()}
    for kind in kinds:
        if kind not in names:
            raise click.BadParameter(f"no memory is called {kind!r}; there are: {', '.join(sorted(names))}")
    some = {name: memory for name, memory in known.items() if not kinds or memory["kind"] in kinds}
    click.echo(table(map(judge, combinations(some))), nl=False)
