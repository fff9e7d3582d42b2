"""A function's body as one straight line: composites by their definition, scans by their body.

Along the scanned axis every value is looked at one step at a time, so a scan's slice is its operand, and what a scan
stacks is what its body gives.
"""

from dataclasses import dataclass, field

from hrmsearch.ir.definition import definition
from hrmsearch.ir.graph import Op, Region, Value
from hrmsearch.ir.ops import lookup


class NoRecurrence(Exception):
    """A function is no recurrence over lanes; the message says why."""


@dataclass(frozen=True, slots=True)
class Carry:
    """What goes from step to step: its value in a step, the next one, where it begins, and the scan's last."""

    now: Value
    next: Value
    start: Value
    last: Value


@dataclass(slots=True)
class Flat:
    """The line. same: values that stand for another one, at a step. axes: (value, axis name) of every scanned axis."""

    ops: list[Op] = field(default_factory=list[Op])
    same: dict[Value, Value] = field(default_factory=dict[Value, Value])
    carries: list[Carry] = field(default_factory=list[Carry])
    axes: list[tuple[Value, str]] = field(default_factory=list[tuple[Value, str]])

    def resolve(self, value: Value) -> Value:
        """Return what a value stands for."""
        while value in self.same:
            value = self.same[value]
        return value


def flatten(region: Region) -> Flat:
    """Return a region as a straight line.

    Raises NoRecurrence where it holds calls or repeats, or no scan.
    """
    flat = Flat()
    _walk(region, flat)
    if not flat.carries:
        raise NoRecurrence("nothing recurs")
    return flat


def _walk(region: Region, flat: Flat) -> None:
    for op in region.ops:
        if op.kind == "scan":
            _scan(op, flat)
        elif op.regions or op.kind == "call":
            raise NoRecurrence(f"{op.kind} stands in it")
        elif lookup(op.kind).define is not None:
            inner = definition(op)
            flat.same.update(zip(inner.args, op.operands, strict=True))
            _walk(inner, flat)
            flat.same.update(zip(op.results, inner.results, strict=True))
        else:
            flat.ops.append(op)


def _scan(op: Op, flat: Flat) -> None:
    (body,) = op.regions
    n = op.attrs["carries"]
    if any(op.attrs["axis"] in value.type.names for inner in body.walk() for value in inner.operands):
        raise NoRecurrence(f"a step sees more than its own position along {op.attrs['axis']}")
    for value, arg in zip(op.operands[n:], body.args[n:], strict=True):
        flat.same[arg] = value
        flat.axes.append((value, op.attrs["axis"]))
    _walk(body, flat)
    for start, now, new, last in zip(op.operands[:n], body.args, body.results[:n], op.results, strict=False):
        flat.carries.append(Carry(now, new, start, last))
    for result, inner in zip(op.results[n:], body.results[n:], strict=True):
        flat.same[result] = inner
        flat.axes.append((result, op.attrs["axis"]))
