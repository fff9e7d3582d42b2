"""Operands as array libraries want them: aligned for their broadcasting, expanded, or filled with a number."""

import ast
from collections.abc import Sequence

from hrmsearch.emission import syntax as py
from hrmsearch.emission.dialect import Scope
from hrmsearch.emission.syntax import Expr
from hrmsearch.ir.graph import Op, Value
from hrmsearch.ir.types import Type


def dim(type_: Type, name: str) -> int:
    """Return an axis as a method takes it; the last one is -1."""
    at = type_.index(name)
    return -1 if at == len(type_.axes) - 1 else at


def aligned(value: Value, expr: Expr, names: Sequence[str], scope: Scope | None = None) -> Expr:
    """Return an operand so that broadcasting from the right follows the axis names of a result."""
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
    """Return a value as a tensor: one repeated number where it is a plain number."""
    return scope.dialect.full(scope, type_, value) if py.is_literal(value) else value


def expanded(scope: Scope, value: Value, expr: Expr, type_: Type) -> Expr:
    """Return a value repeated along the axes of a type that it lacks."""
    if py.is_literal(expr) or value.type.names == type_.names:
        return filled(scope, type_, expr)
    have = value.type.names
    sizes = [-1 if name in have else scope.size(size) for name, size in zip(type_.names, type_.sizes, strict=True)]
    return py.method(aligned(value, expr, type_.names), "expand", *sizes)
