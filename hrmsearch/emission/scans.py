"""`linear_scan` as a call of helpers: `linear_scan` or `matrix_scan`, which take a form of the recurrence.

The axis of time is counted from the end, the same in all operands; a transition that stays the same has length 1 there.
Matrices have their two axes first.
"""

import ast
from collections.abc import Mapping, Sequence

from hrmsearch.emission import syntax as py
from hrmsearch.emission.dialect import Kind, Scope
from hrmsearch.emission.operands import filled
from hrmsearch.emission.syntax import Expr
from hrmsearch.errors import BackendError
from hrmsearch.ir.graph import Op, Value


def recurrence(forms: Mapping[str, str], default: str) -> Kind:
    """Return the kind of linear scans, given each form's helper and the form of a scan that names none.

    It raises BackendError for a form that is not there.
    """

    def kind(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
        form = op.attrs["form"] or default
        if form not in forms:
            framework = scope.dialect.framework
            raise BackendError(
                f"{op.place}: {framework} has no form {form!r} of linear_scan; it has: {', '.join(forms)}"
            )
        axis, mix = op.attrs["axis"], op.attrs["mix"]
        a, b, start = (filled(scope, value.type, expr) for value, expr in zip(op.operands, x, strict=True))
        inputs = op.operands[1].type.names
        rest = [name for name in inputs if not mix or name != mix[0]]
        a = _arranged(op.operands[0], a, [*(mix or ()), *rest], axis)
        operands = (scope.helper(forms[form]), a, b, start, rest.index(axis) - len(rest))
        if mix is None:
            return py.call(scope.helper("linear_scan"), *operands)
        return py.call(scope.helper("matrix_scan"), *operands, inputs.index(mix[0]) - len(inputs))

    return kind


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
