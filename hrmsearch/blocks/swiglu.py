"""The gated feed-forward layer SwiGLU."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from hrmsearch.blocks.base import Ffn, project
from hrmsearch.ir import Builder, Value, axis
from hrmsearch.spec.registry import Part


class WidthRule(Part):
    """The published width: expansion * D * 2/3, rounded, then up to a multiple."""

    expansion: PositiveFloat = 4.0
    multiple: PositiveInt = 256

    def width(self, dim: int) -> int:
        """Return the inner width for a model width."""
        return -(-round(self.expansion * dim * 2 / 3) // self.multiple) * self.multiple


class SwiGLU(Ffn):
    """(silu(x W_gate) * (x W_up)) W_down, no biases; `width` is the inner width F, or a rule for it.

    Source: Shazeer 2020, arXiv:2002.05202, eq. 6.
    """

    kind: Literal["swiglu"] = "swiglu"
    width: PositiveInt | WidthRule = Field(default_factory=WidthRule)

    def build(self, b: Builder, x: Value) -> Value:
        """Return the transformed (B, T, D)."""
        dim = x.type.width("D")
        inner = axis("F", self.width.width(dim) if isinstance(self.width, WidthRule) else self.width)
        gate = b.op("silu", project(b, x, "w_gate", inner))
        return project(b, gate * project(b, x, "w_up", inner), "w_down", x.type.axes[-1])
