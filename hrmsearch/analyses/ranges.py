"""Interval arithmetic: what an operation makes of the intervals that hold its operands' entries."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """An interval that holds every entry of a value."""

    low: float = -math.inf
    high: float = math.inf

    @property
    def size(self) -> float:
        """The largest size of an entry."""
        return max(abs(self.low), abs(self.high))

    @property
    def is_empty(self) -> bool:
        """Whether nothing lies in it."""
        return self.low > self.high

    def around(self, other: "Range") -> "Range":
        """Return the interval around both."""
        return Range(min(self.low, other.low), max(self.high, other.high))

    def __str__(self) -> str:
        return f"[{self.low:.6g}, {self.high:.6g}]"


ANY = Range()
SIZE = Range(-1.0, 1.0)
#: of truth values
TRUTH = Range(0.0, 1.0)


def _exp(x: float) -> float:
    return math.exp(x) if x < 709.0 else math.inf


def _sigmoid(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * x))


def _softplus(x: float) -> float:
    return x if x > 30.0 else math.log1p(math.exp(x))


# for x in [low, high] the result lies between the images of the ends
_MONOTONE: Mapping[str, Callable[[float], float]] = {
    "exp": _exp,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "tanh": math.tanh,
    "atan": math.atan,
    "erf": math.erf,
}
# results that are bounded whatever goes in
_BOUNDED: Mapping[str, Range] = {
    **dict.fromkeys(("sin", "cos", "sign"), SIZE),
    **dict.fromkeys(("less", "equal", "and", "or", "not"), TRUTH),
}


def elementwise(kind: str, operands: Sequence[Range]) -> Range:
    """Bound the result of an elementwise operation; nothing is known of most."""
    if kind in _MONOTONE:
        (x,) = operands
        return Range(_MONOTONE[kind](x.low), _MONOTONE[kind](x.high))
    return _BOUNDED.get(kind) or _arithmetic(kind, operands)


def _arithmetic(kind: str, operands: Sequence[Range]) -> Range:
    match kind, operands:
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
            pick = min if kind == "minimum" else max
            return Range(pick(x.low, y.low), pick(x.high, y.high))
        case "where", [_, x, y]:
            return x.around(y)
        case _:
            return ANY
