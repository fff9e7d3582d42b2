"""Layout primitives: they move or rename elements and compute nothing."""

from collections.abc import Mapping, Sequence

import numpy as np

from hrmsearch.errors import BackendError
from hrmsearch.ir.graph import Op
from hrmsearch.ir.ops.table import MIXED, Array, Flow, Flows, Functions, How, OpDef, declare, require
from hrmsearch.ir.types import Axis, Size, Type, axis


def _keep(op: Op, **changed: Flow) -> dict[str, Flow]:
    return {name: changed.get(name, Flow(How.SAME, (name,))) for name in op.operands[0].type.names}


def _split_types(op: Op, _functions: Functions) -> Sequence[Type]:
    """Attribute `into`: the names and sizes of the major and the minor axis."""
    (major, major_size), (minor, minor_size) = op.attrs["into"]
    parts = axis(major, major_size), axis(minor, minor_size)
    inner = parts[1].size.known
    whole = op.operands[0].type.size(op.attrs["axis"])
    require(inner is not None and parts[0].size * inner == whole, op, f"{parts[0]} x {parts[1]} is not {whole}")
    return [op.operands[0].type.replace(op.attrs["axis"], *parts)]


def _split_flow(op: Op) -> Flows:
    names = tuple(name for name, _ in op.attrs["into"])
    return (_keep(op, **{op.attrs["axis"]: Flow(How.SPLIT, names)}),)


def _reshape(op: Op, arrays: Sequence[Array], sizes: Mapping[str, int]) -> Array:
    return arrays[0].reshape(op.result.type.shape(sizes))


def _merge_types(op: Op, _functions: Functions) -> Sequence[Type]:
    """Attributes `axes`, two neighbours, and `into`, the name of their product."""
    type_ = op.operands[0].type
    major, minor = op.attrs["axes"]
    at = type_.index(major)
    require(type_.names[at : at + 2] == (major, minor), op, f"{major} and {minor} are not neighbours")
    inner = type_.size(minor).known
    require(inner is not None, op, f"the minor axis {minor} has no fixed size")
    whole = Axis(op.attrs["into"], type_.size(major) * (inner or 0))
    return [type_.without(minor).replace(major, whole)]


def _merge_flow(op: Op) -> Flows:
    flow = Flow(How.MERGE, (op.attrs["into"],))
    return (_keep(op, **dict.fromkeys(op.attrs["axes"], flow)),)


def _transpose_types(op: Op, _functions: Functions) -> Sequence[Type]:
    type_ = op.operands[0].type
    require(sorted(op.attrs["order"]) == sorted(type_.names), op, "the order names every axis once")
    return [type_.with_axes([type_.axes[type_.index(name)] for name in op.attrs["order"]])]


def _transpose_meaning(op: Op, arrays: Sequence[Array], _sizes: Mapping[str, int]) -> Array:
    return np.transpose(arrays[0], [op.operands[0].type.index(name) for name in op.attrs["order"]])


def _slice_types(op: Op, _functions: Functions) -> Sequence[Type]:
    """Attributes `axis`, `start` (an integer) and `size` (may be symbolic); `into` renames the axis.

    A negative start counts from the end of the axis.
    """
    type_ = op.operands[0].type
    size, start = Size.of(op.attrs["size"]), op.attrs["start"]
    first, stop = slice_start(op), Size.of(start) + size
    whole = type_.size(op.attrs["axis"]) if start >= 0 else Size(0)
    fits = whole.known is None or stop.known is None or stop.known <= whole.known
    require((first.known or 0) >= 0, op, f"begins before {op.attrs['axis']} does")
    require(fits, op, f"reaches past the end of {op.attrs['axis']}")
    return [type_.replace(op.attrs["axis"], Axis(op.attrs["into"], size))]


def slice_start(op: Op) -> Size:
    """Return the position at which a slice begins, counted from the start of its axis."""
    start: int = op.attrs["start"]
    return Size(start) if start >= 0 else op.operands[0].type.size(op.attrs["axis"]) + start


def _slice_flow(op: Op) -> Flows:
    # a symbolic shift cannot be written down: say that positions mix, which is always sound
    start = slice_start(op).known
    along = MIXED if start is None else Flow(How.SAME, (op.attrs["into"],), start)
    return (_keep(op, **{op.attrs["axis"]: along}),)


