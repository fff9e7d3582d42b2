"""Forms: a linear scan that names no form gets the one that was measured to be the fastest where it will run.

    linear_scan(...) {form=null}   becomes   linear_scan(...) {form="chunk"}

`forms.json` beside this file holds what `benchmarks/linear_scan.py --write` measured: rows by backend and kind of
device, each for one size of scan, with the milliseconds of a forward, and of a forward and its gradient, in every form.
A scan takes the row that is nearest to it, a doubling of anything counting the same; where its backend or device has
none, the form stays null and the backend chooses. A form that a spec names stays. All forms mean the same, so analyses
and costs read the graph before or after this compiler pass alike; but by FFT earlier states depend on later inputs by
rounding, so that form is measured and never chosen.

A row may also say how long the scan takes as a kernel that the backend generates. That is no form of the scan: `fuse`
makes a function of what such a kernel would run, unless a form beats it here. The scan inside gets its form all the
same, for where no kernel can be built.
"""

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hrmsearch.ir.graph import Graph, Op, Value
from hrmsearch.ir.ops import LINEAR_SCAN_FORMS, linear_scan_forms
from hrmsearch.passes.rewrite import Rewriter

#: what was measured
TABLE = Path(__file__).with_name("forms.json")
#: how many rows a scan is taken to have where nobody says
ROWS = 16
#: what the table calls a kernel that the backend generates
KERNEL = "kernel"
# a transform of the whole window rounds the future into the past: who wants it names it, and knows
_NAMED_ONLY = frozenset({"fft"})
# times repeat to a tenth at best, so that less is no difference
_TIE = 1.1


@dataclass(frozen=True, slots=True)
class Target:
    """What a graph is compiled for.

    backend: its name. device: the kind of device in small letters, such as `cpu` or `cuda`. offered: the forms of a
    linear scan that the backend has there; None for all that were measured. rows: how many there are in a batch.
    optimize: whether a faster program is worth seconds of compiling and a source that is harder to read.
    """

    backend: str
    device: str = "cpu"
    offered: Collection[str] | None = None
    rows: int = ROWS
    optimize: bool = False

    def sizes(self, graph: Graph) -> Mapping[str, int]:
        """Return the sizes that symbols are taken to have."""
        return {"T": graph.nest.window, "B": self.rows}


@dataclass(frozen=True, slots=True)
class Scan:
    """What a linear scan's time depends on.

    tokens: its steps. width: entries of a state, rows of the batch included. mix: rows of its matrices, 1 where it is
    elementwise. varying: whether the transition differs from step to step.
    """

    tokens: int
    width: int
    mix: int
    varying: bool

    @classmethod
    def of(cls, op: Op, sizes: Mapping[str, int]) -> "Scan | None":
        """Return an operation's, None where a size depends on more than `sizes`."""
        a, start = op.operands[0].type, op.operands[2].type
        axis, mix = op.attrs["axis"], op.attrs["mix"]
        steps = op.operands[1].type.size(axis)
        if not all(size.symbols <= sizes.keys() for size in (steps, *start.sizes)):
            return None
        return cls(
            tokens=steps.evaluate(sizes),
            width=math.prod(start.shape(sizes)),
            mix=1 if mix is None else a.width(mix[0]),
            varying=axis in a.names,
        )

    def distance(self, other: "Scan") -> float:
        """Return how many doublings lie between two scans; infinitely many between different kinds."""
        if self.varying != other.varying or (self.mix == 1) != (other.mix == 1):
            return math.inf
        pairs = ((self.tokens, other.tokens), (self.width, other.width), (self.mix, other.mix))
        return sum(abs(math.log2(a / b)) for a, b in pairs)


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: a scan, and the milliseconds of its forward and of its forward and gradient, by form."""

    scan: Scan
    forward: Mapping[str, float]
    training: Mapping[str, float]


def forms(graph: Graph, target: Target) -> Graph:
    """Return the graph with a form for every linear scan that has none and that a measurement speaks of."""
    sizes = target.sizes(graph)
    return _Forms(graph, lambda op: None if op.attrs["form"] else fastest(op, target, sizes)).run()


def in_form(graph: Graph, form: str) -> Graph:
    """Return the graph with one form for every linear scan that can have it, whatever it had."""
    return _Forms(graph, lambda op: form if form in linear_scan_forms(op) else None).run()


class _Forms(Rewriter):
    """choose: says which form an operation gets; None leaves it as it is."""

    def __init__(self, source: Graph, choose: Callable[[Op], str | None]) -> None:
        super().__init__(source)
        self._choose = choose

    def rule(self, op: Op, operands: tuple[Value, ...]) -> Sequence[Value] | None:
        form = self._choose(op) if op.kind == "linear_scan" else None
        if form is None:
            return None
        return self.builder.append(Op(op.kind, operands, {**op.attrs, "form": form}, place=op.place)).results


def fastest(op: Op, target: Target, sizes: Mapping[str, int]) -> str | None:
    """Return the form with the shortest forward and gradient in the nearest row, among those that the scan can have.

    Of forms that are as good as the shortest, the first in the order of `LINEAR_SCAN_FORMS`, which is the plainest.
    """
    possible = set(linear_scan_forms(op)) - _NAMED_ONLY
    possible &= possible if target.offered is None else set(target.offered)
    times = {form: time for form, time in _nearest(op, target, sizes).items() if form in possible}
    if not times:
        return None
    limit = _TIE * min(times.values())
    return next(form for form in LINEAR_SCAN_FORMS if times.get(form, math.inf) <= limit)


def beats_kernel(op: Op, target: Target, sizes: Mapping[str, int]) -> bool:
    """Return whether a form was measured to be faster than a generated kernel, in the nearest row that has both."""
    times = _nearest(op, target, sizes)
    form = fastest(op, target, sizes)
    return form is not None and KERNEL in times and times[KERNEL] > _TIE * times[form]


def _nearest(op: Op, target: Target, sizes: Mapping[str, int]) -> Mapping[str, float]:
    """Return the milliseconds of forward and gradient in the row that is nearest to a scan; nothing without one."""
    scan, rows = Scan.of(op, sizes), table().get((target.backend, target.device), ())
    if scan is None or not rows:
        return {}
    nearest = min(rows, key=lambda row: row.scan.distance(scan))
    return {} if math.isinf(nearest.scan.distance(scan)) else nearest.training


@cache
def table() -> Mapping[tuple[str, str], Sequence[Row]]:
    """Return what was measured, by backend and kind of device."""
    content: list[dict[str, Any]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return {(part["backend"], part["device"]): [_row(row) for row in part["rows"]] for part in content}


def _row(row: Mapping[str, Any]) -> Row:
    scan = Scan(row["tokens"], row["width"], row["mix"], row["varying"])
    return Row(scan, row["forward"], row["training"])
