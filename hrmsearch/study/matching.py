"""Brings an arm to a budget by changing integers of its spec, before anything is built.

A size is read off the arm's graph, which lowering makes without a tensor. It is taken to grow with each integer, which
widths and counts of layers do; where an integer fits at all (heads that divide a width) is found by asking.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, prod
from typing import Any, Final

from hrmsearch.errors import HrmsearchError, SpecError
from hrmsearch.ir import Graph, moves
from hrmsearch.lowering import lower
from hrmsearch.spec.load import resolved
from hrmsearch.spec.model import Spec
from hrmsearch.study.paths import START, assignment, value_at

#: integers that are tried around a wanted one before a path counts as stuck
REACH: Final = 1024
#: the largest integer that is tried
LARGEST: Final = 1 << 20
#: how many values of a path are tried before the next one closes what is left
BRANCHES: Final = 8


@dataclass(frozen=True, slots=True)
class Size:
    """A size that an arm can have, and the integers that give it to it."""

    values: Mapping[str, int]
    size: float

    def off(self, budget: float) -> float:
        """Return how far the size is from a budget, as a share of it."""
        return abs(self.size - budget) / budget

    @property
    def overrides(self) -> list[str]:
        """The integers as overrides."""
        return [assignment(path, value) for path, value in self.values.items()]

    def __str__(self) -> str:
        given = " and ".join(f"{path}={value}" for path, value in self.values.items()) or "as written"
        return f"{self.size:,.0f} ({given})"


class Unmatched(HrmsearchError):
    """No integers bring an arm to its budget; the message shows the nearest sizes."""


def measure(what: str, spec: Spec, graph: Graph) -> float:
    """Return a size of a spec's model: `params`, `flops_per_token` or `state_bytes`, as manifests record them."""
    if what == "params":
        trained = (op for op in graph.params.values() if moves(op) == "trained")
        return float(sum(prod(op.result.type.shape({})) for op in trained))
    from hrmsearch import passes
    from hrmsearch.analyses import cost

    return float(getattr(cost(passes.run(graph)), what))


def match(make: Callable[[Sequence[str]], Spec], what: str, budget: float, within: float, by: Sequence[str]) -> Size:
    """Return integers for the paths of `by` with which a size is within a share of a budget.

    make: returns the arm's spec with overrides. An arm that fits as written is left alone. Otherwise the first path
    takes the value that brings the arm nearest, and where that is not near enough the following ones close the rest;
    further values of the first path are tried where they cannot. Raises Unmatched with the nearest sizes.
    """
    sizes = _Sizes(make, what)
    written = sizes.of({})
    if written is not None and written.off(budget) <= within:
        return written
    tree = resolved(make([]))
    starts = {path: now if _is_int(now := value_at(tree, path)) else START for path in by}
    seen: list[Size] = [written] if written else []
    for found in _candidates(sizes, budget, {}, list(starts.items())):
        seen.append(found)
        if found.off(budget) <= within:
            return found
    raise Unmatched(_nearest(seen, what, budget, within))


def _nearest(seen: Sequence[Size], what: str, budget: float, within: float) -> str:
    below = max((s for s in seen if s.size <= budget), key=lambda s: s.size, default=None)
    above = min((s for s in seen if s.size > budget), key=lambda s: s.size, default=None)
    sides = [
        f"{one}, {100 * one.off(budget):.1f} % {side}" for one, side in ((below, "below"), (above, "above")) if one
    ]
    head = f"{what} cannot be brought to {budget:,.0f} within {100 * within:g} %"
    return f"{head}; the nearest are {' and '.join(sides)}" if sides else f"{head}; no value fits at all"


def _candidates(
    sizes: "_Sizes", budget: float, fixed: Mapping[str, int], rest: Sequence[tuple[str, int]]
) -> Iterator[Size]:
    """Yield sizes, the most promising first: each value of the first path alone, then with the others."""
    if not rest:
        return
    (path, start), *others = rest
    line = _Line(sizes, path, start, fixed)
    nearby = list(line.around(budget, BRANCHES if others else 2))
    for found in sorted(nearby, key=lambda size: size.off(budget)):
        yield found
        yield from _candidates(sizes, budget, found.values, others)
    if not nearby:
        # the path does nothing for this arm
        yield from _candidates(sizes, budget, fixed, others)


