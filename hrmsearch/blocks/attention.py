"""Softmax attention with rotary positions or none."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from hrmsearch.blocks.base import Mixer, fail, merge_heads, project, split_heads, table_over_tokens
from hrmsearch.ir import Axis, Builder, DType, Size, Type, Value


class Attention(Mixer):
    """softmax(q k^T / sqrt(K)) v over `heads` heads, then an output map; no biases.

    position: `rope` rotates q and k (Su et al. 2021, arXiv:2104.09864, rotate-half layout). causal: no token sees a
    later one. Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 1.
    """

    kind: Literal["attention"] = "attention"
    heads: PositiveInt = 4
    position: Literal["rope", "none"] = "rope"
    causal: bool = True
    base: PositiveFloat = 10000.0

    def build(self, b: Builder, x: Value) -> Value:
        """Return attention over (B, T, D)."""
        q, k, v = (split_heads(b, project(b, x, f"w_{name}"), self.heads) for name in "qkv")
        if self.position == "rope":
            q, k = self._rotate(b, q, k)
        width = q.type.width("K")
        k, v = (b.rename(value, "T", "U") for value in (k, v))
        y = b.op("attention", q, k, v, causal=self.causal, scale=width**-0.5)
        return project(b, merge_heads(b, y), "w_o")

    def _rotate(self, b: Builder, q: Value, k: Value) -> tuple[Value, Value]:
        width = q.type.axes[-1]
        if q.type.width("K") % 2:
            raise fail(b, "heads", f"rotary positions need an even head width, not {width.size}")
        table = Type(DType.COMPUTE, (Axis("W", Size.of(b.context.window)), width))
        cos, sin = (
            table_over_tokens(b, b.op("const", type=table, rule=f"rope_{name}", base=self.base), q)
            for name in ("cos", "sin")
        )
        return b.op("rope", q, cos, sin, name="q"), b.op("rope", k, cos, sin, name="k")
