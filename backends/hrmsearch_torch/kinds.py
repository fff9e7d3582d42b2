"""What each op kind looks like in PyTorch: one function per kind, from operand expressions to an expression."""

import ast
from collections.abc import Callable, Mapping, Sequence

from hrmsearch.ir.graph import Op
from hrmsearch.ir.types import DType, Size
from hrmsearch_torch import syntax as py
from hrmsearch_torch.contraction import einsum
from hrmsearch_torch.operands import INTEGERS, Scope, aligned, dim, expanded, filled, operands_of
from hrmsearch_torch.syntax import Expr

Kind = Callable[[Scope, Op, Sequence[Expr]], Expr]


def _function(name: str, **keywords: float) -> Kind:
    return lambda scope, op, x: py.call(name, *operands_of(scope, op, x), **keywords)


def _sign(sign: str) -> Kind:
    def kind(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
        left, right = operands_of(scope, op, x)
        return py.binary(left, sign, right)

    return kind


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


def _compare(sign: str, mirrored: str) -> Kind:
    def kind(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
        left, right = operands_of(scope, op, x)
        if py.is_literal(left):
            return py.compare(right, mirrored, left)
        return py.compare(left, sign, right)

    return kind


def _unary(sign: str) -> Kind:
    return lambda scope, op, x: py.unary(sign, operands_of(scope, op, x)[0])


def _where(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    names = op.result.type.names
    condition, yes, no = (aligned(v, e, names, scope) for v, e in zip(op.operands, x, strict=True))
    if py.is_literal(condition):
        condition = filled(scope, op.operands[0].type, condition)
    if py.is_literal(yes) and py.is_literal(no) and not _exact(op.result.type.dtype, yes, no):
        yes = filled(scope, op.operands[1].type, yes)
    return py.call("torch.where", condition, yes, no)


def _exact(dtype: DType, *numbers: Expr) -> bool:
    """Return whether two plain numbers in a `where` give the right result in torch's default float type."""
    return dtype == DType.WIDE and all(ast.unparse(number) in ("0.0", "1.0", "-1.0") for number in numbers)


def _cast(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    have, want = op.operands[0].type.dtype, DType(op.attrs["dtype"])
    value = filled(scope, op.operands[0].type, x[0]) if py.is_literal(x[0]) else x[0]
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


def _same(_scope: Scope, _op: Op, x: Sequence[Expr]) -> Expr:
    return x[0]


def _tensor(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    """Return the first operand as a tensor."""
    return filled(scope, op.operands[0].type, x[0]) if py.is_literal(x[0]) else x[0]


def _detach(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    return py.method(_tensor(scope, op, x), "detach")


def _dropout(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    return py.call("F.dropout", _tensor(scope, op, x), op.attrs["rate"], py.ref("self.training"))


def _reduce(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    type_ = op.operands[0].type
    dims = [dim(type_, name) for name in op.attrs["axes"]]
    if not dims:
        return _tensor(scope, op, x)
    if len(dims) == len(type_.axes):
        return py.method(x[0], op.kind)
    return py.method(x[0], op.kind, dims[0] if len(dims) == 1 else tuple(dims))


def _running(_scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    dtype = op.result.type.dtype
    # torch adds up small integers in int64
    narrow = {"dtype": py.ref(INTEGERS[dtype])} if op.kind == "cumsum" and not dtype.is_float else {}
    run = py.method(x[0], op.kind, dim(op.operands[0].type, op.attrs["axis"]), **narrow)
    return py.attr(run, "values") if op.kind == "cummax" else run


def _gather(_scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    table, ids = x
    return py.call("F.embedding", ids, table) if len(op.operands[0].type.axes) == 2 else py.index(table, ids)


def _split(_scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    (_, major), (_, minor) = op.attrs["into"]
    return py.method(x[0], "unflatten", dim(op.operands[0].type, op.attrs["axis"]), (Size.of(major).known or -1, minor))


def _merge(_scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    type_ = op.operands[0].type
    first, last = (dim(type_, name) for name in op.attrs["axes"])
    return py.method(x[0], "flatten", first) if last == -1 else py.method(x[0], "flatten", first, last)


def _transpose(_scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    order = [op.operands[0].type.index(name) for name in op.attrs["order"]]
    moved = [i for i, at in enumerate(order) if i != at]
    if not moved:
        return x[0]
    if len(moved) > 2:
        return py.method(x[0], "permute", *order)
    last = len(order) - 1
    return py.attr(x[0], "mT") if moved == [last - 1, last] else py.method(x[0], "transpose", *moved)


def _slice(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    type_, name, start, size = op.operands[0].type, op.attrs["axis"], op.attrs["start"], Size.of(op.attrs["size"])
    if start == 0 and size == type_.size(name):
        return x[0]
    at, stop = type_.index(name), scope.size(size + start)
    if not isinstance(stop, ast.Name | ast.Constant):
        return py.method(x[0], "narrow", at, start, scope.size(size))
    lead: list[object] = [py.span()] * at
    if at == len(type_.axes) - 1 and at > 1:
        lead = [...]
    return py.index(x[0], *lead, py.span(start or None, stop))


def _concat(_scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    return py.call("torch.cat", tuple(x), dim=dim(op.operands[0].type, op.attrs["axis"]))


def _pad(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    type_, name = op.operands[0].type, op.attrs["axis"]
    after = Size.of(op.attrs["size"]) - op.attrs["before"] - type_.size(name)
    inner = [0, 0] * (len(type_.axes) - 1 - type_.index(name))
    value = {"value": op.attrs["value"]} if op.attrs["value"] else {}
    return py.call("F.pad", x[0], (*inner, op.attrs["before"], scope.size(after)), **value)


def _broadcast(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    return expanded(scope, op.operands[0], x[0], op.result.type)


def _const(scope: Scope, op: Op, _x: Sequence[Expr]) -> Expr:
    type_, rule = op.result.type, op.attrs["rule"]
    if rule == "full":
        number = op.attrs["value"]
        value = py.lift(
            float(number) if type_.dtype.is_float else bool(number) if type_.dtype == DType.BOOL else int(number)
        )
        return filled(scope, type_, value) if type_.axes else value
    return scope.buffer(op) if all(size.known is not None for size in type_.sizes) else _table(scope, op)


def _table(scope: Scope, op: Op) -> Expr:
    """Return a constant whose length is known at run time only."""
    type_ = op.result.type
    like = scope.like(DType.COMPUTE) or scope.like(DType.I32)
    place = {} if like is None else {"device": py.attr(like, "device")}
    if not type_.dtype.is_float:
        return py.call("torch.arange", scope.size(type_.sizes[0]), dtype=py.ref(INTEGERS[type_.dtype]), **place)
    floats = scope.like(DType.COMPUTE)
    dtype = py.attr(floats, "dtype") if floats is not None else py.call("torch.get_default_dtype")
    table = table_in_float64(op, [scope.size(size) for size in type_.sizes], scope.helper)
    return py.method(table, "to", **place, dtype=dtype)


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


def _rms_norm(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    # the gain stays outside: torch's own wants it in the dtype of x, which mixed precision does not give
    width = scope.size(op.operands[0].type.sizes[-1])
    normed = py.call("F.rms_norm", x[0], (width,), eps=float(op.attrs["eps"]))
    return py.binary(normed, "*", x[1]) if len(x) > 1 else normed


def _rope(scope: Scope, _op: Op, x: Sequence[Expr]) -> Expr:
    return py.call(scope.helper("rope"), *x)


def _cross_entropy(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    logits, targets = x
    if op.operands[0].type.dtype != DType.WIDE:
        logits = py.call(scope.helper("wide"), logits)
    ignore = [op.attrs["ignore"]] if op.attrs["ignore"] != -100 else []
    return py.call(scope.helper("cross_entropy"), logits, targets, *ignore)


KINDS: Mapping[str, Kind] = {
    **{kind: _function(f"torch.{kind}") for kind in ("exp", "log", "log1p", "expm1", "sqrt", "rsqrt", "sin", "cos")},
    **{kind: _function(f"torch.{kind}") for kind in ("tanh", "sigmoid", "abs", "sign")},
    # torch's default returns x above 20, which is off by 2e-9 there
    "softplus": _function("F.softplus", threshold=40.0),
    "silu": _function("F.silu"),
    "neg": _unary("-"),
    "not": _unary("~"),
    **{
        kind: _sign(sign)
        for kind, sign in {"add": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|"}.items()
    },
    "maximum": _bound("maximum", "min"),
    "minimum": _bound("minimum", "max"),
    "less": _compare("<", ">"),
    "equal": _compare("==", "=="),
    "where": _where,
    "cast": _cast,
    "detach": _detach,
    "dropout": _dropout,
    "einsum": einsum,
    **dict.fromkeys(("sum", "mean", "amax"), _reduce),
    **dict.fromkeys(("cumsum", "cummax"), _running),
    "gather": _gather,
    "split": _split,
    "merge": _merge,
    "transpose": _transpose,
    "slice": _slice,
    "concat": _concat,
    "pad": _pad,
    "rename": _same,
    "broadcast": _broadcast,
    "const": _const,
    "attention": _attention,
    "softmax": _softmax,
    "rms_norm": _rms_norm,
    "rope": _rope,
    "cross_entropy": _cross_entropy,
}
