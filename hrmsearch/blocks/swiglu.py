"""The gated feed-forward layer SwiGLU."""

from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from hrmsearch.blocks.gated import Gated
from hrmsearch.spec.registry import Part


class WidthRule(Part):
    """The published width: expansion * D * 2/3, rounded, then up to a multiple."""

    expansion: PositiveFloat = 4.0
    multiple: PositiveInt = 256

    def width(self, dim: int) -> int:
        """Return the inner width for a model width."""
        return -(-round(self.expansion * dim * 2 / 3) // self.multiple) * self.multiple


class SwiGLU(Gated):
    """(silu(x W_gate) * (x W_up)) W_down, no biases; `width` is the inner width F, or a rule for it.

    Source: Shazeer 2020, arXiv:2002.05202, eq. 6.
    """

    kind: Literal["swiglu"] = "swiglu"
    activation: ClassVar[str] = "silu"
    width: PositiveInt | WidthRule = Field(default_factory=WidthRule)

    def inner(self, dim: int) -> int:
        """Return the inner width F for a model width."""
        return self.width.width(dim) if isinstance(self.width, WidthRule) else self.width
