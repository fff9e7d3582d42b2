"""`hrmsearch compile`: a spec as source that runs without hrmsearch, or as the kernels of a device."""

from pathlib import Path

import click

from hrmsearch.cli import options


@click.command("compile")
@options.spec
@options.overrides
@options.backend
@options.device
@click.option("--kernels", is_flag=True, help="Print the device's kernels, in its language; it need not be here.")
@options.batch
@options.tokens
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write here instead of stdout.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def command(
    spec: str,
    overrides: tuple[str, ...],
    backend: str,
    device: str,
    kernels: bool,
    batch: int | None,
    tokens: int | None,
    output: Path | None,
    force: bool,
) -> None:
    """Print the source of SPEC that a backend runs.

    It is one readable file, the same that `run` executes and keeps beside its results. With --kernels it is what the
    backend generates from that source for the device: a forward pass and the train steps.
    """
    from hrmsearch.cli.files import may_write, write_text
    from hrmsearch.lowering import lower
    from hrmsearch.spec.load import load
    from hrmsearch.train import RunOptions, kernels_for, source_for

    if not kernels and (batch or tokens):
        raise click.UsageError("--batch and --tokens are for --kernels; the source is the same for all")
    if output == Path("-"):
        output = None
    if output is not None:
        may_write(output, force=force)
    loaded, chosen = load(spec, overrides), RunOptions(backend, device)
    if kernels:
        text = kernels_for(loaded, lower(loaded), chosen, *options.shape(loaded, batch, tokens))
    else:
        text = source_for(loaded, lower(loaded), chosen)
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
    else:
        write_text(output, text)
