"""Op kinds that every array library writes alike; a dialect's table starts from these."""

import ast
from collections.abc import Callable, Mapping, Sequence

from hrmsearch.emission import syntax as py
from hrmsearch.emission.dialect import Kind, Scope
from hrmsearch.emission.operands import dim, expanded, filled, operands_of
from hrmsearch.emission.syntax import Expr
from hrmsearch.ir.graph import Op
from hrmsearch.ir.types import DType, Size


def _sign(sign: str) -> Kind:
    def kind(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
        left, right = operands_of(scope, op, x)
        return py.binary(left, sign, right)

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


def _same(_scope: Scope, _op: Op, x: Sequence[Expr]) -> Expr:
    return x[0]


def first(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    """Return the first operand as a tensor."""
    return filled(scope, op.operands[0].type, x[0])


def _detach(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    return py.method(first(scope, op, x), "detach")


def reduction(name: str) -> Kind:
    """Return the kind of a reduction over some axes that is a method of tensors."""

    def kind(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
        type_ = op.operands[0].type
        dims = [dim(type_, name) for name in op.attrs["axes"]]
        if not dims:
            return first(scope, op, x)
        if len(dims) == len(type_.axes):
            return py.method(x[0], name)
        return py.method(x[0], name, dims[0] if len(dims) == 1 else tuple(dims))

    return kind


def _split(_scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    (_, major), (_, minor) = op.attrs["into"]
    return py.method(x[0], "unflatten", dim(op.operands[0].type, op.attrs["axis"]), (Size.of(major).known or -1, minor))


def _merge(_scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    type_ = op.operands[0].type
    start, end = (dim(type_, name) for name in op.attrs["axes"])
    return py.method(x[0], "flatten", start) if end == -1 else py.method(x[0], "flatten", start, end)


def _transpose(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    order = [op.operands[0].type.index(name) for name in op.attrs["order"]]
    moved = [i for i, at in enumerate(order) if i != at]
    if not moved:
        return x[0]
    if len(moved) > 2:
        return py.method(x[0], "permute", *order)
    last = len(order) - 1
    return scope.dialect.flipped(x[0]) if moved == [last - 1, last] else py.method(x[0], "transpose", *moved)


def _sliced(op: Op, value: Expr, start: int, stop: Expr | None) -> Expr:
    """Return `value[:, start:stop]` along the axis of a slice; no stop is its end."""
    type_ = op.operands[0].type
    at = type_.index(op.attrs["axis"])
    lead: list[object] = [py.span()] * at
    if at == len(type_.axes) - 1 and at > 1:
        lead = [...]
    return py.index(value, *lead, py.span(start or None, stop))


def slicing(worked_out: Callable[[Scope, Op, Expr, int, Expr], Expr]) -> Kind:
    """Return the kind of a slice; `worked_out` writes one from a start to a stop that is no plain number or name."""

    def kind(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
        type_, name, start, size = op.operands[0].type, op.attrs["axis"], op.attrs["start"], Size.of(op.attrs["size"])
        if start == 0 and size == type_.size(name):
            return x[0]
        end = size + start
        stop = None if start < 0 and end.known == 0 else scope.size(end)
        if isinstance(stop, ast.expr) and not isinstance(stop, ast.Name | ast.Constant):
            return worked_out(scope, op, x[0], start, stop)
        return _sliced(op, x[0], start, stop)

    return kind


def affine(normed: Expr, gain_and_bias: Sequence[Expr]) -> Expr:
    """Return what was normalised, times its gain and plus its bias, where it has them."""
    for sign, value in zip("*+", gain_and_bias, strict=False):
        normed = py.binary(normed, sign, value)
    return normed


def wide_logits(scope: Scope, op: Op, logits: Expr) -> Expr:
    """Return the first operand of a loss in at least float32."""
    return logits if op.operands[0].type.dtype == DType.WIDE else py.call(scope.helper("wide"), logits)


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
    return scope.dialect.table(scope, op)


COMMON: Mapping[str, Kind] = {
    "neg": _unary("-"),
    "not": _unary("~"),
    **{
        kind: _sign(sign)
        for kind, sign in {"add": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|"}.items()
    },
    "less": _compare("<", ">"),
    "equal": _compare("==", "=="),
    "detach": _detach,
    "split": _split,
    "merge": _merge,
    "transpose": _transpose,
    "rename": _same,
    "broadcast": _broadcast,
    "const": _const,
}
