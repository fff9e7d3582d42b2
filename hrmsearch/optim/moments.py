"""What rules of Adam's family share: two moving moments of the gradient, and the bias of a mean that starts at zero."""

import math

from hrmsearch.ir import Builder, Value
from hrmsearch.optim.base import Optimizer


class Moments(Optimizer):
    """A rule that keeps moving means of the gradient and of its square, which decay by `betas`."""

    betas: tuple[float, float] = (0.9, 0.999)

    @property
    def hyper(self) -> dict[str, float]:
        """The decays of the two moments."""
        return {"beta1": self.betas[0], "beta2": self.betas[1]}

    @property
    def slots(self) -> tuple[str, ...]:
        """The two moments."""
        return ("m", "v")

    def moved(self, grad: Value, slots: tuple[Value, ...]) -> tuple[Value, Value]:
        """Return the two moments after one more gradient."""
        beta1, beta2 = self.betas
        return beta1 * slots[0] + (1.0 - beta1) * grad, beta2 * slots[1] + (1.0 - beta2) * grad * grad


def share(b: Builder, beta: float, step: Value) -> Value:
    """Return how much of a moving mean is not the zero that it started from."""
    return 1.0 - b.exp(step * math.log(beta))
