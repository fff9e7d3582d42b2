"""Small constructors for the Python expressions that emitted code is made of."""

import ast
import math
import re
from collections.abc import Sequence
from typing import Any, cast

Expr = ast.expr
#: what a constructor takes for an argument: an expression, or a plain value that becomes a literal
Term = Any


def lift(value: Term) -> Expr:
    """Return an expression for a plain value; expressions pass through."""
    if isinstance(value, ast.expr):
        return value
    if isinstance(value, tuple | list):
        parts = [lift(item) for item in cast(Sequence[Any], value)]
        return ast.List(parts, ast.Load()) if isinstance(value, list) else ast.Tuple(parts, ast.Load())
    if isinstance(value, float) and not math.isfinite(value):
        return ast.Call(ast.Name("float", ast.Load()), [ast.Constant(str(value))], [])
    return ast.Constant(value)


def ref(dotted: str) -> Expr:
    """Return a name or a dotted path: `torch.cat`."""
    first, *rest = dotted.split(".")
    return attr(ast.Name(first, ast.Load()), *rest)


def attr(value: Expr, *names: str) -> Expr:
    """Return `value.name`."""
    for name in names:
        value = ast.Attribute(value, name, ast.Load())
    return value


def call(function: str | Expr, /, *args: Term, **keywords: Term) -> Expr:
    """Return `function(*args, **keywords)`."""
    called = ref(function) if isinstance(function, str) else function
    named = [ast.keyword(name, lift(value)) for name, value in keywords.items()]
    return ast.Call(called, [lift(arg) for arg in args], named)


def method(value: Expr, name: str, /, *args: Term, **keywords: Term) -> Expr:
    """Return `value.name(*args, **keywords)`."""
    return call(attr(value, name), *args, **keywords)


def index(value: Expr, *items: Term) -> Expr:
    """Return `value[items]`."""
    key = lift(items[0]) if len(items) == 1 else lift(tuple(items))
    return ast.Subscript(value, key, ast.Load())


def span(start: Term | None = None, stop: Term | None = None) -> Expr:
    """Return the slice `start:stop`."""
    return ast.Slice(None if start is None else lift(start), None if stop is None else lift(stop))


_BINARY: dict[str, type[ast.operator]] = {
    "+": ast.Add,
    "-": ast.Sub,
    "*": ast.Mult,
    "/": ast.Div,
    "//": ast.FloorDiv,
    "@": ast.MatMult,
    "&": ast.BitAnd,
    "|": ast.BitOr,
}
_COMPARE: dict[str, type[ast.cmpop]] = {"<": ast.Lt, ">": ast.Gt, "==": ast.Eq}
_UNARY: dict[str, type[ast.unaryop]] = {"-": ast.USub, "~": ast.Invert}


def binary(left: Term, sign: str, right: Term) -> Expr:
    """Return `left sign right`; precedence is the printer's care."""
    return ast.BinOp(lift(left), _BINARY[sign](), lift(right))


def compare(left: Term, sign: str, right: Term) -> Expr:
    """Return a comparison."""
    return ast.Compare(lift(left), [_COMPARE[sign]()], [lift(right)])


def unary(sign: str, value: Term) -> Expr:
    """Return `-value` or `~value`; twice the same is nothing."""
    if isinstance(value, ast.UnaryOp) and isinstance(value.op, _UNARY[sign]):
        return value.operand
    return ast.UnaryOp(_UNARY[sign](), lift(value))


def either(condition: Term, yes: Term, no: Term) -> Expr:
    """Return `yes if condition else no`."""
    return ast.IfExp(lift(condition), lift(yes), lift(no))


def mapping(items: dict[str, Expr]) -> Expr:
    """Return a dict display."""
    return ast.Dict([lift(key) for key in items], list(items.values()))


def is_literal(value: Expr) -> bool:
    """Return whether an expression is a number or truth value written out."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "float"
    return isinstance(value, ast.Constant)


def is_atom(value: Expr) -> bool:
    """Return whether an expression may be written twice: a name, a literal, or a path of attributes and keys."""
    if isinstance(value, ast.Attribute):
        return is_atom(value.value) and value.attr != "mT"
    if isinstance(value, ast.Subscript):
        return is_atom(value.value) and isinstance(value.slice, ast.Constant)
    return isinstance(value, ast.Name) or is_literal(value)


def names_in(value: Expr) -> set[str]:
    """Return every name an expression reads."""
    return {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}


def nesting(value: ast.AST) -> int:
    """Return how deep calls and operators stand inside each other; method chains do not count."""
    if isinstance(value, ast.Call):
        receiver = nesting(value.func)
        inside = [nesting(part) for part in (*value.args, *(keyword.value for keyword in value.keywords))]
        return max(receiver, 1 + max(inside, default=0))
    parts = max((nesting(part) for part in ast.iter_child_nodes(value)), default=0)
    return parts + 1 if isinstance(value, ast.BinOp | ast.IfExp) else parts


def source(value: Expr) -> str:
    """Return an expression as text, strings in double quotes and large numbers as `1e30`."""
    # emitted strings are paths and einsum specs, which hold no quotes
    return re.sub(r"(?<=\d)e\+(?=\d)", "e", ast.unparse(value).replace("'", '"'))
