"""What of a function is needed for its results, and how often each value is read."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hrmsearch.ir.graph import Function, Op, Region, Value


@dataclass(slots=True)
class Uses:
    """Reads of each value by the operations that are needed.

    reads: how many are left to write. reader: the region of the last one, which for a value read once is the one.
    readers: the operations that read a value, in order.
    """

    live: set[Op] = field(default_factory=set[Op])
    needed: set[Value] = field(default_factory=set[Value])
    reads: Counter[Value] = field(default_factory=Counter[Value])
    reader: dict[Value, Region] = field(default_factory=dict[Value, Region])
    readers: dict[Value, list[Op]] = field(default_factory=dict[Value, list[Op]])
    producer: dict[Value, Op] = field(default_factory=dict[Value, Op])

    def read(self, values: Iterable[Value], region: Region) -> None:
        """Count reads that stand in a region."""
        for value in values:
            self.needed.add(value)
            self.reads[value] += 1
            self.reader[value] = region


def uses_of(region: Region, results: Iterable[Value]) -> Uses:
    """Return the uses of a function's body, given which values it returns."""
    uses = Uses()
    uses.read(results, region)
    _walk(region, uses)
    return uses


def _walk(region: Region, uses: Uses) -> None:
    for op in reversed(region.ops):
        if not any(value in uses.needed for value in op.results):
            continue
        uses.live.add(op)
        uses.producer.update(dict.fromkeys(op.results, op))
        for inner in op.regions:
            uses.read(returned(op, inner, uses), inner)
            _walk(inner, uses)
        uses.read(operands_read(op, uses), region)
        for value in op.operands:
            uses.readers.setdefault(value, []).insert(0, op)


def runs_once(op: Op) -> bool:
    """Return whether an operation's body is written in line, without a loop."""
    return op.kind == "repeat" and op.attrs["n"] == 1


def returned(op: Op, inner: Region, uses: Uses) -> list[Value]:
    """Return the results of a body that something reads; of a loop's body, all of them."""
    if not runs_once(op):
        return list(inner.results)
    return [inside for inside, outside in zip(inner.results, op.results, strict=True) if outside in uses.needed]


def operands_read(op: Op, uses: Uses) -> list[Value]:
    """Return the operands an operation reads; a body written in line reads what its arguments stand for."""
    if not runs_once(op):
        return list(op.operands)
    return [value for value, arg in zip(op.operands, op.regions[0].args, strict=True) if arg in uses.needed]


#: kinds that may return their operand itself, not a new tensor
_IDENTITIES = frozenset({"cast", "rename", "dropout", "broadcast", "slice", "transpose"})


def handed_on(value: Value, region: Region, functions: Mapping[str, Function]) -> bool:
    """Return whether a region's value may be a tensor from outside it, which no_grad does not detach."""
    op = next((op for op in region.ops if value in op.results), None)
    if op is None:
        return True
    if op.kind in _IDENTITIES:
        return handed_on(op.operands[0], region, functions)
    if op.kind not in ("call", "repeat", "scan"):
        return False
    body = functions[op.attrs["callee"]].body if op.kind == "call" else op.regions[0]
    at = op.results.index(value)
    return (op.kind != "scan" or at < op.attrs["carries"]) and handed_on(body.results[at], body, functions)
