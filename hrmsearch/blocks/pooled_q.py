"""The halting head of HRM, pooled over the sequence."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from hrmsearch.blocks.base import QHead, project
from hrmsearch.ir import Builder, Value, axis
from hrmsearch.spec.fields import Init, OrNone


class PooledQ(QHead):
    """pool_t(x) W + bias: `outputs` values per row, from the mean over positions or from the first one.

    outputs: how many, or their names, for a nest that halts: `halt` and perhaps `continue`. init: the rule of W, by
    default the model's. bias: its starting value, or `none` for no bias.
    """

    kind: Literal["pooled"] = "pooled"
    pool: Literal["mean", "first"] = "mean"
    outputs: PositiveInt | Annotated[tuple[Literal["halt", "continue"], ...], Field(min_length=1)] = 2
    init: Init | None = None
    bias: Annotated[float | None, OrNone()] = None

    @property
    def names(self) -> tuple[str, ...]:
        """What the values are called; none where they are only counted."""
        return self.outputs if isinstance(self.outputs, tuple) else ()

    def build(self, b: Builder, x: Value) -> Value:
        """Return the values (B, Q)."""
        pooled = b.mean(x, "T") if self.pool == "mean" else b.sum(b.slice(x, "T", 0, 1), "T")
        values = axis("Q", self.outputs if isinstance(self.outputs, int) else len(self.outputs))
        q = project(b, pooled, "weight", values, self.init)
        return q if self.bias is None else q + b.param("bias", (values,), {"constant": self.bias})
