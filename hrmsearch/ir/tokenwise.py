"""Functions that work on each position by itself and leave some as they are: they may be run on the others alone.

    func @settled(%is_open: bool[B, T], %x: compute[B, T, D], ...)
        ...                                   nothing that mixes or moves positions along B or T
        return where(%is_open, %y, %x)

What such a function gives at a position that is closed is known, and what it gives at an open one depends on nothing
else. So a backend may gather open positions, run the body on them, and put what it gives back into %x.
"""

from collections.abc import Mapping, Sequence

from hrmsearch.ir.graph import Function, Op, Region
from hrmsearch.ir.ops import lookup
from hrmsearch.ir.ops.table import Flow, How
from hrmsearch.ir.types import Axis, DType


def selects(function: Function, functions: Mapping[str, Function]) -> bool:
    """Return whether a function keeps its second argument where its first is false, and works position by position."""
    args, results = function.body.args, function.body.results
    if len(args) < 2 or len(results) != 1 or args[0].type.dtype != DType.BOOL:
        return False
    axes = args[0].type.axes
    last = next((op for op in function.body.ops if results[0] in op.results), None)
    if last is None or last.kind != "where" or (last.operands[0], last.operands[2]) != (args[0], args[1]):
        return False
    same = all(value.type.axes[: len(axes)] == axes for value in (*args, *results))
    return same and _apart(function.body, axes, functions)


def _apart(region: Region, axes: Sequence[Axis], functions: Mapping[str, Function]) -> bool:
    """Return whether nothing in a region mixes, moves or drops positions along some axes, or numbers them."""
    return all(_keeps(op, axes, functions) for op in region.ops)


def _keeps(op: Op, axes: Sequence[Axis], functions: Mapping[str, Function]) -> bool:
    if op.kind == "call":
        return _apart(functions[op.attrs["callee"]].body, axes, functions)
    names = {axis.name for axis in axes}
    made = [axis for value in op.results for axis in value.type.axes if axis.name in names]
    # what has positions and comes from nothing, such as a constant table, may differ from one to the next
    if op.regions or any(axis not in axes for axis in made) or (made and not op.operands):
        return False
    flows = lookup(op.kind).flow(op)
    return all(flow == Flow(How.SAME, (name,)) for each in flows for name, flow in each.items() if name in names)
