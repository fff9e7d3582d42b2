"""Adam-atan2: Adam without an epsilon."""

from typing import Literal

from pydantic import Field

from hrmsearch.ir import Builder, Value
from hrmsearch.optim.moments import Moments, share

#: the least size: below it gradients, whose squares float32 does not hold, count as none
_NOTHING = 1e-30


class AdamATan2(Moments):
    """p <- p (1 - lr decay) - lr / (1 - beta1^t) atan2(m, sqrt(v^)), v^ the bias-corrected second moment.

    The bias of the first moment is corrected outside of the arc tangent, as in the code that HRM was trained with.
    Source: Everett et al. 2024, arXiv:2407.05872 (there inside, and with factors that are 1 here).
    """

    kind: Literal["adam_atan2"] = "adam_atan2"
    lr: float = Field(default=1e-4, gt=0.0)
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(default=0.1, ge=0.0)

    def update(
        self, b: Builder, param: Value, grad: Value, slots: tuple[Value, ...], lr: Value, decay: Value, step: Value
    ) -> tuple[Value, ...]:
        """Return the parameter and its moments after one step."""
        m, v = self.moved(grad, slots)
        size = b.op("sqrt", v / share(b, self.betas[1], step))
        # the second argument is no number below zero, so the arc tangent of the quotient is that of both
        angle = b.op("atan", m / b.op("maximum", size, _NOTHING))
        return param * (1.0 - lr * decay) - lr / share(b, self.betas[0], step) * angle, m, v
