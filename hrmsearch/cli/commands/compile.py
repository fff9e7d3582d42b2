"""`hrmsearch compile`: a spec as source that runs without hrmsearch."""

from pathlib import Path

import click

from hrmsearch.cli import options


@click.command("compile")
@options.spec
@options.overrides
@options.backend
@options.device
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write here instead of stdout.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def command(spec: str, overrides: tuple[str, ...], backend: str, device: str, output: Path | None, force: bool) -> None:
    """Print the source of SPEC that a backend runs.

    It is one readable file, the same that `run` executes and keeps beside its results.
    """
    from hrmsearch.cli.files import may_write, write_text
    from hrmsearch.lowering import lower
    from hrmsearch.spec.load import load
    from hrmsearch.train import RunOptions, source_for

    if output == Path("-"):
        output = None
    if output is not None:
        may_write(output, force=force)
    loaded = load(spec, overrides)
    source = source_for(loaded, lower(loaded), RunOptions(backend, device))
    if output is None:
        click.echo(source, nl=not source.endswith("\n"))
    else:
        write_text(output, source)
