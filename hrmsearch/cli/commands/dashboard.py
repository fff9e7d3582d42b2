"""`hrmsearch dashboard`: Optuna's dashboard on a study's storage."""

import click

from hrmsearch.cli import options


@click.command("dashboard")
@options.study
@options.storage
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where it listens.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535), metavar="N")
def command(study: str, storage: str | None, host: str, port: int) -> None:
    """Serve optuna-dashboard on a STUDY until Ctrl-C."""
    from hrmsearch.cli.place import board_at
    from hrmsearch.study.dashboard import need_dashboard, serve

    need_dashboard()
    board = board_at(study, storage)
    click.echo(f"study {board.contract.name}: http://{host}:{port}/, Ctrl-C ends it")
    serve(board.storage, host, port)
