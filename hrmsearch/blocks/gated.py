"""What gated feed-forward layers share."""

from abc import abstractmethod
from typing import ClassVar

from hrmsearch.blocks.base import Ffn, project
from hrmsearch.ir import Builder, Value, axis


class Gated(Ffn):
    """(f(x W_gate) * (x W_up)) W_down, no biases; a kind says which op f is, and how wide the inside.

    Source: Shazeer 2020, arXiv:2002.05202, eq. 6.
    """

    activation: ClassVar[str]

    @abstractmethod
    def inner(self, dim: int) -> int:
        """Return the inner width F for a model width."""

    def build(self, b: Builder, x: Value) -> Value:
        """Return the transformed (B, T, D)."""
        inner = axis("F", self.inner(x.type.width("D")))
        gate = b.op(self.activation, project(b, x, "w_gate", inner))
        return project(b, gate * project(b, x, "w_up", inner), "w_down", x.type.axes[-1])
