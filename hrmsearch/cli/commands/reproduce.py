"""`hrmsearch reproduce`: runs a manifest again and says whether it comes to the same."""

from pathlib import Path

import click

from hrmsearch.cli import options


@click.command("reproduce")
@click.argument("manifest", metavar="MANIFEST", type=click.Path(path_type=Path))
@options.run_backend
@options.run_device
def command(manifest: Path, backend: str | None, device: str | None) -> None:
    """Train again what MANIFEST describes, and compare.

    Exits with 1 where the metrics differ by more than the tolerance.
    """
    from hrmsearch.cli.watching import watching
    from hrmsearch.train import reproduce

    with watching() as watcher:
        comparison = reproduce(manifest, watcher, backend=backend, device=device)
    click.echo(str(comparison))
    if not comparison.matches:
        raise click.exceptions.Exit(1)
