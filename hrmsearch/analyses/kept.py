"""HS110 range-not-kept: a state that promises a range never leaves it, whatever tokens come and whatever is learned.

A count of writes that stays within its budget is such a promise, and so is an alpha in [0, 1]. The proof is by
induction, from the graph alone. Every state is taken to lie in the range that it promises and to be anything where it
promises none; then its start and its candidate have to lie there too. So do the carries of a scan, from step to step.
Values are terms with intervals (see `terms`); a choice on a comparison knows in each branch that it holds or does not:

where(k < n, m, n) is at most max(k, the largest m)
"""

from collections.abc import Iterator, Sequence

from hrmsearch.analyses.diagnostics import Finding, rule
from hrmsearch.analyses.interpreter import Interpreter
from hrmsearch.analyses.ranges import ANY, Range
from hrmsearch.analyses.states import short
from hrmsearch.analyses.terms import Term, Terms
from hrmsearch.ir.graph import Graph, Op
from hrmsearch.ir.types import Lifetime

# rounding in the sums that a range is computed by
_SLACK = 1e-9


class Kept(Terms):
    """Terms under the assumption that every state keeps its promise.

    starts: by path, where a state starts. grown: where steps of scans take their carries that are to stay where they
    start.
    """

    def __init__(self) -> None:
        super().__init__()
        self.starts: dict[str, Range] = {}
        self.grown: list[tuple[Range, Range]] = []
        # whether what the last scan was assumed to carry is what it carries on
        self._carries_on = True

    def restored(self, state: Op, start: Term) -> Term:
        """Return a state that may hold anything within its promise, for later passes read what earlier ones left."""
        path = state.attrs["path"]
        self.starts[path] = start.range
        return self.make("state", path, (), state.result.type.names, _promised(state) or ANY)

    def pointwise(self, kind: str, args: Sequence[Term]) -> Term:
        """Return an elementwise operation; a choice knows what it chose by."""
        if kind != "where":
            return super().pointwise(kind, args)
        condition, yes, no = args
        axes = dict.fromkeys(name for arg in args for name in arg.axes)
        branches = [_given(condition, yes, holds=True), _given(condition, no, holds=False)]
        taken = [branch for branch in branches if not branch.is_empty] or [ANY]
        return self.make(kind, None, args, tuple(axes), taken[0].around(taken[-1]))

    def tie(self, scan: Op, start: Sequence[Term]) -> list[Term]:
        """Return carries that may be anything in the range of what they start from."""
        return [self.unknown(term.axes, term.range) for term in start]

    def tied(self, scan: Op, knots: Sequence[Term], given: Sequence[Term]) -> None:
        """Note whether a step leaves its carries in that range, so that every further step does."""
        pairs = [(knot.range, term.range) for knot, term in zip(knots, given, strict=True)]
        grown = [(before, after) for before, after in pairs if not _inside(after, before)]
        self._carries_on = not grown
        self.grown += grown

    def stacked(self, scan: Op, value: Term) -> Term:
        """Return the stack of a value over all positions."""
        return self.unknown((*value.axes, scan.attrs["axis"]), value.range if self._carries_on else ANY)

    def last(self, scan: Op, value: Term) -> Term:
        """Return a value at the last position."""
        return self.unknown(value.axes, value.range if self._carries_on else ANY)


def _given(condition: Term, term: Term, *, holds: bool) -> Range:
    """Return where a term lies if a condition holds, or if it does not; nowhere if that cannot be."""
    match condition.kind, condition.args:
        case "not", (inner,):
            return _given(inner, term, holds=not holds)
        case (("and" | "or"), (x, y)) if holds == (condition.kind == "and"):
            return _common(_given(x, term, holds=holds), _given(y, term, holds=holds))
        case "less", (x, y):
            below, above = (x, y) if holds else (y, x)
            known = term.range
            known = _common(known, Range(high=above.range.high)) if term is below else known
            return _common(known, Range(low=below.range.low)) if term is above else known
        case _:
            return term.range


def _common(one: Range, other: Range) -> Range:
    return Range(max(one.low, other.low), min(one.high, other.high))


def _inside(one: Range, other: Range) -> bool:
    return one.low >= other.low - _SLACK and one.high <= other.high + _SLACK


def _promised(state: Op) -> Range | None:
    within = state.attrs.get("within")
    return None if within is None else Range(*within)


@rule("HS110", "range-not-kept")
def kept(graph: Graph) -> Iterator[Finding]:
    """Yield a finding per state that may leave the range that it promises."""
    promises = {path: promise for path, op in graph.states.items() if (promise := _promised(op)) is not None}
    if not promises:
        return
    domain = Kept()
    facts = Interpreter(graph, domain).run(Lifetime.SAMPLE, {})
    for path, promise in promises.items():
        for what, known in (("starts", domain.starts[path]), ("is left", facts.candidates[path].range)):
            if not _inside(known, promise):
                yield _finding(graph.states[path], what, known, promise, domain.grown)


def _finding(state: Op, what: str, known: Range, promise: Range, grown: Sequence[tuple[Range, Range]]) -> Finding:
    path = state.attrs["path"]
    steps = [f"a step takes {before} to {after}" for before, after in grown if before == promise]
    return Finding(
        state.place,
        f"{path} of {short(state.place)} promises to stay in {promise}, which is not proven",
        (f"{path} is in {promise} as a pass begins", *steps, f"it {what} in {known}"),
        "bound it where it is made: a count by the comparison that lets it rise, a share by minimum and maximum",
    )