class _Sizes:
    """A size as a function of integers; None where they do not fit together."""

    def __init__(self, make: Callable[[Sequence[str]], Spec], what: str) -> None:
        self._make = make
        self._what = what
        self._known: dict[tuple[tuple[str, int], ...], Size | None] = {}

    def of(self, values: Mapping[str, int]) -> Size | None:
        """Return the size with integers in place."""
        key = tuple(values.items())
        if key not in self._known:
            self._known[key] = self._measured(values)
        return self._known[key]

    def _measured(self, values: Mapping[str, int]) -> Size | None:
        try:
            spec = self._make([assignment(path, value) for path, value in values.items()])
            return Size(dict(values), measure(self._what, spec, lower(spec)))
        except SpecError:
            return None


class _Line:
    """A size along one path, the others fixed: which values fit, and where the size crosses a budget."""

    def __init__(self, sizes: _Sizes, path: str, start: int, fixed: Mapping[str, int]) -> None:
        self._sizes = sizes
        self._path = path
        self._start = start
        self._fixed = fixed

    def around(self, budget: float, count: int) -> Iterator[Size]:
        """Yield up to `count` sizes around a budget, by turns below and above it; none if the path changes nothing."""
        low, high = self._crossing(budget)
        if low is None and high is None:
            return
        sides = [self._going(low, -1), self._going(high, 1)]
        for i in range(count):
            found = next(sides[i % 2], None)
            if found is not None:
                yield found

    def _going(self, value: int | None, step: int) -> Iterator[Size]:
        """Yield sizes from a value on in one direction."""
        while value is not None:
            size = self._at(value)
            if size is not None:
                yield size
            value = self._next(value, step)

    def _at(self, value: int) -> Size | None:
        return self._sizes.of({**self._fixed, self._path: value})

    def _next(self, value: int, step: int, until: float = inf) -> int | None:
        """Return the next value that fits in a direction, nearer than `until`."""
        for distance in range(1, REACH):
            other = value + step * distance
            if not 1 <= other <= LARGEST or distance >= until:
                return None
            if self._at(other) is not None:
                return other
        return None

    def _crossing(self, budget: float) -> tuple[int | None, int | None]:
        """Return the largest value that fits whose size is within the budget, and the smallest beyond it."""
        start = self._start if self._at(self._start) is not None else self._next(self._start, 1)
        if start is None:
            return None, None
        low, high = self._bracket(start, budget)
        while low is not None and high is not None and high - low > 1:
            middle = (low + high) // 2
            inside = self._inside(middle, low, high)
            if inside is None:
                break
            low, high = (inside, high) if self._size(inside) <= budget else (low, inside)
        return low, high

    def _inside(self, middle: int, low: int, high: int) -> int | None:
        """Return a value that fits strictly between two others, near the middle."""
        if self._at(middle) is not None:
            return middle
        up = self._next(middle, 1, until=high - middle)
        return up if up is not None else self._next(middle, -1, until=middle - low)

    def _bracket(self, start: int, budget: float) -> tuple[int | None, int | None]:
        """Return values that fit on both sides of a budget, by doubling and halving; None where there is none.

        Both are None for a path that changes nothing.
        """
        up = self._size(start) <= budget
        last, other = start, self._far(start, up)
        if other is not None and self._size(other) == self._size(start):
            return None, None
        while other is not None and (self._size(other) <= budget) == up:
            last, other = other, self._far(other, up)
        return (last, other) if up else (other, last)

    def _far(self, value: int, up: bool) -> int | None:
        """Return a value that fits, about twice or half as large."""
        if not up and value == 1:
            return None
        far = value * 2 if up else value // 2
        if far > LARGEST:
            return None
        if self._at(far) is not None:
            return far
        return self._next(far, 1, until=REACH) if up else self._next(far, 1, until=value - far) or self._next(far, -1)

    def _size(self, value: int) -> float:
        found = self._at(value)
        assert found is not None
        return found.size


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
