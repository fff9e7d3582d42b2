"""Adam with decoupled weight decay."""

import math
from typing import Literal

from pydantic import Field, PositiveFloat

from hrmsearch.ir import Builder, Value
from hrmsearch.optim.base import Optimizer


class AdamW(Optimizer):
    """p <- p (1 - lr decay) - lr m^ / (sqrt(v^) + eps), m^ and v^ the bias-corrected moving moments of the gradient.

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2 (with the decay scaled by the learning rate).
    """

    kind: Literal["adamw"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    weight_decay: float = Field(default=0.01, ge=0.0)

    @property
    def hyper(self) -> dict[str, float]:
        """The decays of the two moments and eps."""
        return {"beta1": self.betas[0], "beta2": self.betas[1], "eps": self.eps}

    @property
    def slots(self) -> tuple[str, ...]:
        """The two moments."""
        return ("m", "v")

    def update(
        self, b: Builder, param: Value, grad: Value, slots: tuple[Value, ...], lr: Value, decay: Value, step: Value
    ) -> tuple[Value, ...]:
        """Return the parameter and its moments after one step."""
        beta1, beta2 = self.betas
        m = beta1 * slots[0] + (1.0 - beta1) * grad
        v = beta2 * slots[1] + (1.0 - beta2) * grad * grad
        first = m / (1.0 - b.exp(step * math.log(beta1)))
        second = v / (1.0 - b.exp(step * math.log(beta2)))
        kept = param * (1.0 - lr * decay)
        return kept - lr * first / (b.op("sqrt", second) + self.eps), m, v
