"""`hrmsearch sample`: text from a trained language model, as it comes."""

from pathlib import Path

import click

from hrmsearch.cli import options


@click.command("sample")
@options.weights
@options.of_spec
@options.overrides
@click.option("--prompt", required=True, metavar="TEXT", help="The text to continue.")
@click.option(
    "--length", type=click.IntRange(min=1), default=200, show_default=True, metavar="N", help="Symbols to add."
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0.0),
    default=1.0,
    show_default=True,
    metavar="X",
    help="0 takes the likeliest symbol, more is more varied.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="K", help="Draws differ by it."
)
@options.run_backend
@options.run_device
def command(
    weights: Path,
    spec: str | None,
    overrides: tuple[str, ...],
    prompt: str,
    length: int,
    temperature: float,
    seed: int,
    backend: str | None,
    device: str | None,
) -> None:
    """Continue a text with a trained model.

    RUN is a folder that `run` wrote, with its manifest in it; FILE is safetensors of the parameters of SPEC.
    """
    from hrmsearch.cli.models import loaded
    from hrmsearch.train import sample

    model = loaded(weights, spec, overrides, backend, device)
    pieces = sample(model, prompt, length, temperature, seed)
    click.echo(prompt, nl=False)
    for piece in pieces:
        click.echo(piece, nl=False)
    click.echo()
