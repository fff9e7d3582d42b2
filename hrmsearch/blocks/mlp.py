"""The MLP over positions that TRM has in place of attention."""

from typing import Literal

from pydantic import Field, PositiveInt

from hrmsearch.blocks.base import Mixer, table_over_tokens
from hrmsearch.blocks.swiglu import WidthRule
from hrmsearch.ir import Axis, Builder, Size, Value, axis
from hrmsearch.spec.fields import resolve


class MLP(Mixer):
    """SwiGLU along the stream: every channel alone, all W positions of a window at once; it is not causal.

    width: the inner width F, or a rule for it, with W in place of the model's width; W counts what is prepended. Fewer
    than W tokens are as if zeros followed. There is a weight for every position, so `position: none` loses nothing.
    Source: Jolicoeur-Martineau 2025, arXiv:2510.04871 (TRM), after MLP-Mixer, Tolstikhin et al. 2021, arXiv:2105.01601.
    """

    kind: Literal["mlp"] = "mlp"
    width: PositiveInt | WidthRule = Field(default_factory=WidthRule)

    def inner(self, window: int) -> int:
        """Return the inner width F for W positions."""
        return self.width.width(window) if isinstance(self.width, WidthRule) else self.width

    def build(self, b: Builder, x: Value) -> Value:
        """Return the mixed (B, T, D)."""
        window = Axis("W", Size.of(b.context.window))
        inner = axis("F", self.inner(b.context.window))

        def weights(name: str, *axes: Axis) -> Value:
            rule = resolve(b.context.init, axes[0].size.known or 1)
            return table_over_tokens(b, b.param(name, axes, rule), x)

        gate, up = (b.einsum("B T D, T F -> B D F", x, weights(f"w_{name}", window, inner)) for name in ("gate", "up"))
        hidden = b.op("silu", gate) * up
        return b.einsum("B D F, F T -> B T D", hidden, weights("w_down", inner, window))
