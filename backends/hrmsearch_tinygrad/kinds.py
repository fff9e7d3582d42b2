"""What each op kind looks like in tinygrad: one function per kind, from operand expressions to an expression."""

import math
from collections.abc import Mapping, Sequence

from hrmsearch.emission import Kind, Scope
from hrmsearch.emission import syntax as py
from hrmsearch.emission.contraction import factors
from hrmsearch.emission.kinds import COMMON, affine, first, reduction, slicing, wide_logits
from hrmsearch.emission.operands import aligned, dim, filled, operands_of
from hrmsearch.emission.scans import recurrence
from hrmsearch.emission.syntax import Expr
from hrmsearch.ir.graph import Op
from hrmsearch.ir.ops import einsum_letters
from hrmsearch.ir.types import DType, Size
from hrmsearch_tinygrad.scans import DEFAULT, FORMS

#: number formats that are no floats
INTEGERS: Mapping[DType, str] = {DType.I32: "dtypes.int32", DType.I8: "dtypes.int8", DType.BOOL: "dtypes.bool"}


def dtype_of(scope: Scope, dtype: DType) -> Expr:
    """Return a number format as an expression: that of a tensor at hand, or tinygrad's default."""
    if not dtype.is_float:
        return py.ref(INTEGERS[dtype])
    like = scope.like(dtype)
    if dtype == DType.WIDE and like is None and (narrow := scope.like(DType.COMPUTE)) is not None:
        like = py.call(scope.helper("wide"), narrow)
    return py.ref("dtypes.default_float") if like is None else py.attr(like, "dtype")


def _method(name: str) -> Kind:
    return lambda scope, op, x: py.method(operands_of(scope, op, x)[0], name)


def _helper(name: str) -> Kind:
    return lambda scope, op, x: py.call(scope.helper(name), *operands_of(scope, op, x))


def _bound(name: str) -> Kind:
    """`maximum` and `minimum`: of a tensor and a tensor or number."""

    def kind(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
        left, right = operands_of(scope, op, x)
        return py.method(right, name, left) if py.is_literal(left) else py.method(left, name, right)

    return kind


def _where(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    names = op.result.type.names
    condition, yes, no = (aligned(v, e, names, scope) for v, e in zip(op.operands, x, strict=True))
    chosen = py.method(filled(scope, op.operands[0].type, condition), "where", yes, no)
    # two numbers take the format of whatever they meet
    weak = py.is_literal(yes) and py.is_literal(no)
    return py.method(chosen, "cast", dtype_of(scope, op.result.type.dtype)) if weak else chosen


def _cast(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    have, want = op.operands[0].type.dtype, DType(op.attrs["dtype"])
    value = first(scope, op, x)
    if have == want:
        return value
    if want == DType.WIDE and have.is_float:
        return py.call(scope.helper("wide"), value)
    return py.method(value, "cast", dtype_of(scope, want))


def _dropout(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    return py.method(first(scope, op, x), "dropout", op.attrs["rate"])


def _running(_scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    dtype = op.result.type.dtype
    run = py.method(x[0], op.kind, dim(op.operands[0].type, op.attrs["axis"]))
    if op.kind == "cummax":
        return py.index(run, 0)
    # tinygrad adds up small integers in int32
    return run if dtype.is_float else py.method(run, "cast", py.ref(INTEGERS[dtype]))


def _gather(_scope: Scope, _op: Op, x: Sequence[Expr]) -> Expr:
    return py.index(*x)


def _slice(scope: Scope, op: Op, x: Expr, start: int, stop: Expr) -> Expr:
    type_ = op.operands[0].type
    return py.call(scope.helper("entries"), x, type_.index(op.attrs["axis"]) - len(type_.axes), start, stop)


def _concat(_scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    return py.method(x[0], "cat", *x[1:], dim=dim(op.operands[0].type, op.attrs["axis"]))


def _pad(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    type_, name = op.operands[0].type, op.attrs["axis"]
    after = scope.size(Size.of(op.attrs["size"]) - op.attrs["before"] - type_.size(name))
    widths = tuple((op.attrs["before"], after) if other == name else None for other in type_.names)
    value = {"value": op.attrs["value"]} if op.attrs["value"] else {}
    return py.method(x[0], "pad", widths, **value)


def _attention(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    causal, scale = op.attrs["causal"], op.attrs["scale"]
    width = op.operands[0].type.sizes[-1].known
    # tinygrad's own knows one scale only
    if width is not None and math.isclose(scale, width**-0.5):
        return py.method(x[0], "scaled_dot_product_attention", *x[1:], **({"is_causal": True} if causal else {}))
    return py.call(scope.helper("attention"), *x, scale, **({"causal": True} if causal else {}))


def _softmax(_scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    return py.method(x[0], "softmax", dim(op.operands[0].type, op.attrs["axis"]))


def _argmax(_scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    return py.method(x[0], "argmax", dim(op.operands[0].type, op.attrs["axis"]))


def _rms_norm(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    normed = py.call(scope.helper("rms_norm"), x[0], float(op.attrs["eps"]))
    return affine(normed, x[1:])


def _layer_norm(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    normed = py.call(scope.helper("layer_norm"), x[0], float(op.attrs["eps"]))
    return affine(normed, x[1:])


def _cross_entropy(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    logits, targets = x
    logits = wide_logits(scope, op, logits)
    keywords = {"ignore_index": op.attrs["ignore"], "reduction": "none"}
    return py.method(logits, "sparse_categorical_crossentropy", targets, **keywords)


def _einsum(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    sides = factors(scope, op, x)
    return py.call("Tensor.einsum", einsum_letters(op), *x) if sides is None else py.binary(sides[0], "@", sides[1])


KINDS: Mapping[str, Kind] = {
    **COMMON,
    **{
        kind: _method(kind) for kind in ("exp", "log", "sqrt", "rsqrt", "sin", "cos", "tanh", "softplus", "abs", "sign")
    },
    **{kind: _helper(kind) for kind in ("log1p", "expm1", "atan", "erf", "sigmoid", "silu", "gelu")},
    "maximum": _bound("maximum"),
    "minimum": _bound("minimum"),
    "where": _where,
    "cast": _cast,
    "dropout": _dropout,
    "einsum": _einsum,
    "sum": reduction("sum"),
    "mean": reduction("mean"),
    "amax": reduction("max"),
    **dict.fromkeys(("cumsum", "cummax"), _running),
    "gather": _gather,
    "slice": slicing(_slice),
    "concat": _concat,
    "pad": _pad,
    "attention": _attention,
    "softmax": _softmax,
    "argmax": _argmax,
    "rms_norm": _rms_norm,
    "layer_norm": _layer_norm,
    "rope": _helper("rope"),
    "cross_entropy": _cross_entropy,
    "linear_scan": recurrence(FORMS, DEFAULT),
}
