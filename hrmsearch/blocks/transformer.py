"""The transformer block, post- or pre-norm, around any mixer."""

from typing import Annotated, Literal

from pydantic import Field

from hrmsearch.blocks.base import Block, Ffn, Mixer, Norm
from hrmsearch.ir import Builder, Value
from hrmsearch.spec.registry import Choice, inherited


class Transformer(Block):
    """A mixer and a feed-forward layer, each in a residual sum.

    post-norm: x <- norm(x + f(x)); pre-norm: x <- x + f(norm(x)). `norm`, `ffn` and `dropout` come from
    `model.defaults` unless given.
    """

    kind: Literal["transformer"] = "transformer"
    mixer: Annotated[Mixer, Choice("mixer")]
    norm: Annotated[Norm, Choice("norm", "rms")] = inherited("norm")
    ffn: Annotated[Ffn, Choice("ffn", "swiglu")] = inherited("ffn")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = inherited("dropout")

    def build(self, b: Builder, x: Value) -> Value:
        """Return the updated (B, T, D)."""
        return self._residual(b, self._residual(b, x, "mixer", self.mixer), "ffn", self.ffn)

    def _residual(self, b: Builder, x: Value, name: str, layer: Mixer | Ffn) -> Value:
        def norm(value: Value) -> Value:
            return self.norm.apply(b, f"{name}_norm", value, place=f"{b.place}.norm")

        pre = self.norm.place == "pre"
        y = layer.apply(b, name, norm(x) if pre else x)
        if self.dropout:
            y = b.op("dropout", y, rate=self.dropout)
        return x + y if pre else norm(x + y)
