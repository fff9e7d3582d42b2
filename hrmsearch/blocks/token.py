"""The token embedding."""

import math
from typing import Literal

from pydantic import PositiveFloat

from hrmsearch.blocks.base import Embed, table_over_tokens
from hrmsearch.ir import Axis, Builder, Size, Value, axis
from hrmsearch.spec.fields import Init, InitRule, resolve


class TokenEmbedding(Embed):
    """scale * (table[token] + position), D wide; attention's own rotary positions need `position: none`.

    scale: a number or `sqrt_dim`. With `init: lecun_normal` (deviation 1/sqrt(D)) and `scale: sqrt_dim` the stream has
    unit variance, as in HRM ACT v1; `learned` positions join at the same scale, and the sum is divided by sqrt(2).
    """

    kind: Literal["token"] = "token"
    position: Literal["none", "learned"] = "none"
    scale: PositiveFloat | Literal["sqrt_dim"] = 1.0
    init: Init = InitRule(normal=0.02)

    def build(self, b: Builder, tokens: Value, *rows: Value) -> Value:
        """Return the embedded tokens (B, T, D), behind the rows (B, P, D) if there are any."""
        width = axis("D", b.context.dim)
        rule = resolve(self.init, b.context.dim)
        x = b.gather(b.param("table", (axis("C", b.context.vocabulary), width), rule), tokens)
        if rows:
            x = b.concat("T", *(b.rename(row, row.type.names[1], "T") for row in rows), x)
        scale = math.sqrt(b.context.dim) if self.scale == "sqrt_dim" else self.scale
        if self.position == "learned":
            x = x + table_over_tokens(b, b.param("positions", (Axis("W", Size.of(b.context.window)), width), rule), x)
            scale = scale / math.sqrt(2.0) if self.scale == "sqrt_dim" else scale
        return x if scale == 1.0 else x * scale