def _slice_meaning(op: Op, arrays: Sequence[Array], sizes: Mapping[str, int]) -> Array:
    start, size = slice_start(op).evaluate(sizes), Size.of(op.attrs["size"]).evaluate(sizes)
    at = op.operands[0].type.index(op.attrs["axis"])
    if start < 0 or start + size > arrays[0].shape[at]:
        raise BackendError(f"{size} of axis {op.attrs['axis']} asked, {arrays[0].shape[at]} there")
    return np.take(arrays[0], range(start, start + size), axis=at)


def _concat_types(op: Op, _functions: Functions) -> Sequence[Type]:
    first, name = op.operands[0].type, op.attrs["axis"]
    total = Size(0)
    for value in op.operands:
        require(value.type.without(name) == first.without(name), op, f"operands differ beyond {name}")
        require(value.type.index(name) == first.index(name), op, f"{name} stands at different places")
        total = total + value.type.size(name)
    return [first.replace(name, Axis(name, total))]


def _concat_flow(op: Op) -> Flows:
    name, before, flows = op.attrs["axis"], Size(0), list[dict[str, Flow]]()
    for value in op.operands:
        # a symbolic offset cannot be written as a shift: say that positions mix, which is always sound
        along = MIXED if before.known is None else Flow(How.SAME, (name,), -before.known)
        flows.append({n: along if n == name else Flow(How.SAME, (n,)) for n in value.type.names})
        before = before + value.type.size(name)
    return tuple(flows)


def _concat_meaning(op: Op, arrays: Sequence[Array], _sizes: Mapping[str, int]) -> Array:
    return np.concatenate(arrays, axis=op.operands[0].type.index(op.attrs["axis"]))


def _pad_types(op: Op, _functions: Functions) -> Sequence[Type]:
    """Attributes `axis`, `before` (an integer), `size` (of the result) and `value`."""
    type_ = op.operands[0].type
    type_.index(op.attrs["axis"])
    return [type_.replace(op.attrs["axis"], Axis(op.attrs["axis"], Size.of(op.attrs["size"])))]


def _pad_flow(op: Op) -> Flows:
    return (_keep(op, **{op.attrs["axis"]: Flow(How.SAME, (op.attrs["axis"],), -op.attrs["before"])}),)


def _pad_meaning(op: Op, arrays: Sequence[Array], sizes: Mapping[str, int]) -> Array:
    at = op.operands[0].type.index(op.attrs["axis"])
    after = Size.of(op.attrs["size"]).evaluate(sizes) - op.attrs["before"] - arrays[0].shape[at]
    widths = [(op.attrs["before"], after) if i == at else (0, 0) for i in range(arrays[0].ndim)]
    return np.pad(arrays[0], widths, constant_values=op.attrs["value"])


def _rename_types(op: Op, _functions: Functions) -> Sequence[Type]:
    type_ = op.operands[0].type
    return [type_.replace(op.attrs["axis"], Axis(op.attrs["into"], type_.size(op.attrs["axis"])))]


def _rename_flow(op: Op) -> Flows:
    return (_keep(op, **{op.attrs["axis"]: Flow(How.SAME, (op.attrs["into"],))}),)


def _rename_meaning(_op: Op, arrays: Sequence[Array], _sizes: Mapping[str, int]) -> Array:
    return arrays[0]


declare(OpDef("split", _split_types, _split_flow, frozenset({"axis", "into"}), numpy=_reshape))
declare(OpDef("merge", _merge_types, _merge_flow, frozenset({"axes", "into"}), numpy=_reshape))
declare(OpDef("transpose", _transpose_types, attrs=frozenset({"order"}), numpy=_transpose_meaning))
declare(OpDef("slice", _slice_types, _slice_flow, frozenset({"axis", "start", "size", "into"}), numpy=_slice_meaning))
declare(OpDef("concat", _concat_types, _concat_flow, frozenset({"axis"}), numpy=_concat_meaning))
declare(OpDef("pad", _pad_types, _pad_flow, frozenset({"axis", "before", "size", "value"}), numpy=_pad_meaning))
declare(OpDef("rename", _rename_types, _rename_flow, frozenset({"axis", "into"}), numpy=_rename_meaning))
