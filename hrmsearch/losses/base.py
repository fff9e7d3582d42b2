"""What a loss is: a part that `lower` appends to the graph."""

from abc import abstractmethod

from hrmsearch.ir import Builder, Value
from hrmsearch.ir.module import Module


class Loss(Module, family="loss"):
    """Turns logits (B, T, C) and targets i32[B, T] into what is minimised and what is reported."""

    @abstractmethod
    def build(self, b: Builder, logits: Value, targets: Value) -> tuple[Value, Value, Value]:
        """Return the loss (a wide scalar), and per row the summed loss and the number of targets, wide[B]."""
