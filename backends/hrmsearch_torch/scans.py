"""`linear_scan` in torch: the forms it has, and the call of one."""

import ast
from collections.abc import Mapping, Sequence

from hrmsearch.emission import Scope
from hrmsearch.emission import syntax as py
from hrmsearch.emission.operands import filled
from hrmsearch.emission.syntax import Expr
from hrmsearch.errors import BackendError
from hrmsearch.ir.graph import Op, Value

#: the forms that torch has, each with its function at the head of an emitted file
FORMS: Mapping[str, str] = {"step": "by_step", "chunk": "by_chunk", "fft": "by_fft", "scan": "by_scan"}
#: what a scan without a form gets
DEFAULT = "scan"


def linear_scan(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    """Return the call that gives every state and the last one; raises BackendError for a form that torch lacks."""
    form = op.attrs["form"] or DEFAULT
    if form not in FORMS:
        raise BackendError(f"{op.place}: torch has no form {form!r} of linear_scan; it has: {', '.join(FORMS)}")
    axis, mix = op.attrs["axis"], op.attrs["mix"]
    a, b, start = (filled(scope, value.type, expr) for value, expr in zip(op.operands, x, strict=True))
    inputs = op.operands[1].type.names
    rest = [name for name in inputs if not mix or name != mix[0]]
    a = _arranged(op.operands[0], a, [*(mix or ()), *rest], axis)
    operands = (scope.helper(FORMS[form]), a, b, start, rest.index(axis) - len(rest))
    if mix is None:
        return py.call(scope.helper("linear_scan"), *operands)
    return py.call(scope.helper("matrix_scan"), *operands, inputs.index(mix[0]) - len(inputs))


def _arranged(value: Value, expr: Expr, wanted: Sequence[str], axis: str) -> Expr:
    """Return a transition with its axes in an order, those that it lacks of length 1, but none needless before time."""
    have = value.type.names
    order = [have.index(name) for name in wanted if name in have]
    if order != sorted(order):
        expr = py.method(expr, "permute", *order)
    items: list[object] = [py.span() if name in have else None for name in wanted]
    while items[0] is None and len(items) > len(wanted) - list(wanted).index(axis):
        items.pop(0)
    while items and isinstance(items[-1], ast.Slice):
        items.pop()
    return py.index(expr, *items) if items else expr
