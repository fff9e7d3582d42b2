"""Softmax cross-entropy."""

from typing import Literal

from hrmsearch.ir import Builder, DType, Type, Value
from hrmsearch.losses.base import Loss


class CrossEntropy(Loss):
    """Mean over the targets of -log softmax(logits)[target]; a target equal to `ignore` does not count."""

    kind: Literal["cross_entropy"] = "cross_entropy"

    def build(self, b: Builder, logits: Value, targets: Value) -> tuple[Value, Value, Value]:
        """Return the mean, and per row the sum and the count."""
        nll = b.sum(b.op("cross_entropy", logits, targets, ignore=self.ignore), "T")
        ignored = b.op("equal", targets, self.ignore)
        ones = b.full(1.0, Type(DType.WIDE))
        count = b.sum(b.where(ignored, b.zeros(ones.type), ones), "T")
        return b.sum(nll, "B") / b.op("maximum", b.sum(count, "B"), ones), nll, count
