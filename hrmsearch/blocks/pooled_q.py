"""The halting head of HRM, pooled over the sequence."""

from typing import Annotated, Literal

from pydantic import PositiveInt

from hrmsearch.blocks.base import QHead, project
from hrmsearch.ir import Builder, Value, axis
from hrmsearch.spec.fields import Init, OrNone


class PooledQ(QHead):
    """pool_t(x) W + bias: `outputs` values per row, from the mean over tokens or from the first token.

    init: the rule of W, by default the model's. bias: its starting value, or `none` for no bias.
    """

    kind: Literal["pooled"] = "pooled"
    pool: Literal["mean", "first"] = "mean"
    outputs: PositiveInt = 2
    init: Init | None = None
    bias: Annotated[float | None, OrNone()] = None

    def build(self, b: Builder, x: Value) -> Value:
        """Return the values (B, Q)."""
        pooled = b.mean(x, "T") if self.pool == "mean" else b.sum(b.slice(x, "T", 0, 1), "T")
        values = axis("Q", self.outputs)
        q = project(b, pooled, "weight", values, self.init)
        return q if self.bias is None else q + b.param("bias", (values,), {"constant": self.bias})
