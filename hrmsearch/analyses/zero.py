"""Exact zeros: what is read from an empty memory depends on nothing, however it was queried.

0 * x = 0        for finite x
f(0) = 0         for sums, layout, and elementwise functions through the origin
"""

from collections.abc import Sequence

from hrmsearch.ir.graph import Op

#: zero if any operand is
_PRODUCTS = frozenset({"mul", "einsum"})
#: zero if this operand is
_LINEAR_IN = {"attention": 2, "div": 0, "gather": 0, "rms_norm": 0, "rope": 0}
#: zero if all operands are
_LAYOUT = frozenset({"split", "merge", "transpose", "slice", "concat", "rename", "broadcast", "cast", "detach"})
_SUMS = frozenset({"add", "sub", "sum", "mean", "amax", "cumsum", "cummax", "maximum", "minimum"})
_ORIGIN = frozenset(
    {"neg", "abs", "sign", "sin", "tanh", "atan", "sqrt", "silu", "gelu", "erf", "expm1", "log1p", "dropout"}
)


def gives_zero(op: Op, zero: Sequence[bool]) -> bool:
    """Return whether an operation's result is exactly zero, for operands that are or are not."""
    if op.kind in _PRODUCTS:
        return any(zero)
    if op.kind in _LINEAR_IN:
        return zero[_LINEAR_IN[op.kind]]
    if op.kind == "where":
        return zero[1] and zero[2]
    if op.kind == "pad":
        return zero[0] and op.attrs["value"] == 0
    return op.kind in _LAYOUT | _SUMS | _ORIGIN and all(zero)
