"""Update rules over tinygrad tensors: what depends on numbers alone is worked out in float64 before a step.

So a device needs no float64 for bias corrections, and a captured step is the same in every step.
"""

# tinygrad's own annotations are partial
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from tinygrad.tensor import Tensor

from hrmsearch.errors import BackendError
from hrmsearch.ir.graph import Op, Value
from hrmsearch.ir.ops import lookup
from hrmsearch.ir.rule import SCALARS, Rule
from hrmsearch_tinygrad.helpers import atan, erf, expm1, gelu, log1p, sigmoid, silu

_FORMS: Mapping[str, Callable[..., Tensor]] = {
    **{kind: getattr(Tensor, kind) for kind in ("exp", "log", "sqrt", "rsqrt", "sin", "cos", "tanh", "softplus")},
    **{kind: getattr(Tensor, kind) for kind in ("abs", "sign", "neg", "add", "sub", "mul", "div")},
    **{kind: getattr(Tensor, kind) for kind in ("maximum", "minimum", "where", "detach")},
    "log1p": log1p,
    "expm1": expm1,
    "atan": atan,
    "erf": erf,
    "gelu": gelu,
    "sigmoid": sigmoid,
    "silu": silu,
    "less": Tensor.__lt__,
    "equal": Tensor.eq,
    "and": Tensor.bitwise_and,
    "or": Tensor.bitwise_or,
    "not": Tensor.logical_not,
}
_SAME = frozenset({"cast", "broadcast", "rename"})  # the identity, for one element


class Update:
    """A rule in two parts. inputs: the values that a step's numbers are, in order."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        body = rule.body
        known = set(body.args[-len(SCALARS) :])
        self._before: list[Op] = []
        self._elementwise: list[Op] = []
        for op in body.ops:
            if known.issuperset(op.operands):
                known.update(op.results)
                self._before.append(op)
            else:
                self._elementwise.append(op)
        read = [value for op in self._elementwise for value in op.operands]
        self.inputs: list[Value] = [v for v in dict.fromkeys([*read, *body.results]) if v in known]

    def numbers(self, lr: float, decay: float, step: int) -> list[float]:
        """Return the numbers of a parameter's step, for its weight decay and the count of its steps from 1."""
        env: dict[Value, Any] = {}
        scalars = zip(self._rule.body.args[-len(SCALARS) :], (lr, decay, float(step)), strict=True)
        env.update({value: np.float64(number) for value, number in scalars})
        for op in self._before:
            meaning = lookup(op.kind).numpy
            assert meaning is not None, f"a rule is made of elementwise primitives, {op.kind} is none"
            env[op.result] = meaning(op, [env[value] for value in op.operands], {})
        return [float(env[value]) for value in self.inputs]

    def apply(self, tensors: Sequence[Tensor], numbers: Sequence[Tensor]) -> list[Tensor]:
        """Return what the rule makes of (param, grad, *slots) with a step's numbers: the parameter and its slots."""
        env = dict(zip(self._rule.body.args, tensors, strict=False)) | dict(zip(self.inputs, numbers, strict=True))
        for op in self._elementwise:
            env[op.result] = _evaluate(op, [env[value] for value in op.operands])
        return [env[value] for value in self._rule.body.results]


def _evaluate(op: Op, operands: list[Tensor]) -> Tensor:
    if op.kind in _SAME:
        return operands[0]
    if op.kind not in _FORMS:
        raise BackendError(f"{op.place}: an update rule works on each element alone, {op.kind} does not")
    return _FORMS[op.kind](*operands)
