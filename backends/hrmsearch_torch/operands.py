"""Operands as torch wants them: aligned for its broadcasting, expanded, or filled with a number."""

import ast
from collections.abc import Mapping, Sequence
from typing import Protocol

from hrmsearch.ir.graph import Op, Value
from hrmsearch.ir.types import DType, Size, Type
from hrmsearch_torch import syntax as py
from hrmsearch_torch.syntax import Expr


class Scope(Protocol):
    """What a kind may ask of the function around it."""

    def size(self, size: Size) -> Expr:
        """Return the expression of an axis size."""
        ...

    def like(self, dtype: DType) -> Expr | None:
        """Return a tensor at hand of a dtype, for its dtype and device."""
        ...

    def helper(self, name: str) -> Expr:
        """Return a function of the emitted file's head."""
        ...

    def buffer(self, op: Op) -> Expr:
        """Return the attribute that holds a constant table."""
        ...

    def reduced(self, value: Value) -> Op | None:
        """Return the reduction that an operand is, while it is written in place."""
        ...


INTEGERS: Mapping[DType, str] = {DType.I32: "torch.int32", DType.I8: "torch.int8", DType.BOOL: "torch.bool"}


def dim(type_: Type, name: str) -> int:
    """Return an axis as torch counts it; the last one is -1."""
    at = type_.index(name)
    return -1 if at == len(type_.axes) - 1 else at


def aligned(value: Value, expr: Expr, names: Sequence[str], scope: Scope | None = None) -> Expr:
    """Return an operand so that torch's broadcasting follows the axis names of a result."""
    have = value.type.names
    if py.is_literal(expr) or not have or tuple(names[-len(have) :]) == have:
        return expr
    reduction = scope.reduced(value) if scope else None
    if reduction is not None and isinstance(expr, ast.Call) and tuple(names) == reduction.operands[0].type.names:
        return py.call(expr.func, *expr.args, keepdim=True)
    inner = names[list(names).index(have[0]) :]
    items: list[object] = [py.span() if name in have else None for name in inner]
    while isinstance(items[-1], ast.Slice):
        items.pop()
    if len(have) > 1 and set(inner[: len(have)]) == set(have):
        items = [..., *items[len(have) :]]
    return py.index(expr, *items)


def operands_of(scope: Scope, op: Op, x: Sequence[Expr]) -> list[Expr]:
    """Align operands; with literals only, the first becomes a tensor."""
    out = [aligned(value, expr, op.result.type.names, scope) for value, expr in zip(op.operands, x, strict=True)]
    if all(map(py.is_literal, out)):
        out[0] = filled(scope, op.operands[0].type, out[0])
    return out


def filled(scope: Scope, type_: Type, value: Expr) -> Expr:
    """Return a tensor of one repeated number."""
    sizes = [scope.size(size) for size in type_.sizes]
    number = value.value if isinstance(value, ast.Constant) else None
    if type_.dtype.is_float:
        like = scope.like(DType.COMPUTE)
        if like is None and (like := scope.like(DType.WIDE)) is None:
            return py.call("torch.full", tuple(sizes), value)
        named = {0.0: "new_zeros", 1.0: "new_ones"}.get(number) if isinstance(number, float) and sizes else None
        full = py.method(like, named, *sizes) if named else py.method(like, "new_full", tuple(sizes), value)
        return py.call(scope.helper("wide"), full) if type_.dtype == DType.WIDE else full
    keywords: dict[str, Expr] = {"dtype": py.ref(INTEGERS[type_.dtype])}
    like = scope.like(DType.COMPUTE) or scope.like(DType.I32)
    if like is not None and sizes:
        keywords["device"] = py.attr(like, "device")
    return py.call("torch.full", tuple(sizes), value, **keywords)


def expanded(scope: Scope, value: Value, expr: Expr, type_: Type) -> Expr:
    """Return a value repeated along the axes of a type that it lacks."""
    if py.is_literal(expr):
        return filled(scope, type_, expr)
    if value.type.names == type_.names:
        return expr
    have = value.type.names
    sizes = [-1 if name in have else scope.size(size) for name, size in zip(type_.names, type_.sizes, strict=True)]
    return py.method(aligned(value, expr, type_.names), "expand", *sizes)
