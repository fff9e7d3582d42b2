"""`hrmsearch eval`: a trained model scored, by another pass count, corpus or split than in training if need be."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hrmsearch.cli import options

if TYPE_CHECKING:
    from hrmsearch.train.scoring import Scored


@click.command("eval")
@options.weights
@options.of_spec
@options.overrides
@click.option(
    "--passes", type=click.IntRange(min=1), metavar="N", help="Passes over each window, in place of the spec's."
)
@click.option(
    "--scored",
    type=click.Choice(["max", "halt"]),
    help="Score rows after all passes, or as they halt, in place of the spec's nest.halt.eval.",
)
@click.option("--corpus", metavar="NAME", help="Another corpus: a name or a path to a text file.")
@click.option("--split", default="test", show_default=True, metavar="NAME", help="valid, test, or another of the task.")
@options.run_backend
@options.run_device
@options.as_json
def command(
    weights: Path,
    spec: str | None,
    overrides: tuple[str, ...],
    passes: int | None,
    scored: "Scored | None",
    corpus: str | None,
    split: str,
    backend: str | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Score a trained model.

    RUN is a folder that `run` wrote, with its manifest in it; FILE is safetensors of the parameters of SPEC, such as
    `import-checkpoint` makes of published ones. Prints the scores after every pass, and the task's controls on the same
    data.
    """
    from hrmsearch.cli.models import loaded
    from hrmsearch.cli.terminal import print_json, print_table
    from hrmsearch.report.results import evaluation_table
    from hrmsearch.train import evaluate

    model = loaded(weights, spec, overrides, backend, device)
    result = evaluate(model, split, passes=passes, scored=scored, corpus=corpus)
    if as_json:
        scores = [score.record() for score in result.scores]
        place = {"run_dir": str(weights)} if spec is None else {"weights": str(weights), "spec": model.spec.name}
        print_json({**place, "split": split, "corpus": result.identity.corpus, "scores": scores})
        return
    click.echo(f"{result.headline}\n")
    print_table(evaluation_table(result))
