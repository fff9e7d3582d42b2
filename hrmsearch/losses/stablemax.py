"""Stablemax cross-entropy."""

from typing import Literal

from hrmsearch.ir import Builder, DType, Value
from hrmsearch.losses.base import Loss


class StablemaxCrossEntropy(Loss):
    """Mean over rows of each one's mean of -log p[target], p = s(logits) / sum_C s(logits).

    s(x) = x + 1 from 0 on, 1 / (1 - x) below: a softmax whose logits grow linearly, so that confident ones do not
    collapse into rounding. Computed in at least float32; the published code uses float64, which 1e-7 tells apart.
    Source: Prieto et al. 2025, arXiv:2501.04697 (StableMax); the mean over rows is that of HRM ACT v1.
    """

    kind: Literal["stablemax_cross_entropy"] = "stablemax_cross_entropy"
    mean: Literal["targets", "rows"] | None = "rows"

    def per_target(self, b: Builder, logits: Value, targets: Value) -> Value:
        """Return log(sum_C s) - log(s[target])."""
        x = b.cast(logits, DType.WIDE)
        # the branch that is not taken has to stay finite: its gradient is multiplied by zero
        below = 1.0 / (1.0 - b.op("minimum", x, 0.0))
        s = b.where(b.op("less", x, 0.0), below, x + 1.0)
        classes = x.type.axes[-1]
        wanted = b.broadcast(targets, x.type.with_dtype(DType.I32))
        hit = b.op("equal", wanted, b.iota(classes, DType.I32))
        ignored = b.op("equal", targets, self.ignore)
        picked = b.where(ignored, 1.0, b.sum(b.where(hit, s, 0.0), classes.name))
        return b.where(ignored, 0.0, b.log(b.sum(s, classes.name)) - b.log(picked))
