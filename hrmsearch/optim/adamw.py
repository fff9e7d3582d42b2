"""Adam with decoupled weight decay."""

from typing import Literal

from pydantic import Field, PositiveFloat

from hrmsearch.ir import Builder, Value
from hrmsearch.optim.moments import Moments, share


class AdamW(Moments):
    """p <- p (1 - lr decay) - lr m^ / (sqrt(v^) + eps), m^ and v^ the bias-corrected moving moments of the gradient.

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2 (with the decay scaled by the learning rate).
    """

    kind: Literal["adamw"] = "adamw"
    eps: PositiveFloat = 1e-8
    weight_decay: float = Field(default=0.01, ge=0.0)

    @property
    def hyper(self) -> dict[str, float]:
        """The decays of the two moments and eps."""
        return {**super().hyper, "eps": self.eps}

    def update(
        self, b: Builder, param: Value, grad: Value, slots: tuple[Value, ...], lr: Value, decay: Value, step: Value
    ) -> tuple[Value, ...]:
        """Return the parameter and its moments after one step."""
        m, v = self.moved(grad, slots)
        first = m / share(b, self.betas[0], step)
        second = v / share(b, self.betas[1], step)
        kept = param * (1.0 - lr * decay)
        return kept - lr * first / (b.op("sqrt", second) + self.eps), m, v
