"""`hrmsearch eval`: a trained run scored again, with another pass count, corpus or split."""

from pathlib import Path

import click

from hrmsearch.cli import options


@click.command("eval")
@options.run_dir
@click.option(
    "--passes", type=click.IntRange(min=1), metavar="N", help="Passes over each window, in place of the spec's."
)
@click.option("--corpus", metavar="NAME", help="Another corpus: a name or a path to a text file.")
@click.option("--split", default="test", show_default=True, metavar="NAME", help="valid, test, or another of the task.")
@options.run_backend
@options.run_device
@options.as_json
def command(
    run: Path,
    passes: int | None,
    corpus: str | None,
    split: str,
    backend: str | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Score a trained model again.

    RUN is a folder that `run` wrote, with its manifest in it. Prints the scores after every pass, and the
    task's controls on the same data.
    """
    from hrmsearch.cli.files import one_run
    from hrmsearch.cli.terminal import print_json, print_table
    from hrmsearch.report.results import evaluation_table
    from hrmsearch.train import evaluate, load_run

    result = evaluate(load_run(one_run(run), backend, device), split, passes=passes, corpus=corpus)
    if as_json:
        scores = [score.record() for score in result.scores]
        print_json({"run_dir": str(run), "split": split, "corpus": result.identity.corpus, "scores": scores})
        return
    click.echo(f"{result.headline}\n")
    print_table(evaluation_table(result))
