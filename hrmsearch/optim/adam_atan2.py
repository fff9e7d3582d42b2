"""Adam-atan2: Adam without an epsilon."""

import math
from typing import Literal

from pydantic import Field

from hrmsearch.ir import Builder, Value
from hrmsearch.optim.base import Optimizer

#: the least size: below it gradients, whose squares float32 does not hold, count as none
_NOTHING = 1e-30


class AdamATan2(Optimizer):
    """p <- p (1 - lr decay) - lr / (1 - beta1^t) atan2(m, sqrt(v^)), v^ the bias-corrected second moment.

    The bias of the first moment is corrected outside of the arc tangent, as in the code that HRM was trained with.
    Source: Everett et al. 2024, arXiv:2407.05872 (there inside, and with factors that are 1 here).
    """

    kind: Literal["adam_atan2"] = "adam_atan2"
    lr: float = Field(default=1e-4, gt=0.0)
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(default=0.1, ge=0.0)

    @property
    def hyper(self) -> dict[str, float]:
        """The decays of the two moments."""
        return {"beta1": self.betas[0], "beta2": self.betas[1]}

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
        size = b.op("sqrt", v / (1.0 - b.exp(step * math.log(beta2))))
        # the second argument is no number below zero, so the arc tangent of the quotient is that of both
        angle = b.op("atan", m / b.op("maximum", size, _NOTHING))
        return param * (1.0 - lr * decay) - lr / (1.0 - b.exp(step * math.log(beta1))) * angle, m, v
