"""Sign descent."""

from typing import Literal

from hrmsearch.ir import Builder, Value
from hrmsearch.optim.base import Optimizer


class SignSGD(Optimizer):
    """p <- p (1 - lr decay) - lr sign(gradient): a step of Adam whose moments are one gradient old.

    Source: Bernstein et al. 2018, arXiv:1802.04434, algorithm 1, with decoupled weight decay.
    """

    kind: Literal["sign_sgd"] = "sign_sgd"

    @property
    def hyper(self) -> dict[str, float]:
        """Nothing."""
        return {}

    @property
    def slots(self) -> tuple[str, ...]:
        """None."""
        return ()

    def update(
        self, b: Builder, param: Value, grad: Value, slots: tuple[Value, ...], lr: Value, decay: Value, step: Value
    ) -> tuple[Value, ...]:
        """Return the parameter after one step."""
        del slots, step
        return (param * (1.0 - lr * decay) - lr * b.op("sign", grad),)
