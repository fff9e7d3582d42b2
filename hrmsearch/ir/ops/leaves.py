"""Leaves: where values come from. Their types are declared, not inferred."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hrmsearch.ir.graph import Op
from hrmsearch.ir.ops.table import Array, Functions, OpDef, declare, require, same_flow
from hrmsearch.ir.types import Axis, Lifetime, Type


def _declared(op: Op, _functions: Functions) -> Sequence[Type]:
    return [op.result.type]


def _param(op: Op, _functions: Functions) -> Sequence[Type]:
    require(all(size.known is not None for size in op.result.type.sizes), op, "a parameter has no symbolic axis")
    return [op.result.type]


def _state(op: Op, _functions: Functions) -> Sequence[Type]:
    """Operands: the start value (broadcast by name) and `reset`, the lifetime level to restore in each row."""
    start, reset = op.operands
    require(start.type.dtype == op.result.type.dtype, op, "the start value has the dtype of the state")
    rest = iter(op.result.type.axes)
    require(all(axis in rest for axis in start.type.axes), op, "the start value broadcasts to the state")
    require(reset.type.names == ("B",), op, "reset has one entry per row")
    require(op.result.type.names[:1] == ("B",), op, "a state has a row axis first")
    Lifetime.of(op.attrs["lifetime"])
    low, high = op.attrs.get("within", (0.0, 0.0))
    require(low <= high, op, "a promised range is not empty")
    require(op.attrs["commit"] in ("every_pass", "last_pass"), op, "commit is every_pass or last_pass")
    return [op.result.type]


declare(OpDef("input", _declared, attrs=frozenset({"name"}), declared=True, differentiable=False))
declare(OpDef("param", _param, attrs=frozenset({"path", "init", "trainable", "keyed"}), declared=True))
declare(OpDef("state", _state, same_flow, frozenset({"path", "lifetime", "commit", "within"}), declared=True))


def _full(op: Op, shape: tuple[int, ...]) -> Array:
    return np.full(shape, op.attrs["value"], dtype=np.float64)


def _iota(op: Op, shape: tuple[int, ...]) -> Array:
    (axis,) = op.result.type.axes
    del axis
    return np.arange(shape[0], dtype=np.float64)


def _rope_angles(op: Op, shape: tuple[int, ...]) -> Array:
    """Rotary angles, rotate-half layout: position x base^(-2i/K), twice over (Su et al. 2021, arXiv:2104.09864)."""
    positions, width = shape
    frequency = op.attrs["base"] ** (-np.arange(0, width, 2, dtype=np.float64) / width)
    angles = np.arange(positions, dtype=np.float64)[:, None] * frequency[None, :]
    return np.concatenate([angles, angles], axis=1)


CONSTANTS: Mapping[str, Callable[[Op, tuple[int, ...]], Array]] = {
    "full": _full,
    "iota": _iota,
    "rope_cos": lambda op, shape: np.cos(_rope_angles(op, shape)),
    "rope_sin": lambda op, shape: np.sin(_rope_angles(op, shape)),
}


def _const(op: Op, _functions: Functions) -> Sequence[Type]:
    require(op.attrs["rule"] in CONSTANTS, op, f"the rule of a constant is one of {', '.join(CONSTANTS)}")
    if op.attrs["rule"] == "iota":
        require(len(op.result.type.axes) == 1, op, "iota counts along one axis")
    return [op.result.type]


def constant(op: Op, sizes: Mapping[str, int]) -> Array:
    """Return a constant's value in float64; the caller casts it."""
    return CONSTANTS[op.attrs["rule"]](op, op.result.type.shape(sizes))


def _constant_meaning(op: Op, _arrays: Sequence[Array], sizes: Mapping[str, int]) -> Array:
    return constant(op, sizes)


declare(
    OpDef(
        "const",
        _const,
        attrs=frozenset({"rule", "value", "base"}),
        numpy=_constant_meaning,
        declared=True,
        differentiable=False,
    )
)


def _broadcast(op: Op, _functions: Functions) -> Sequence[Type]:
    rest = iter(op.result.type.axes)
    known: list[Axis] = list(op.operands[0].type.axes)
    require(all(axis in rest for axis in known), op, f"does not broadcast to {op.result.type}")
    return [op.result.type]


def _broadcast_meaning(op: Op, arrays: Sequence[Array], sizes: Mapping[str, int]) -> Array:
    have = op.operands[0].type.names
    shape = op.result.type.shape(sizes)
    source = [n if name in have else 1 for name, n in zip(op.result.type.names, shape, strict=True)]
    return np.broadcast_to(arrays[0].reshape(source), shape)


declare(OpDef("broadcast", _broadcast, numpy=_broadcast_meaning, declared=True))
