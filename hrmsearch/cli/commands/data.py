"""`hrmsearch data`: which corpora are here, and fetching those that are not."""

import click


@click.group("data")
def command() -> None:
    """List and fetch the corpora that specs train on."""


@command.command("list")
def list_() -> None:
    """List the corpora and where each is, or why it is not here."""
    from hrmsearch.cli.terminal import print_table
    from hrmsearch.report.table import Table
    from hrmsearch.tasks import corpora

    located = map(corpora.locate, corpora.names())
    rows = [(it.name, "yes" if it.found else "no", it.where, it.about) for it in located]
    print_table(Table(["corpus", "here", "where", "about"], "llll", [rows]))


@command.command("fetch")
@click.argument("names", nargs=-1, metavar="[CORPUS]...")
@click.option("--timeout", default=600.0, show_default=True, metavar="SECONDS", help="Give up after this long.")
def fetch(names: tuple[str, ...], timeout: float) -> None:
    """Bring whole corpora to this machine; without a name, `wikitext2`."""
    from hrmsearch.tasks import corpora

    for name in names or ("wikitext2",):
        location = corpora.fetch(name, timeout)
        click.echo(f"{location.name}: {location.where}")
