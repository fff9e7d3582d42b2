"""Prints the scalar operations of a step as Triton over blocks of lanes."""

import math
from collections.abc import Mapping, Sequence

from hrmsearch.errors import BackendError
from hrmsearch.ir.graph import Op
from hrmsearch.ir.types import DType

_FORMS: Mapping[str, str] = {
    "neg": "-{}", "exp": "tl.exp({})", "log": "tl.log({})", "log1p": "libdevice.log1p({})",
    "expm1": "libdevice.expm1({})", "sqrt": "tl.sqrt({})", "rsqrt": "1.0 / tl.sqrt({})", "sin": "tl.sin({})",
    "cos": "tl.cos({})", "tanh": "libdevice.tanh({})", "sigmoid": "1.0 / (1.0 + tl.exp(-{}))", "erf": "tl.erf({})",
    "softplus": "tl.maximum({0}, 0.0) + libdevice.log1p(tl.exp(-tl.abs({0})))", "abs": "tl.abs({})",
    "sign": "({0} > 0.0).to(REAL) - ({0} < 0.0).to(REAL)",
    "add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}",
    "maximum": "tl.maximum({}, {}, propagate_nan=tl.PropagateNan.ALL)",
    "minimum": "tl.minimum({}, {}, propagate_nan=tl.PropagateNan.ALL)",
    "less": "{} < {}", "equal": "{} == {}", "and": "{} & {}", "or": "{} | {}", "not": "{} == 0",
    "where": "tl.where({}, {}, {})", "detach": "{}",
}  # fmt: skip


def assignment(op: Op, name: str, operands: Sequence[str]) -> str:
    """Return the assignment of an operation's result, over the block that the text around calls SHAPE.

    Raises BackendError for an operation that has no form.
    """
    if op.kind == "const":
        return f"{name} = {_constant(op)}"
    if op.kind not in _FORMS:
        raise BackendError(f"{op.place}: the op {op.kind!r} has no form in Triton")
    return f"{name} = {_FORMS[op.kind].format(*operands)}"


def _constant(op: Op) -> str:
    number = op.attrs["value"]
    if op.result.type.dtype == DType.BOOL:
        return f"tl.full(SHAPE, {int(bool(number))}, tl.int1)"
    text = f'float("{number}")' if not math.isfinite(number) else repr(float(number))
    return f"tl.full(SHAPE, {text}, REAL)"
