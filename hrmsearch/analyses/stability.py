"""HS105 unstable-cycle: a linear recurrence with a known transition does not grow, whatever its parameters become.

Two domains follow the transition of every `linear_scan`. **Ranges** bound it by interval arithmetic for every value
that parameters and inputs can take: `exp(-softplus(w))` lies in [0, 1] for any w. If all its entries, or the sums of
its rows where it is a matrix, stay within 1 in size, the recurrence is stable by construction. Where that proof
fails, **samples** evaluate the transition at initial parameters: a spectral radius above 1 there is an error,
anything else a warning, for training may leave the region that was sampled.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hrmsearch.analyses.diagnostics import Finding, rule
from hrmsearch.analyses.domain import Domain, Site
from hrmsearch.analyses.interpreter import Interpreter
from hrmsearch.analyses.states import short
from hrmsearch.ir.graph import Graph, Op, Value
from hrmsearch.ir.init import initial_params
from hrmsearch.ir.ops import constant, lookup
from hrmsearch.ir.types import Lifetime

_SEEDS = range(3)
_SLACK = 1e-9  # rounding in the products of a spectral radius


@dataclass(frozen=True, slots=True)
class Range:
    """An interval that holds every entry of a value."""

    low: float = -math.inf
    high: float = math.inf

    @property
    def size(self) -> float:
        """The largest size of an entry."""
        return max(abs(self.low), abs(self.high))


_ANY = Range()


def _exp(x: float) -> float:
    return math.exp(x) if x < 709.0 else math.inf


def _sigmoid(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * x))


def _softplus(x: float) -> float:
    return x if x > 30.0 else math.log1p(math.exp(x))


# for x in [low, high] the result lies between the images of the ends
_MONOTONE: Mapping[str, Callable[[float], float]] = {
    "exp": _exp,
    "expm1": lambda x: _exp(x) - 1.0,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "tanh": math.tanh,
    "erf": math.erf,
}
# results that are bounded whatever goes in
_BOUNDED: Mapping[str, Range] = {"sin": Range(-1, 1), "cos": Range(-1, 1), "sign": Range(-1, 1)}
_LAYOUT = frozenset(
    {
        "split",
        "merge",
        "transpose",
        "slice",
        "rename",
        "broadcast",
        "gather",
        "cast",
        "detach",
        "amax",
        "mean",
        "cummax",
    }
)


class _Linear:
    """What both domains share: every composite is opened but the recurrence itself, whose transition is noted."""

    def opens(self, op: Op) -> bool:
        """Open every composite but the recurrence."""
        return op.kind != "linear_scan"


class Ranges(_Linear, Domain[Range]):
    """Interval arithmetic. found: by place, the recurrence and the range of its transition."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[Op, Range]] = {}

    def leaf(self, op: Op, site: Site) -> Range:
        """Return a constant's range; parameters and inputs may be anything."""
        if op.kind == "const" and op.attrs["rule"] == "full":
            return Range(op.attrs["value"], op.attrs["value"])
        return Range(0.0, math.inf) if op.kind == "const" and op.attrs["rule"] == "iota" else _ANY

    def transfer(self, op: Op, result: Value, operands: Sequence[Range], site: Site) -> Range:
        """Bound the result of a primitive; nothing is known of most."""
        if op.kind == "linear_scan":
            before = self.found.get(site.of(op.place))
            self.found[site.of(op.place)] = op, self.join(operands[0], before[1]) if before else operands[0]
            return _ANY
        if op.kind in _MONOTONE:
            return Range(*(_MONOTONE[op.kind](end) for end in (operands[0].low, operands[0].high)))
        if op.kind in _LAYOUT:
            return operands[0]
        return _BOUNDED.get(op.kind) or _arithmetic(op, operands)

    def join(self, first: Range, second: Range) -> Range:
        """Return the interval around both."""
        return Range(min(first.low, second.low), max(first.high, second.high))

    def widened(self, value: Range) -> Range:
        """Give up."""
        return _ANY


def _arithmetic(op: Op, operands: Sequence[Range]) -> Range:
    match op.kind, operands:
        case "neg", [x]:
            return Range(-x.high, -x.low)
        case "abs", [x]:
            return Range(max(x.low, -x.high, 0.0), x.size)
        case "add", [x, y]:
            return Range(x.low + y.low, x.high + y.high)
        case "sub", [x, y]:
            return Range(x.low - y.high, x.high - y.low)
        case "mul", [x, y]:
            # an end at zero times an infinite one is zero: entries are finite, however large
            ends = [0.0 if 0.0 in (a, b) else a * b for a in (x.low, x.high) for b in (y.low, y.high)]
            return Range(min(ends), max(ends))
        case "div", [x, y] if y.low > 0.0:
            ends = [a / b if math.isfinite(b) else 0.0 for a in (x.low, x.high) for b in (y.low, y.high)]
            return Range(min(ends), max(ends))
        case (("minimum" | "maximum"), [x, y]):
            pick = min if op.kind == "minimum" else max
            return Range(pick(x.low, y.low), pick(x.high, y.high))
        case "concat", _:
            return Range(min(x.low for x in operands), max(x.high for x in operands))
        case "where", [_, x, y]:
            return Range(min(x.low, y.low), max(x.high, y.high))
        case "pad", [x]:
            return Range(min(x.low, op.attrs["value"]), max(x.high, op.attrs["value"]))
        case _:
            return _ANY


Sample = NDArray[Any] | None


class Samples(_Linear, Domain[Sample]):
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
    ranges = Ranges()
    Interpreter(graph, ranges).run(Lifetime.STREAM, {})
    open_ = {place: (op, bound) for place, (op, bound) in ranges.found.items() if not _proven(op, bound)}
    radius = _sampled(graph) if open_ else {}
    for place, (_, bound) in open_.items():
        yield _finding(place, bound, radius.get(place))


def _proven(op: Op, bound: Range) -> bool:
    mix: Sequence[str] | None = op.attrs["mix"]
    width = 1 if mix is None else op.operands[0].type.width(mix[1])
    return bound.size * width <= 1.0


def _sampled(graph: Graph) -> dict[str, float]:
    radius: dict[str, float] = {}
    for seed in _SEEDS:
        samples = Samples(initial_params(graph, seed))
        Interpreter(graph, samples).run(Lifetime.STREAM, {})
        radius = {place: max(value, radius.get(place, 0.0)) for place, value in samples.radius.items()}
    return radius


def _finding(place: str, bound: Range, radius: float | None) -> Finding:
    grows = radius is not None and radius > 1.0 + _SLACK
    if radius is None:
        known = "it depends on the input, so it was not sampled"
    else:
        known = f"its spectral radius is up to {radius:.4g} at initial parameters"
    claim = "grows at every step" if grows else "is not proven stable"
    return Finding(
        place,
        f"the linear recurrence at {short(place)} {claim}",
        (f"entries of the transition lie in [{bound.low:.4g}, {bound.high:.4g}]", known),
        "bound the transition by construction: exp(-softplus(w)), a sigmoid or a tanh",
        severity="error" if grows else "warning",
    )
