"""Softmax cross-entropy."""

from typing import Literal

from hrmsearch.ir import Builder, Value
from hrmsearch.losses.base import Loss


class CrossEntropy(Loss):
    """Mean over the targets of -log softmax(logits)[target]; a target equal to `ignore` does not count."""

    kind: Literal["cross_entropy"] = "cross_entropy"

    def per_target(self, b: Builder, logits: Value, targets: Value) -> Value:
        """Return -log softmax(logits)[target]."""
        return b.op("cross_entropy", logits, targets, ignore=self.ignore)
