"""`hrmsearch explain`: what a spec becomes, what it costs, and what can be proved of it; or a diagnostic's page."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from hrmsearch.cli import options
from hrmsearch.cli.algebra import explain_algebra

if TYPE_CHECKING:
    from hrmsearch.analyses import Diagnostic
    from hrmsearch.ir import Graph
    from hrmsearch.passes import CompilerPass
    from hrmsearch.runtime import StartCost
    from hrmsearch.spec.model import Spec


@click.command("explain")
@click.argument("spec", metavar="SPEC|CODE", type=options.SpecName())
@options.overrides
@click.option(
    "--passes", metavar="NAMES", help="Compiler passes to run, such as fold,cse; `none` for the graph as lowered."
)
@click.option("--print-between", is_flag=True, help="Print the IR as lowered and after each compiler pass.")
@options.backend
@options.device
@options.batch
@options.tokens
@click.option("--first-steps", is_flag=True, help="Also compile, and say what the first train steps take.")
@click.option("--algebra", is_flag=True, help="Print the equations, eigenvalues and bound of its H/L kernels instead.")
@click.option("--latex", is_flag=True, help="With --algebra: the equations as LaTeX.")
@options.as_json
def command(
    spec: str,
    overrides: tuple[str, ...],
    passes: str | None,
    print_between: bool,
    backend: str,
    device: str,
    batch: int | None,
    tokens: int | None,
    first_steps: bool,
    algebra: bool,
    latex: bool,
    as_json: bool,
) -> None:
    """Show what SPEC becomes and what it costs.

    Prints the IR as a backend is given it for a device, after the compiler passes, then parameters, states, and costs
    of that IR. Nothing is compiled: a linear scan takes the fastest form that was measured, whatever is installed here.
    With --first-steps the backend does compile, and trains on one blank window: kernels of each step, seconds to the
    end of the first. With the CODE of a diagnostic, such as HS101, prints its page.
    """
    if re.fullmatch(r"HS\d+", spec):
        _page(spec, as_json=as_json)
        return
    if latex and not algebra:
        raise click.UsageError("--latex prints equations, which --algebra asks for; give both")
    if algebra:
        explain_algebra(spec, overrides, latex=latex, as_json=as_json)
        return
    if as_json and print_between:
        raise click.UsageError("--json prints one object, so --print-between has no place in it")
    explained = _explain(spec, overrides, passes, backend, device, batch, tokens, first_steps)
    if as_json:
        _for_programs(explained)
        return
    if print_between:
        _between(explained)
    _for_people(explained)


def _page(code: str, *, as_json: bool) -> None:
    from hrmsearch.analyses import page
    from hrmsearch.cli.terminal import print_json

    found = page(code)
    if as_json:
        print_json({"code": code, "page": found})
    else:
        click.echo(found, nl=False)


@dataclass(frozen=True, slots=True)
class _Explained:
    spec: "Spec"
    lowered: "Graph"
    steps: "Sequence[CompilerPass]"
    batch: int
    tokens: int
    backend: str
    device: str
    first_steps: bool

    def graphs(self) -> "Iterator[tuple[str, Graph]]":
        """Yield the graph as lowered and after each compiler pass, with what made it."""
        from hrmsearch import passes

        graph = self.lowered
        yield "lowering", graph
        for step in self.steps:
            graph = passes.run(graph, [step])
            yield getattr(step, "__name__", type(step).__name__), graph

    def final(self) -> "Graph":
        """Return the graph after all compiler passes."""
        return list(self.graphs())[-1][1]

    def diagnostics(self) -> "Sequence[Diagnostic]":
        """Return what the analyses found."""
        from hrmsearch.analyses import validate

        return validate(self.lowered, self.spec)

    def start(self) -> "StartCost | None":
        """Take the first train steps and return what they took, if that was asked for."""
        from hrmsearch.train import RunOptions, start_cost_for

        if not self.first_steps:
            return None
        chosen = RunOptions(self.backend, self.device)
        return start_cost_for(self.spec, self.lowered, chosen, self.batch, self.tokens)


def _explain(
    name: str,
    overrides: tuple[str, ...],
    passes: str | None,
    backend: str,
    device: str,
    batch: int | None,
    tokens: int | None,
    first_steps: bool,
) -> _Explained:
    from hrmsearch.cli.compiler_passes import named
    from hrmsearch.lowering import lower
    from hrmsearch.runtime import foreseen
    from hrmsearch.spec.load import load

    spec = load(name, overrides)
    shape = options.shape(spec, batch, tokens)
    steps = named(passes, foreseen(backend, device, shape[0]))
    return _Explained(spec, lower(spec), steps, *shape, backend, device, first_steps)


def _for_programs(explained: _Explained) -> None:
    from hrmsearch.analyses import cost
    from hrmsearch.cli.terminal import print_json
    from hrmsearch.ir import text
    from hrmsearch.report.diagnostics import record
    from hrmsearch.report.structure import cost_record, parameter_record, state_record

    graph = explained.final()
    data: dict[str, Any] = {
        "name": explained.spec.name,
        "spec": explained.spec.file,
        **cost_record(cost(graph), explained.batch, explained.tokens),
        "parameters": parameter_record(graph),
        "states": state_record(graph),
        "diagnostics": list(map(record, explained.diagnostics())),
        "ir": text(graph),
    }
    if start := explained.start():
        data["start"] = {"backend": explained.backend, "device": explained.device, **asdict(start)}
    print_json(data)


def _between(explained: _Explained) -> None:
    from hrmsearch.ir import text

    *before, (last, _) = explained.graphs()
    for name, graph in before:
        click.echo(f"-- after {name}\n{text(graph)}")
    click.echo(f"-- after {last}, the last")


def _for_people(explained: _Explained) -> None:
    from hrmsearch.analyses import cost
    from hrmsearch.cli.terminal import print_table
    from hrmsearch.ir import text
    from hrmsearch.report.diagnostics import listing
    from hrmsearch.report.structure import cost_table, parameter_table, state_table

    spec, graph = explained.spec, explained.final()
    click.echo(text(graph))
    click.echo(f"{spec.name} ({spec.file})\n{spec.about}\n")
    print_table(parameter_table(graph))
    if graph.states:
        print_table(state_table(graph))
    costs = cost(graph)
    print_table(cost_table(costs, explained.batch, explained.tokens))
    per_token = costs.flops_per_token
    click.echo(f"training takes {per_token:,.0f} FLOP a token in contractions, over all passes of a full window\n")
    click.echo(listing(explained.diagnostics()))
    if start := explained.start():
        kernels = ", then ".join(map(str, start.kernels))
        click.echo(f"\n{explained.backend} on {explained.device}: {kernels} kernels a step; ", nl=False)
        click.echo(f"the first step ends after {start.seconds:.1f} s")
