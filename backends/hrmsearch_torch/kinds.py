"""What each op kind looks like in PyTorch: one function per kind, from operand expressions to an expression."""

import ast
from collections.abc import Callable, Mapping, Sequence

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
from hrmsearch_torch.scans import DEFAULT, FORMS

#: number formats that are no floats
INTEGERS: Mapping[DType, str] = {DType.I32: "torch.int32", DType.I8: "torch.int8", DType.BOOL: "torch.bool"}


def _function(name: str, **keywords: float) -> Kind:
    return lambda scope, op, x: py.call(name, *operands_of(scope, op, x), **keywords)


def _bound(name: str, keyword: str) -> Kind:
    """`maximum` and `minimum`: a clamp where one side is a number."""

    def kind(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
        left, right = operands_of(scope, op, x)
        if py.is_literal(left):
            left, right = right, left
        if py.is_literal(right):
            return py.method(left, "clamp", **{keyword: right})
        return py.call(f"torch.{name}", left, right)

    return kind


def _where(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    names = op.result.type.names
    condition, yes, no = (aligned(v, e, names, scope) for v, e in zip(op.operands, x, strict=True))
    condition = filled(scope, op.operands[0].type, condition)
    if py.is_literal(yes) and py.is_literal(no) and not _exact(op.result.type.dtype, yes, no):
        yes = filled(scope, op.operands[1].type, yes)
    return py.call("torch.where", condition, yes, no)


def _exact(dtype: DType, *numbers: Expr) -> bool:
    """Return whether two plain numbers in a `where` give the right result in torch's default float type."""
    return dtype == DType.WIDE and all(ast.unparse(number) in ("0.0", "1.0", "-1.0") for number in numbers)


def _cast(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    have, want = op.operands[0].type.dtype, DType(op.attrs["dtype"])
    value = first(scope, op, x)
    if have == want:
        return value
    if not want.is_float:
        return py.method(value, "to", py.ref(INTEGERS[want]))
    if not have.is_float or want == DType.COMPUTE:
        like = scope.like(DType.COMPUTE)
        if like is not None:
            value = py.method(value, "to", py.attr(like, "dtype"))
        elif not have.is_float:
            value = py.method(value, "to", py.call("torch.get_default_dtype"))
    return py.call(scope.helper("wide"), value) if want == DType.WIDE else value


def _dropout(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    return py.call("F.dropout", first(scope, op, x), op.attrs["rate"], py.ref("self.training"))


def _running(_scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    dtype = op.result.type.dtype
    # torch adds up small integers in int64
    narrow = {"dtype": py.ref(INTEGERS[dtype])} if op.kind == "cumsum" and not dtype.is_float else {}
    run = py.method(x[0], op.kind, dim(op.operands[0].type, op.attrs["axis"]), **narrow)
    return py.attr(run, "values") if op.kind == "cummax" else run


def _gather(_scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    table, ids = x
    return py.call("F.embedding", ids, table) if len(op.operands[0].type.axes) == 2 else py.index(table, ids)


def _slice(scope: Scope, op: Op, x: Expr, start: int, _stop: Expr) -> Expr:
    type_, name = op.operands[0].type, op.attrs["axis"]
    return py.method(x, "narrow", type_.index(name), start, scope.size(Size.of(op.attrs["size"])))


def _concat(_scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    return py.call("torch.cat", tuple(x), dim=dim(op.operands[0].type, op.attrs["axis"]))


def _pad(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    type_, name = op.operands[0].type, op.attrs["axis"]
    after = Size.of(op.attrs["size"]) - op.attrs["before"] - type_.size(name)
    inner = [0, 0] * (len(type_.axes) - 1 - type_.index(name))
    value = {"value": op.attrs["value"]} if op.attrs["value"] else {}
    return py.call("F.pad", x[0], (*inner, op.attrs["before"], scope.size(after)), **value)


def table_in_float64(op: Op, sizes: Sequence[Expr], helper: Callable[[str], Expr]) -> Expr:
    """Return a table of real numbers, built in float64."""
    if op.attrs["rule"] == "iota":
        return py.call("torch.arange", *sizes, dtype=py.ref("torch.float64"))
    angles = py.call(helper("rope_angles"), *sizes, float(op.attrs["base"]))
    return py.method(angles, op.attrs["rule"].removeprefix("rope_"))


def _attention(_scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    causal = {"is_causal": True} if op.attrs["causal"] else {}
    return py.call("F.scaled_dot_product_attention", *x, **causal, scale=op.attrs["scale"])


def _softmax(_scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    return py.call("F.softmax", x[0], dim=dim(op.operands[0].type, op.attrs["axis"]))


def _argmax(_scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    return py.method(py.method(x[0], "argmax", dim(op.operands[0].type, op.attrs["axis"])), "int")


def _rms_norm(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    # the gain stays outside: torch's own wants it in the dtype of x, which mixed precision does not give
    width = scope.size(op.operands[0].type.sizes[-1])
    normed = py.call("F.rms_norm", x[0], (width,), eps=float(op.attrs["eps"]))
    return affine(normed, x[1:])


def _layer_norm(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    width = scope.size(op.operands[0].type.sizes[-1])
    normed = py.call("F.layer_norm", x[0], (width,), eps=float(op.attrs["eps"]))
    return affine(normed, x[1:])


def _rope(scope: Scope, _op: Op, x: Sequence[Expr]) -> Expr:
    return py.call(scope.helper("rope"), *x)


def _cross_entropy(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    logits, targets = x
    logits = wide_logits(scope, op, logits)
    ignore = [op.attrs["ignore"]] if op.attrs["ignore"] != -100 else []
    return py.call(scope.helper("cross_entropy"), logits, targets, *ignore)


def _einsum(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    """Return `a @ b` where it is that; wide values keep their precision under autocast, which would lower a product."""
    wide = op.result.type.dtype == DType.WIDE
    sides = factors(scope, op, x)
    if sides is not None:
        return py.call(scope.helper("wide_matmul"), *sides) if wide else py.binary(sides[0], "@", sides[1])
    return py.call(scope.helper("wide_einsum") if wide else "torch.einsum", einsum_letters(op), *x)


KINDS: Mapping[str, Kind] = {
    **COMMON,
    **{kind: _function(f"torch.{kind}") for kind in ("exp", "log", "log1p", "expm1", "sqrt", "rsqrt", "sin", "cos")},
    **{kind: _function(f"torch.{kind}") for kind in ("tanh", "atan", "erf", "sigmoid", "abs", "sign")},
    # torch's default returns x above 20, which is off by 2e-9 there
    "softplus": _function("F.softplus", threshold=40.0),
    "silu": _function("F.silu"),
    "gelu": _function("F.gelu"),
    "maximum": _bound("maximum", "min"),
    "minimum": _bound("minimum", "max"),
    "where": _where,
    "cast": _cast,
    "dropout": _dropout,
    "einsum": _einsum,
    **{kind: reduction(kind) for kind in ("sum", "mean", "amax")},
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
    "rope": _rope,
    "cross_entropy": _cross_entropy,
    "linear_scan": recurrence(FORMS, DEFAULT),
}
