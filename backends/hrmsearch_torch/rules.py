"""Interprets an update rule's body over torch tensors, elementwise."""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from hrmsearch.errors import BackendError
from hrmsearch.ir.graph import Op
from hrmsearch.ir.rule import Rule

Tensor = torch.Tensor


def _softplus(x: Tensor) -> Tensor:
    return F.softplus(x, threshold=40.0)


_FORMS: Mapping[str, Callable[..., Any]] = {
    **{kind: getattr(torch, kind) for kind in ("neg", "exp", "log", "log1p", "expm1", "sqrt", "rsqrt", "sin", "cos")},
    **{kind: getattr(torch, kind) for kind in ("tanh", "atan", "erf", "sigmoid", "abs", "sign")},
    **{kind: getattr(torch, kind) for kind in ("maximum", "minimum", "where")},
    "softplus": _softplus,
    "silu": F.silu,
    "gelu": F.gelu,
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "less": torch.lt,
    "equal": torch.eq,
    "and": torch.logical_and,
    "or": torch.logical_or,
    "not": torch.logical_not,
}
_FIRST = frozenset({"cast", "detach", "broadcast", "rename"})  # the identity, for one element


def apply(rule: Rule, tensors: Sequence[Tensor], scalars: Sequence[float | Tensor]) -> list[Tensor]:
    """Return what a rule makes of (param, grad, *slots) with (lr, decay, step): the parameter and its slots.

    Numbers enter as float64 scalars, which leave the tensors' dtype alone.
    """
    device = tensors[0].device
    numbers = [number if isinstance(number, Tensor) else _scalar(number, device) for number in scalars]
    env = dict(zip(rule.body.args, [*tensors, *numbers], strict=True))
    for op in rule.body.ops:
        env[op.result] = _evaluate(op, [env[value] for value in op.operands], device)
    return [env[value] for value in rule.body.results]


def _scalar(number: float, device: torch.device) -> Tensor:
    """Return a number on the device, made there: a CUDA graph cannot record a copy from the host."""
    return torch.full((), number, dtype=torch.float64, device=device)


def _evaluate(op: Op, operands: list[Tensor], device: torch.device) -> Tensor:
    if op.kind == "const":
        return _scalar(op.attrs["value"], device)
    if op.kind in _FIRST:
        return operands[0]
    if op.kind not in _FORMS:
        raise BackendError(f"{op.place}: an update rule works on each element alone, {op.kind} does not")
    return _FORMS[op.kind](*operands)
