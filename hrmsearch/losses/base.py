"""What a loss is: a part that `lower` appends to the graph."""

from abc import abstractmethod
from typing import Final

from hrmsearch.ir import Builder, Value
from hrmsearch.ir.module import Module

#: the target of a token that does not count
IGNORE: Final = -100


class Loss(Module, family="loss"):
    """Turns logits (B, T, C) and targets i32[B, T] into what is minimised and what is reported.

    ignore: the target of tokens that do not count.
    """

    ignore: int = IGNORE

    @abstractmethod
    def build(self, b: Builder, logits: Value, targets: Value) -> tuple[Value, Value, Value]:
        """Return the loss (a wide scalar), and per row the summed loss and the number of targets, wide[B]."""
