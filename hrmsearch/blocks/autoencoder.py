"""A head that reads the last token only, and decodes every position from it."""

from typing import Annotated, ClassVar, Literal

from pydantic import PositiveFloat

from hrmsearch.blocks.base import Head, Norm, fail, project
from hrmsearch.ir import Axis, Builder, DType, Size, Type, Value, axis
from hrmsearch.spec.registry import Choice, inherited


class Autoencoder(Head):
    """Logits at t = decode(x_last + position_t): all that is known of a row has to pass through one vector.

    decode: two layers GELU(norm(y) W + b), then norm(y) W + b. Positions are sines and cosines of t * base^(-2i / D).
    Source: the autoencoder backbone of MAD (Poli et al. 2024, arXiv:2403.17844; mad/model/auto_encoder.py), where the
    last frequency is 1 / base.
    """

    kind: Literal["autoencoder"] = "autoencoder"
    bottleneck: ClassVar[bool] = True
    base: PositiveFloat = 10000.0
    norm: Annotated[Norm, Choice("norm", "rms")] = inherited("norm")

    def build(self, b: Builder, x: Value) -> Value:
        """Return the logits (B, T, C)."""
        y = b.broadcast(self._last(b, x), x.type) + self._positions(b, x)
        for name in ("first", "second"):
            y = b.op("gelu", self._layer(b, y, name, x.type.axes[-1]))
        return self._layer(b, y, "out", axis("C", b.context.vocabulary))

    def _layer(self, b: Builder, y: Value, name: str, out: Axis) -> Value:
        y = self.norm.apply(b, f"{name}_norm", y, place=f"{b.place}.norm")
        return project(b, y, f"{name}_weight", out) + b.param(f"{name}_bias", (out,), "zeros")

    def _last(self, b: Builder, x: Value) -> Value:
        """Return x at the last token, (B, D)."""
        return b.sum(b.slice(x, "T", -1, 1), "T")

    def _positions(self, b: Builder, x: Value) -> Value:
        """Return [T, D]: sines in the first half of D, cosines in the second."""
        width = x.type.axes[-1]
        if x.type.width("D") % 2:
            raise fail(b, "kind", f"positions of sines and cosines need an even width, not {width.size}")
        table = Type(DType.COMPUTE, (Axis("W", Size.of(b.context.window)), width))
        halves = (
            b.slice(b.op("const", type=table, rule=f"rope_{name}", base=self.base), "D", 0, x.type.width("D") // 2)
            for name in ("sin", "cos")
        )
        return b.take(b.concat("D", *halves), "W", x.type.axes[x.type.index("T")])
