"""What a loss is: a part that `lower` appends to the graph."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import NonNegativeFloat

from hrmsearch.ir import Builder, DType, Type, Value
from hrmsearch.ir.module import Module

#: the target of a token that does not count
IGNORE: Final = -100


@dataclass(frozen=True, slots=True)
class Given:
    """What an objective may look at: logits (B, T, C), targets i32[B, T], and by name the streams that it reads.

    scored: the loss that is reported, and its mean, so that an objective of the same loss shares it.
    """

    logits: Value
    targets: Value
    streams: Mapping[str, Value]
    scored: tuple["Loss", Value]


class Objective(Module, family="loss"):
    """What training makes small: a number for a batch, of logits and targets, or of streams inside the model."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The streams that it looks at, by name."""
        return ()

    def scorer(self, place: str) -> "tuple[str, Loss] | None":
        """Return what scores every target in it, if anything does, and where that stands; place: where it stands."""
        del place
        return None

    @abstractmethod
    def total(self, b: Builder, given: Given, place: str) -> Value:
        """Return the number, wide[]; place: where the objective stands in the spec."""


class Loss(Objective):
    """Turns logits (B, T, C) and targets i32[B, T] into what is minimised and what is reported.

    ignore: the target of tokens that do not count. mean: what is minimised is the mean over all `targets`, by default,
    or over `rows` the mean over each one's targets, so that rows with few of them weigh as much as others. halt: how
    much the loss of the q-head counts, in a nest that halts.
    """

    ignore: int = IGNORE
    # absent ones leave the resolved spec, and so its hash, as it was
    mean: Literal["targets", "rows"] | None = None
    halt: NonNegativeFloat | None = None

    def scorer(self, place: str) -> "tuple[str, Loss]":
        """Return itself."""
        return place, self

    def total(self, b: Builder, given: Given, place: str) -> Value:
        """Return the mean that is minimised."""
        same, mean = given.scored
        return mean if same == self else self.call(b, "loss", given.logits, given.targets, place=place)[0]

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

    def halting(self, b: Builder, loss: Value, logits: Value, targets: Value, *values: Value) -> tuple[Value, ...]:
        """Return the whole loss, and per row whether it is right, the loss of `halt`, that of `continue`, its target.

        values: `halt`, wide[B]; to train `continue` too, then that, both for the next pass, and bool[B], whether there
        is none. `halt` learns whether every target is right. The losses are binary cross-entropies of logits.
        """
        right = self._right(b, logits, targets)
        halt, *more = values
        cost = _binary(b, halt, right)
        if not more:
            return loss + (self.halt or 0.0) * b.mean(cost, "B"), right, cost
        go_on, next_halt, next_on, final = more
        best = b.where(final, next_halt, b.op("maximum", next_halt, next_on))
        target = b.op("detach", b.sigmoid(best))
        second = _binary(b, go_on, target)
        return loss + (self.halt or 0.0) * b.mean(cost + second, "B"), right, cost, second, target

    def _right(self, b: Builder, logits: Value, targets: Value) -> Value:
        """Return 1 for a row whose likeliest classes are all its targets that count, else 0: wide[B]."""
        hit = b.op("equal", b.op("argmax", logits, axis="C"), targets)
        passed = b.op("or", hit, b.op("equal", targets, self.ignore))
        one = b.full(1.0, Type(DType.WIDE))
        wrong = b.sum(b.where(passed, b.zeros(one.type), one), "T")
        return b.where(b.op("less", wrong, 0.5), one, b.zeros(one.type))


def _binary(b: Builder, logit: Value, target: Value) -> Value:
    """Return -t log sigmoid(q) - (1 - t) log(1 - sigmoid(q)) of a logit q and its target t."""
    return b.op("softplus", logit) - logit * target
