"""Structured ops: `repeat` (ticks), `scan` (a recurrence along an axis) and `call` (a function under a prefix).

Their meaning is control flow, so each backend runs their bodies; the table holds their types only.
"""

from collections.abc import Sequence

from hrmsearch.ir.graph import Op
from hrmsearch.ir.ops.table import Functions, OpDef, declare, require
from hrmsearch.ir.types import Axis, Type


def _repeat_types(op: Op, _functions: Functions) -> Sequence[Type]:
    """Attributes `n` and `free`: a free repeat detaches what its body changes."""
    (body,) = op.regions
    carried = [value.type for value in op.operands]
    require(op.attrs["n"] >= 1, op, "n is at least 1")
    require([value.type for value in body.args] == carried, op, "the body takes what is carried")
    require([value.type for value in body.results] == carried, op, "the body returns what it takes")
    return carried


def _scan_types(op: Op, _functions: Functions) -> Sequence[Type]:
    """Attributes `axis`, `carries` (how many operands are carried) and `at` (where results hold the axis)."""
    (body,) = op.regions
    n, name, at = op.attrs["carries"], op.attrs["axis"], op.attrs["at"]
    carried, along = [v.type for v in op.operands[:n]], [v.type for v in op.operands[n:]]
    require(bool(along), op, "something must be scanned")
    size = along[0].size(name)
    require(all(type_.size(name) == size for type_ in along), op, f"the operands differ in {name}")
    taken = [value.type for value in body.args]
    require(taken == carried + [type_.without(name) for type_ in along], op, "the body takes carries, then slices")
    given = [value.type for value in body.results]
    require(given[:n] == carried, op, "the body returns its carries first")
    return carried + [type_.insert(at, Axis(name, size)) for type_ in given[n:]]


def _call_types(op: Op, functions: Functions) -> Sequence[Type]:
    """Attributes `callee` and `prefix`: equal prefixes share parameters."""
    require(op.attrs["callee"] in functions, op, "the callee is unknown")
    body = functions[op.attrs["callee"]].body
    require([v.type for v in op.operands] == [v.type for v in body.args], op, "the operands are not what it takes")
    return [value.type for value in body.results]


def untouched(repeat: Op) -> list[bool]:
    """Return which carries the body returns as they came; through a free repeat only these keep their gradient."""
    (body,) = repeat.regions
    return [result is arg for arg, result in zip(body.args, body.results, strict=True)]


declare(OpDef("repeat", _repeat_types, attrs=frozenset({"n", "free"})))
declare(OpDef("scan", _scan_types, attrs=frozenset({"axis", "carries", "at"})))
declare(OpDef("call", _call_types, attrs=frozenset({"callee", "prefix"})))
