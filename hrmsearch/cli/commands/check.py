"""`hrmsearch check`: what can be proved of a spec, and what must hold of every model, tried on its compiled one."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from hrmsearch.cli import options

if TYPE_CHECKING:
    from hrmsearch.testing.check import Outcome, Report


@click.command("check")
@options.spec
@options.overrides
@click.option("--backend", metavar="NAME", help="What runs the model; torch where it is installed, else the reference.")
@options.device
@click.option("--examples", type=click.IntRange(min=1), metavar="N", help="Random examples per invariant.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="What draws the examples.")
@click.option("--replay", metavar="EXAMPLE", help="Run only this example, which failed before, as it was printed.")
@options.as_json
def command(
    spec: str,
    overrides: tuple[str, ...],
    backend: str | None,
    device: str,
    examples: int | None,
    seed: int,
    replay: str | None,
    as_json: bool,
) -> None:
    """Prove and try what must hold of SPEC.

    Runs the analyses, compiles SPEC, and tries on random examples what must hold of every model. Nothing is trained.
    Weights are initial ones, enlarged so that small leaks show. Exits with 0 when everything holds or is accepted by
    SPEC, with 1 when an invariant or an analysis fails, with 2 when SPEC cannot be read or built.
    """
    from hrmsearch.cli.terminal import print_json
    from hrmsearch.spec.load import load
    from hrmsearch.testing.check import EXAMPLES
    from hrmsearch.testing.check import check as check_spec
    from hrmsearch.testing.check import replay as replay_example

    loaded = load(spec, overrides)
    if replay is not None:
        outcome = replay_example(loaded, replay, backend=backend, device=device)
        print_json(outcome.as_json()) if as_json else click.echo(str(outcome))
        _finish(ok=not outcome.stops)
        return
    report = check_spec(loaded, backend=backend, device=device, examples=examples or EXAMPLES, seed=seed)
    if as_json:
        print_json(report.as_json())
    else:
        again = ["hrmsearch", "check", spec, *(word for one in overrides for word in ("--set", one))]
        _print(report, [*again, "--backend", report.backend, "--device", device])
    _finish(ok=report.ok)


def _finish(*, ok: bool) -> None:
    if not ok:
        raise click.exceptions.Exit(1)


def _print(report: "Report", again: Sequence[str]) -> None:
    from hrmsearch.cli.terminal import print_table
    from hrmsearch.report.diagnostics import listing
    from hrmsearch.report.table import Table

    click.echo(f"{listing(report.diagnostics)}\n")
    rows = [(it.name, it.verdict, f"{it.examples}", it.claim if it.examples else it.reason) for it in report.outcomes]
    print_table(Table(["invariant", "", "examples", "claim, or why it does not apply"], "llrl", [rows]))
    for outcome in report.failed:
        click.echo(f"{_failure(outcome, again)}\n")
    click.echo(_verdict(report))


def _verdict(report: "Report") -> str:
    held = sum(outcome.verdict == "held" for outcome in report.outcomes)
    accepted = sum(not outcome.stops for outcome in report.failed)
    failed = f"{len(report.failed)} failed" + (f" ({accepted} accepted)" if accepted else "")
    spent = sum(outcome.seconds for outcome in report.outcomes)
    return f"{held} invariants held and {failed} on {report.backend}, in {spent:.1f} s"


def _failure(outcome: "Outcome", again: Sequence[str]) -> str:
    """Return a failure with the command that replays it."""
    text = str(outcome)
    return text.replace(f"replay: {outcome.replay}", shlex.join([*again, "--replay", outcome.replay]))
