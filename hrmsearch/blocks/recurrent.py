"""Mixers that recur along the tokens: they go on from a state, and may carry it from window to window."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Literal

from hrmsearch.blocks.base import Leaf, Mixer, State
from hrmsearch.ir import Builder, Type, Value


class Recurrent(Mixer):
    """A mixer whose output at a token depends on the tokens so far through a state of fixed size.

    lifetime: the boundary that restores the state; with `pass` every call begins at the start value and nothing is
    carried. commit: `every_pass` or `last_pass` of a window. Every call in a pass begins with the state as the pass
    began; what the last one leaves is proposed.

    A kind defines `init_state` and `step` over IR values. One call over T tokens equals any split of it into calls that
    hand on the state, so a window of one token streams; gradient goes through the state both ways.
    """

    lifetime: Literal["pass", "window", "stream"] = "pass"
    commit: Literal["every_pass", "last_pass"] = "last_pass"

    @abstractmethod
    def init_state(self, b: Builder, x: Value) -> Mapping[str, tuple[Value, Type]]:
        """Return each state's start value (broadcast by name) and type, for a stream like `x`."""

    @abstractmethod
    def step(self, b: Builder, x: Value, state: State, write: Value | None = None) -> tuple[Value, dict[str, Value]]:
        """Return the mixed stream and the state after it.

        Where `write` (bool[B, T] or bool[T]) is false, the state passes the token unchanged.
        """

    def leaves(self, b: Builder, x: Value, prefix: str) -> dict[str, Leaf]:
        """Return the states to carry; none with the lifetime `pass`."""
        del prefix
        if self.lifetime == "pass":
            return {}
        states = self.init_state(b, x)
        return {
            name: Leaf(type_, start, self.lifetime, self.commit, b.place) for name, (start, type_) in states.items()
        }

    def build(self, b: Builder, x: Value) -> Value:
        """Return the mixed stream from the start values on."""
        states = self.init_state(b, x).items()
        begun = {name: b.op("broadcast", start, type=type_, name=name) for name, (start, type_) in states}
        return self.step(b, x, begun)[0]
