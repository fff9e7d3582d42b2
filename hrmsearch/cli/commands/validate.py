"""`hrmsearch validate`: whether a spec can be built, and what can be proved of it before it trains."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from hrmsearch.cli import options

if TYPE_CHECKING:
    from hrmsearch.analyses import Diagnostic
    from hrmsearch.spec.model import Spec


@click.command("validate")
@options.spec
@options.overrides
@click.option("--render", is_flag=True, help="Print the whole spec, with every default written out.")
@options.as_json
def command(spec: str, overrides: tuple[str, ...], render: bool, as_json: bool) -> None:
    """Check SPEC without training it.

    Exits with 0 when nothing is wrong or every error is accepted, with 1 when an analysis proves an error that SPEC
    does not accept, with 2 when SPEC cannot be read or built.
    """
    if render and as_json:
        raise click.UsageError("--render prints YAML and --json prints JSON; give one of them")
    loaded, found = _validate(spec, overrides, as_json)
    _print(loaded, found, render, as_json)
    if any(diagnostic.stops for diagnostic in found):
        raise click.exceptions.Exit(1)


def _validate(name: str, overrides: tuple[str, ...], as_json: bool) -> "tuple[Spec, Sequence[Diagnostic]]":
    """Return the spec and its diagnostics; an error of the spec itself is printed as JSON too where that is asked."""
    from hrmsearch.analyses import validate
    from hrmsearch.cli.terminal import print_json
    from hrmsearch.errors import SpecError
    from hrmsearch.lowering import lower
    from hrmsearch.report.diagnostics import problem_record
    from hrmsearch.spec.load import load

    try:
        spec = load(name, overrides)
        return spec, validate(lower(spec), spec)
    except SpecError as error:
        if as_json:
            print_json({"diagnostics": list(map(problem_record, error.problems))})
        raise


def _print(spec: "Spec", found: "Sequence[Diagnostic]", rendered: bool, as_json: bool) -> None:
    from hrmsearch.cli.terminal import print_json
    from hrmsearch.report.diagnostics import listing, record
    from hrmsearch.spec.load import render

    if as_json:
        print_json({"diagnostics": list(map(record, found))})
    elif rendered:
        click.echo(render(spec), nl=False)
        click.echo(listing(found), err=True)
    else:
        click.echo(listing(found))
