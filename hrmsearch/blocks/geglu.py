"""The gated feed-forward layer GEGLU."""

import math
from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from hrmsearch.blocks.gated import Gated
from hrmsearch.spec.registry import Part


class Expansion(Part):
    """An inner width as a factor of the model width, rounded up to a multiple."""

    factor: PositiveFloat
    multiple: PositiveInt = 64

    def width(self, dim: int) -> int:
        """Return the inner width for a model width."""
        return math.ceil(self.factor * dim / self.multiple) * self.multiple


class GEGLU(Gated):
    """(gelu(x W_gate) * (x W_up)) W_down, no biases; `width` is the inner width F, or a rule for it.

    The default rule is that of the sLSTM block (Beck et al. 2024, arXiv:2405.04517, appendix A.4), which this layer
    ends. Source: Shazeer 2020, arXiv:2002.05202, eq. 6.
    """

    kind: Literal["geglu"] = "geglu"
    activation: ClassVar[str] = "gelu"
    width: PositiveInt | Expansion = Field(default_factory=lambda: Expansion(factor=4 / 3))

    def inner(self, dim: int) -> int:
        """Return the inner width F for a model width."""
        return self.width.width(dim) if isinstance(self.width, Expansion) else self.width
