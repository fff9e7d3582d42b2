"""HS105 unstable-cycle: a linear recurrence with a known transition does not grow, whatever its parameters become.

The transition of every `linear_scan` is bounded for all values that parameters, inputs and states can take (`terms`,
`sizes`): `exp(-softplus(w))` lies in [0, 1] for any w, and [[1 - a, a], [b, 1 - b]] with such a and b has rows that sum
to 1. Where the bound is at most 1 the recurrence is stable by construction. Where that proof fails, **samples** of the
transition are taken at initial parameters: a spectral radius above 1 there is an error, anything else a warning, for
training may leave the region that was sampled.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hrmsearch.analyses import sizes
from hrmsearch.analyses.diagnostics import Finding, rule
from hrmsearch.analyses.domain import Domain, Site
from hrmsearch.analyses.interpreter import Interpreter
from hrmsearch.analyses.ranges import Range
from hrmsearch.analyses.states import short
from hrmsearch.analyses.terms import Term, Terms
from hrmsearch.ir.graph import Graph, Op, Value
from hrmsearch.ir.init import initial_params
from hrmsearch.ir.ops import constant, lookup
from hrmsearch.ir.types import Lifetime

_SEEDS = range(3)
_SLACK = 1e-9  # rounding in the products of a spectral radius
# a wider matrix is bounded by its largest entry alone
_WIDEST = 16


@dataclass(frozen=True, slots=True)
class Bound:
    """What holds of a recurrence for all parameters, inputs and states.

    entries: where the transition's entries lie. growth: how many times larger a step can make a state, at most.
    """

    entries: Range
    growth: float

    @property
    def proves(self) -> bool:
        """Whether the recurrence cannot grow."""
        return self.growth <= 1.0


def bounds(graph: Graph) -> dict[str, Bound]:
    """Return the bound of every linear recurrence, by its place."""
    terms = Terms()
    Interpreter(graph, terms).run(Lifetime.SAMPLE, {})
    return {place: _bound(terms, op, found) for place, (op, found) in terms.transitions.items()}


def _bound(terms: Terms, op: Op, found: Sequence[Term]) -> Bound:
    mix: Sequence[str] | None = op.attrs["mix"]
    width = 1 if mix is None else op.operands[0].type.width(mix[1])
    ends = [term.range for term in found]
    entries = Range(min(one.low for one in ends), max(one.high for one in ends))
    growth = entries.size * width
    if growth > 1.0 and width <= _WIDEST:
        growth = min(growth, sizes.bound([sizes.entries(terms, term, mix, width) for term in found]))
    return Bound(Range(max(entries.low, -growth), min(entries.high, growth)), growth)


Sample = NDArray[Any] | None


class Samples(Domain[Sample]):
    """Values at given parameters, None for what depends on more. radius: by place, the transition's spectral radius."""

    shared: ClassVar[bool] = False

    def __init__(self, params: Mapping[str, NDArray[np.float64]]) -> None:
        self.params = params
        self.radius: dict[str, float] = {}

    def leaf(self, op: Op, site: Site) -> Sample:
        """Return a parameter or a constant of fixed size."""
        if op.kind == "param":
            return self.params[site.path(op)]
        known = op.kind == "const" and all(size.known is not None for size in op.result.type.sizes)
        return constant(op, {}) if known else None

    def transfer(self, op: Op, result: Value, operands: Sequence[Sample], site: Site) -> Sample:
        """Evaluate a primitive whose operands and sizes are known."""
        if op.kind == "linear_scan":
            if operands[0] is not None:
                place = site.of(op.place)
                self.radius[place] = max(self.radius.get(place, 0.0), _radius(op, operands[0]))
            return None
        meaning, given = lookup(op.kind).numpy, [array for array in operands if array is not None]
        known = len(given) == len(operands) and all(size.known is not None for size in result.type.sizes)
        return meaning(op, given, {}) if meaning is not None and known else None

    def opens(self, op: Op) -> bool:
        """Open every composite but the recurrence, whose transition is evaluated."""
        return op.kind != "linear_scan"

    def join(self, first: Sample, second: Sample) -> Sample:
        """Know nothing of what may be either."""
        return None

    def tie(self, scan: Op, start: Sequence[Sample]) -> list[Sample]:
        """Know nothing of a carry."""
        return [None] * len(start)


def _radius(op: Op, transition: NDArray[Any]) -> float:
    """Return the largest spectral radius of a transition's matrices, or entry in size where it is elementwise."""
    mix, type_ = op.attrs["mix"], op.operands[0].type
    if mix is None:
        return float(np.abs(transition).max(initial=0.0))
    matrices = np.moveaxis(transition, [type_.index(name) for name in mix], [-2, -1])
    return float(np.abs(np.linalg.eigvals(matrices)).max(initial=0.0))


@rule("HS105", "unstable-cycle")
def stability(graph: Graph) -> Iterator[Finding]:
    """Yield a finding per recurrence that is not proven stable."""
    if not any(op.kind == "linear_scan" for region in graph.regions() for op in region.walk()):
        return
    open_ = {place: bound for place, bound in bounds(graph).items() if not bound.proves}
    radius = _sampled(graph) if open_ else {}
    for place, bound in open_.items():
        yield _finding(place, bound, radius.get(place))


def _sampled(graph: Graph) -> dict[str, float]:
    radius: dict[str, float] = {}
    for seed in _SEEDS:
        samples = Samples(initial_params(graph, seed))
        Interpreter(graph, samples).run(Lifetime.SAMPLE, {})
        radius = {place: max(value, radius.get(place, 0.0)) for place, value in samples.radius.items()}
    return radius


def _finding(place: str, bound: Bound, radius: float | None) -> Finding:
    grows = radius is not None and radius > 1.0 + _SLACK
    if radius is None:
        known = "it depends on the input, so it was not sampled"
    else:
        known = f"its spectral radius is up to {radius:.4g} at initial parameters"
    finite = math.isfinite(bound.growth) and bound.growth > bound.entries.size
    grown = (f"a step may enlarge a state {bound.growth:.4g} times",) if finite else ()
    claim = "grows at every step" if grows else "is not proven stable"
    return Finding(
        place,
        f"the linear recurrence at {short(place)} {claim}",
        (f"entries of the transition lie in [{bound.entries.low:.4g}, {bound.entries.high:.4g}]", *grown, known),
        "bound the transition by construction: exp(-softplus(w)), a sigmoid, a tanh; in a row of a matrix a, (1 - a) b",
        severity="error" if grows else "warning",
    )
