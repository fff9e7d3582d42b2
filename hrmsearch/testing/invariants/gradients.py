"""Gradients are finite, and absent exactly where no path leads."""

from collections.abc import Mapping, Sequence

import numpy as np

from hrmsearch.analyses.gradients import Gradients
from hrmsearch.analyses.interpreter import Interpreter, Site
from hrmsearch.ir import Graph, Lifetime, Op, Value
from hrmsearch.ir.binding import takes_candidate
from hrmsearch.runtime import Array, Carry, Pass
from hrmsearch.testing.invariants.base import Violation, invariant, near
from hrmsearch.testing.invariants.draws import Draws
from hrmsearch.testing.invariants.subject import Case, Subject

Paths = frozenset[str]
_LONGEST_SPAN = 3


def _no_gradient(subject: Subject) -> str:
    if "loss" not in subject.graph.outputs:
        return "the graph has no loss"
    most, entries = subject.most_gradients, sum(array.size for array in subject.executable.params.values())
    if most is not None and entries > most:
        return f"this backend differentiates by finite differences, and {entries:,} parameters are too many for it"
    return ""


def _span(subject: Subject, draws: Draws) -> tuple[Case, list[Pass], Carry]:
    """Draw a span and the carry that it starts from: fresh, or in the middle of a stream."""
    case = subject.case(draws, tokens=2)
    before, *windows = case.windows(1 + draws.integer("passes", 1, _LONGEST_SPAN))
    start = draws.integer("start", int(Lifetime.PASS), int(Lifetime.STREAM))
    between = draws.integers("between", int(Lifetime.PASS), int(Lifetime.STREAM), len(windows) - 1)
    last = draws.integers("last", 0, 1, len(windows))
    resets = [start, *between]
    calls = [Pass(w, r, bool(end)) for w, r, end in zip(windows, resets, last, strict=True)]
    return case, calls, case.stream([before])[1]


@invariant(
    "gradients",
    "Every gradient of a span is finite, and a parameter has one exactly where a path leads from it to a loss.",
    unless=_no_gradient,
)
def gradients(subject: Subject, draws: Draws) -> None:
    """Compare with reachability over the graph, which `detach`, free repeats, whole resets and the span's start cut."""
    case, calls, carry = _span(subject, draws)
    result, found = subject.executable.loss_and_grads(calls, carry)
    if not np.isfinite(result.losses).all():
        raise Violation(f"the losses are {result.losses}")
    for path, array in found.items():
        if not np.isfinite(array).all():
            raise Violation(f"the gradient of {path} is not finite")
    if condemned := sorted(found.keys() - analysed(subject.graph, calls)):
        raise Violation(f"HS102 says that nothing trains {', '.join(condemned)}, but there is a gradient")
    wanted = reaching(subject.graph, calls, {"B": case.rows, "T": case.tokens})
    if surplus := sorted(found.keys() - wanted):
        raise Violation(f"no path leads to a loss, but there is a gradient: {', '.join(surplus)}")
    if lacking := sorted(wanted - found.keys()):
        raise Violation(f"a path leads to a loss, but there is no gradient: {', '.join(lacking)}")


@invariant(
    "span-is-its-passes",
    "A span has the losses of its passes one by one and leaves their carry, to rounding.",
    unless=_no_gradient,
)
def span_is_its_passes(subject: Subject, draws: Draws) -> None:
    """Compare what training computes with what `forward` does."""
    case, calls, carry = _span(subject, draws)
    result, _ = subject.executable.loss_and_grads(calls, carry)

    def one_by_one() -> dict[str, Array]:
        outputs, after = case.run(calls, carry)
        losses = np.array([float(given["loss"]) for given in outputs])
        return {"the losses": losses} | {f"the state {path}": array for path, array in case.numpy(after).items()}

    states = {f"the state {path}": array for path, array in case.numpy(result.carry).items()}
    near("after a span, ", {"the losses": np.array(result.losses)} | states, subject, one_by_one)


class _Unrolled(Interpreter[Paths]):
    """Runs scans position by position, for windows of a given size: one position hands nothing on to a next one."""

    def __init__(self, graph: Graph, sizes: Mapping[str, int]) -> None:
        super().__init__(graph, Gradients())
        self._sizes = sizes

    def _scan(self, op: Op, operands: list[Paths], env: dict[Value, Paths], site: Site) -> list[Paths]:
        n: int = op.attrs["carries"]
        along = op.operands[n]
        carries, stacked = operands[:n], [Paths()] * len(op.results[n:])
        for _ in range(along.type.size(op.attrs["axis"]).evaluate(self._sizes)):
            given = self._region(op.regions[0], [*carries, *operands[n:]], env, site)
            carries = given[:n]
            stacked = [before | now for before, now in zip(stacked, given[n:], strict=True)]
        return [*carries, *stacked]


def reaching(graph: Graph, calls: Sequence[Pass], sizes: Mapping[str, int]) -> Paths:
    """Return the parameters from which a path leads to a loss of a span whose passes reset all rows alike."""
    return _of_span(_Unrolled(graph, sizes), calls)


def analysed(graph: Graph, calls: Sequence[Pass]) -> Paths:
    """Return the parameters that HS102 says may have a gradient in a span, whatever its shape."""
    return _of_span(Interpreter(graph, Gradients()), calls)


def _of_span(interpreter: Interpreter[Paths], calls: Sequence[Pass]) -> Paths:
    """Return what reaches any loss of a span, with the commits between its passes."""
    states, found = interpreter.graph.states, Paths()
    carried = dict.fromkeys(states, Paths())
    for call in calls:
        facts = interpreter.run(Lifetime(int(call.reset)), carried)
        found |= facts.outputs["loss"]
        taken = {path for path, op in states.items() if takes_candidate(op, call.last)}
        carried = {path: (facts.candidates if path in taken else facts.states)[path] for path in states}
    return found
