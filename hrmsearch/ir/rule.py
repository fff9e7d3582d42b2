"""Update rules of optimisers: one function over IR values, applied to every element of every parameter."""

from collections.abc import Mapping
from dataclasses import dataclass

from hrmsearch.ir.graph import Region

#: the arguments that every rule takes after (param, grad, *slots)
SCALARS = ("lr", "decay", "step")


@dataclass(frozen=True, slots=True)
class Rule:
    """An optimiser's update, elementwise over rank-0 values.

    body: (param, grad, *slots, lr, decay, step) -> (param, *slots); `step` counts from 1, `decay` is the parameter's
    weight decay. slots start at zero. A backend may run a fused optimiser that it knows by `kind` and `hyper` instead,
    held to the body by conformance tests.
    """

    kind: str
    hyper: Mapping[str, float]
    slots: tuple[str, ...]
    body: Region
