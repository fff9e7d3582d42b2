"""What a loss is: a part that `lower` appends to the graph."""

from abc import abstractmethod
from typing import Final, Literal

from hrmsearch.ir import Builder, DType, Type, Value
from hrmsearch.ir.module import Module

#: the target of a token that does not count
IGNORE: Final = -100


class Loss(Module, family="loss"):
    """Turns logits (B, T, C) and targets i32[B, T] into what is minimised and what is reported.

    ignore: the target of tokens that do not count. mean: what is minimised is the mean over all `targets`, by default,
    or over `rows` the mean over each one's targets, so that rows with few of them weigh as much as others.
    """

    ignore: int = IGNORE
    # an absent one leaves the resolved spec, and so its hash, as it was
    mean: Literal["targets", "rows"] | None = None

    @abstractmethod
    def per_target(self, b: Builder, logits: Value, targets: Value) -> Value:
        """Return the loss of every target, wide[B, T]; zero where it does not count."""

    def build(self, b: Builder, logits: Value, targets: Value) -> tuple[Value, Value, Value]:
        """Return the loss (a wide scalar), and per row the summed loss and the number of targets, wide[B]."""
        nll = b.sum(self.per_target(b, logits, targets), "T")
        ignored = b.op("equal", targets, self.ignore)
        ones = b.full(1.0, Type(DType.WIDE))
        count = b.sum(b.where(ignored, b.zeros(ones.type), ones), "T")
        if self.mean == "rows":
            return b.mean(nll / b.op("maximum", count, ones), "B"), nll, count
        return b.sum(nll, "B") / b.op("maximum", b.sum(count, "B"), ones), nll, count
