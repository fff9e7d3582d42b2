"""`hrmsearch status`: how far a study is."""

from dataclasses import asdict

import click

from hrmsearch.cli import options


@click.command("status")
@options.study
@options.storage
@options.as_json
def command(study: str, storage: str | None, as_json: bool) -> None:
    """Print how far STUDY is.

    A row per arm, with trials by what came of them and the best value so far; then who runs what.
    """
    from hrmsearch.cli.place import board_at
    from hrmsearch.cli.terminal import print_json, print_table
    from hrmsearch.report.studies import progress_table
    from hrmsearch.study.progress import progress
    from hrmsearch.study.results import trials_of

    board = board_at(study, storage)
    trials = trials_of(board)
    holders = {trial.holder for trial in trials if trial.state == "running"}
    found = progress(board.contract, trials, len(holders))
    if as_json:
        print_json({"study": board.contract.name, "finished": found.is_finished, **asdict(found)})
        return
    print_table(progress_table(board.contract, found))
    for trial in trials:
        if trial.state == "running":
            click.echo(f"{trial.item.name}: {trial.holder or 'waits for a worker'}")
