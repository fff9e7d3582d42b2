"""Prints the scalar operations of a step as C over vectors of lanes."""

from collections.abc import Mapping, Sequence

from hrmsearch.errors import BackendError
from hrmsearch.ir.graph import Op, Value
from hrmsearch.ir.types import DType

_CALLS: Mapping[str, str] = {
    "exp": "power", "log": "logarithm", "log1p": "logarithm1p", "expm1": "powerm1", "sqrt": "root", "sin": "sine",
    "cos": "cosine", "tanh": "tangent", "atan": "arctangent", "sigmoid": "logistic", "softplus": "softplus",
    "erf": "error", "abs": "magnitude", "sign": "sign", "maximum": "maximum", "minimum": "minimum", "where": "where",
}  # fmt: skip
_SIGNS: Mapping[str, str] = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "less": "<", "equal": "==", "and": "&", "or": "|",
}  # fmt: skip
_PREFIXES: Mapping[str, str] = {"neg": "-", "not": "~", "rsqrt": "1 / root", "detach": ""}


def c_type(value: Value) -> str:
    """Return the vector type of a scalar of the step."""
    return "I" if value.type.dtype == DType.BOOL else "V"


def declaration(op: Op, name: str, operands: Sequence[str]) -> str:
    """Return the declaration of an operation's result."""
    return f"const {c_type(op.result)} {name} = {_expression(op, operands)};"


def _expression(op: Op, operands: Sequence[str]) -> str:
    if op.kind == "const":
        return _constant(op)
    if op.kind in _SIGNS:
        return f" {_SIGNS[op.kind]} ".join(operands)
    if op.kind in _CALLS:
        return f"{_CALLS[op.kind]}({', '.join(operands)})"
    if op.kind in _PREFIXES:
        (operand,) = operands
        return f"{_PREFIXES[op.kind]}({operand})"
    raise BackendError(f"{op.place}: the op {op.kind!r} has no form in C")


def _constant(op: Op) -> str:
    number = op.attrs["value"]
    if op.result.type.dtype == DType.BOOL:
        return f"(I){{0}} - {int(bool(number))}"
    texts = {float("inf"): "INFINITY", float("-inf"): "-INFINITY"}
    return f"all({texts.get(number, repr(float(number)))})"
