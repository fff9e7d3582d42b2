"""Elementwise primitives: operands broadcast by axis name."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hrmsearch.ir.graph import Op
from hrmsearch.ir.ops.table import Array, Functions, OpDef, aligned, declare, no_work, per_element, require
from hrmsearch.ir.types import DType, Type, broadcast


def _float_types(op: Op, _functions: Functions) -> Sequence[Type]:
    dtypes = {value.type.dtype for value in op.operands}
    require(len(dtypes) == 1 and next(iter(dtypes)).is_float, op, "operands are floats of one dtype")
    return [Type(next(iter(dtypes)), broadcast([value.type for value in op.operands]))]


def _compare_types(op: Op, _functions: Functions) -> Sequence[Type]:
    require(len({value.type.dtype for value in op.operands}) == 1, op, "operands have one dtype")
    return [Type(DType.BOOL, broadcast([value.type for value in op.operands]))]


def _bool_types(op: Op, _functions: Functions) -> Sequence[Type]:
    require(all(value.type.dtype == DType.BOOL for value in op.operands), op, "operands are bool")
    return [Type(DType.BOOL, broadcast([value.type for value in op.operands]))]


def _where_types(op: Op, _functions: Functions) -> Sequence[Type]:
    condition, yes, no = op.operands
    require(condition.type.dtype == DType.BOOL, op, "the condition is bool")
    require(yes.type.dtype == no.type.dtype, op, "both branches have one dtype")
    return [Type(yes.type.dtype, broadcast([value.type for value in op.operands]))]


def _cast_types(op: Op, _functions: Functions) -> Sequence[Type]:
    return [op.operands[0].type.with_dtype(DType(op.attrs["dtype"]))]


def _same_type(op: Op, _functions: Functions) -> Sequence[Type]:
    return [op.operands[0].type]


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _erf(x: Array) -> Array:
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), np.float64)


UNARY: Mapping[str, Callable[[Array], Array]] = {
    "neg": np.negative,
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "atan": np.arctan,
    "erf": _erf,
    "sigmoid": _sigmoid,
    "softplus": lambda x: np.logaddexp(0.0, x),
    "abs": np.abs,
    "sign": np.sign,
}
BINARY: Mapping[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
}
COMPARE: Mapping[str, Callable[[Array, Array], Array]] = {"less": np.less, "equal": np.equal}
LOGIC: Mapping[str, Callable[..., Array]] = {"and": np.logical_and, "or": np.logical_or, "not": np.logical_not}


def _pointwise(function: Callable[..., Array]) -> Callable[[Op, Sequence[Array], Mapping[str, int]], Array]:
    def meaning(op: Op, arrays: Sequence[Array], _sizes: Mapping[str, int]) -> Array:
        return function(*aligned(op, arrays))

    return meaning


def _identity(_op: Op, arrays: Sequence[Array], _sizes: Mapping[str, int]) -> Array:
    return arrays[0]


def _cast_meaning(op: Op, arrays: Sequence[Array], _sizes: Mapping[str, int]) -> Array:
    """Floats stay float64 in the reference; integers and bools convert."""
    targets = {DType.I32: np.int32, DType.I8: np.int8, DType.BOOL: np.bool_}
    return arrays[0].astype(targets.get(DType(op.attrs["dtype"]), np.float64))


for _kind, _function in (UNARY | BINARY).items():
    declare(OpDef(_kind, _float_types, elementwise=per_element, numpy=_pointwise(_function)))
for _kind, _function in COMPARE.items():
    declare(OpDef(_kind, _compare_types, elementwise=per_element, numpy=_pointwise(_function), differentiable=False))
for _kind, _function in LOGIC.items():
    declare(OpDef(_kind, _bool_types, elementwise=per_element, numpy=_pointwise(_function), differentiable=False))
declare(OpDef("where", _where_types, elementwise=per_element, numpy=_pointwise(np.where)))
declare(OpDef("cast", _cast_types, attrs=frozenset({"dtype"}), elementwise=no_work, numpy=_cast_meaning))
declare(OpDef("detach", _same_type, numpy=_identity, differentiable=False))
# the mean of its random value: a training backend draws a mask and rescales, evaluation is the identity
declare(OpDef("dropout", _same_type, attrs=frozenset({"rate"}), elementwise=per_element, numpy=_identity))
