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


#: an update rule as steps over a growing list: a number, or a function of values by their places in the list
Step = tuple[float | Callable[..., Any], tuple[int, ...]]


class Plan:
    """An update rule's body, ready to be run, or to be traced by torch.compile.

    Values are named by their places in a list, which begins with (param, grad, *slots) and (lr, decay, step).
    """

    def __init__(self, rule: Rule) -> None:
        places = {value: place for place, value in enumerate(rule.body.args)}
        self.steps: list[Step] = []
        for op in rule.body.ops:
            at = tuple(places[value] for value in op.operands)
            if op.kind in _FIRST:
                places[op.result] = at[0]
            else:
                places[op.result] = len(rule.body.args) + len(self.steps)
                self.steps.append((_form(op), at))
        self.results = [places[value] for value in rule.body.results]


def apply(plan: Plan, tensors: Sequence[Tensor], scalars: Sequence[float | Tensor]) -> list[Tensor]:
    """Return what a rule makes of (param, grad, *slots) with (lr, decay, step): the parameter and its slots.

    Numbers enter as float64 scalars, which leave the tensors' dtype alone.
    """
    device = tensors[0].device
    found = [*tensors, *(scalar(number, device) for number in scalars)]
    for form, at in plan.steps:
        found.append(form(*[found[place] for place in at]) if callable(form) else scalar(form, device))
    return [found[place] for place in plan.results]


def scalar(number: float | Tensor, device: torch.device) -> Tensor:
    """Return a number on the device, made there: a CUDA graph cannot record a copy from the host."""
    return number if isinstance(number, Tensor) else torch.full((), number, dtype=torch.float64, device=device)


def _form(op: Op) -> float | Callable[..., Any]:
    if op.kind == "const":
        return float(op.attrs["value"])
    if op.kind not in _FORMS:
        raise BackendError(f"{op.place}: an update rule works on each element alone, {op.kind} does not")
    return _FORMS[op.kind]
