"""Tokens that halt inside a list of blocks: later layers leave them as they are, and need not be computed for them.

Before each layer but the first, a head on the stream says for every token how likely it stops here, h. A token has not
stopped with probability s = prod (1 - h) over the layers so far, and is open while s exceeds a threshold, so one that
closes stays closed. A layer f moves open tokens only, x <- x + s (f(x) - x); through s the heads learn from the loss.
What a layer mixes along the sequence (its mixer, a memory before it) reads every token, closed ones as they came to
rest; what it does to each token by itself (the residual sum, norms, the feed-forward layer) is needed at open tokens
alone, and a backend may compute it there alone.

Sources: Graves 2016, arXiv:1603.08983 (halting); Elbayad et al. 2020, arXiv:1910.10073 (copied states, token-wise).
"""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field, NonNegativeFloat

from hrmsearch.blocks.base import COST, Block, row_mean
from hrmsearch.ir import Axis, Builder, DType, Size, Value
from hrmsearch.spec.fields import Init, OrNone, resolve
from hrmsearch.spec.registry import Part

_Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class Skip(Part):
    """Tokens halt one by one on their way through the layers, and skip what is left of them.

    threshold: a token is open while it has not stopped with more than this probability. bias: of the halting heads at
    the start; by -3 tokens stay open for the first 14 layers, so that training does not begin with all of them closed.
    init: of their weights. cost: what the loss is charged per row for the mean of that probability over tokens and
    layers, the share of the work that is done; with a `target` it is charged for the square of the distance to it
    instead, as a budget. Both cost and target are numbers that a sweep may search.
    """

    threshold: _Share = 0.5
    bias: float = -3.0
    init: Init = "zeros"
    cost: NonNegativeFloat = 0.01
    target: Annotated[_Share | None, OrNone()] = None


@dataclass(slots=True)
class Halting:
    """The halting of one call of a list. left: for each layer so far, s and the tokens that are open in it."""

    skip: Skip
    b: Builder
    left: dict[int, tuple[Value, Value]] = field(default_factory=dict[int, tuple[Value, Value]])

    def layer(self, number: int, x: Value) -> tuple[Value, Value]:
        """Return s and the open tokens, (B, T) each, of a layer that the stream x is about to enter."""
        b, key = self.b, ("goes on", self.skip.model_dump_json())
        (s,) = b.call(f"skip.{number}", self._goes_on, x, title="HaltingHead", key=key, place=b.place)
        if self.left:
            s = list(self.left.values())[-1][0] * s
        s.name = "s"
        is_open = b.op("less", self.skip.threshold, s, name="is_open")
        self.left[number] = (s, is_open)
        return s, is_open

    def _goes_on(self, b: Builder, x: Value) -> Value:
        """Return the probability that a token does not stop here, 1 - h."""
        rows, tokens, width = x.type.axes
        weight = b.param("weight", (Axis("I", width.size),), resolve(self.skip.init, width.size.known or 1))
        bias = b.param("bias", (Axis("Q", Size.of(1)),), {"constant": self.skip.bias})
        logit = b.einsum(f"{rows.name} {tokens.name} I, I -> {rows.name} {tokens.name}", x, weight) + b.sum(bias, "Q")
        return b.sigmoid(-logit)

    def cost(self) -> dict[str, Value]:
        """Return what the loss is charged for the layers that were run, wide[B], if anything."""
        if not self.skip.cost:
            return {}
        share = _total([row_mean(self.b, s) for s, _ in self.left.values()]) * (1.0 / len(self.left))
        if self.skip.target is not None:
            missed = share - self.skip.target
            share = missed * missed
        return {COST: share * self.skip.cost}

    def readings(self) -> dict[str, Value]:
        """Return, as far as it is asked for, the share of open tokens by layer and the layers that a token took."""
        asks, shares = self.b.context.asks, dict[str, Value]()
        for number, (_, is_open) in self.left.items():
            if asks(f"open_{number}") or asks("ponder"):
                shares[f"open_{number}"] = row_mean(self.b, self.b.cast(is_open, DType.WIDE))
        taken = {"ponder": _total([*shares.values()]) + 1.0} if asks("ponder") else {}
        return taken | {name: share for name, share in shares.items() if asks(name)}


def settle(
    b: Builder, block: Block, at: tuple[str, str], layer: tuple[Value, Value], x: Value, read: Value, mixed: Value
) -> Value:
    """Return x + s (f(x) - x) at open tokens and x at the others, f(x) being what a block makes of `read` and `mixed`.

    The function holds nothing but work on single tokens, so that it may be run on some of them. at: prefix of the
    block's parameters, and its spec place. layer: s and the open tokens, as `Halting.layer` gives them.
    """
    (prefix, place), (s, is_open) = at, layer
    apart = [read] if read is not x else []

    def settled(inner: Builder, is_open: Value, x: Value, mixed: Value, s: Value, *read: Value) -> Value:
        y = block.settled(inner, read[0] if read else x, mixed)
        return inner.where(is_open, x + s * (y - x), x)

    key = (type(block), "settled", block.model_dump_json(), bool(apart))
    title = f"{type(block).__name__}_settled"
    (y,) = b.call(prefix, settled, is_open, x, mixed, s, *apart, title=title, key=key, place=place)
    return y


def _total(values: list[Value]) -> Value:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total
