"""`hrmsearch show`: what a trained model says to a puzzle, beside what is right."""

from pathlib import Path

import click

from hrmsearch.cli import options


@click.command("show")
@options.weights
@options.of_spec
@options.overrides
@click.option(
    "--number",
    "numbers",
    type=click.IntRange(min=0),
    multiple=True,
    metavar="N",
    help="Of the puzzle; may be repeated.",
)
@click.option("--split", default="test", show_default=True, metavar="NAME", help="valid, test, or another of the task.")
@click.option("--passes", type=click.IntRange(min=1), metavar="N", help="Passes, in place of the spec's.")
@options.run_backend
@options.run_device
def command(
    weights: Path,
    spec: str | None,
    overrides: tuple[str, ...],
    numbers: tuple[int, ...],
    split: str,
    passes: int | None,
    backend: str | None,
    device: str | None,
) -> None:
    """Show puzzles with a trained model's answers.

    RUN is a folder that `run` wrote, with its manifest in it; FILE is safetensors of the parameters of SPEC. Puzzle,
    solution and answer stand side by side, with wrong cells marked, and below them the share of right cells after every
    pass.
    """
    from hrmsearch.cli.models import loaded
    from hrmsearch.cli.terminal import console
    from hrmsearch.report.boards import beside, beside_in_colour, fitting
    from hrmsearch.report.puzzles import boards_of, told
    from hrmsearch.train import answers

    model = loaded(weights, spec, overrides, backend, device)
    out = console()
    for answer in answers(model, split, numbers or (0,), passes):
        for boards in fitting(boards_of(model.task, answer), out.width):
            for line in beside_in_colour(boards) if out.is_terminal else beside(boards):
                out.print(line)
        out.print(f"{told(split, answer)}\n")
