"""Mixers that recur along the tokens: they go on from a state, and may carry it from window to window."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

from hrmsearch.blocks.base import Leaf, Mixer, State
from hrmsearch.ir import Axis, Builder, Size, Type, Value

#: how a mixer may ask for its linear scan to be computed
Form = Literal["auto", "step", "chunk", "fft", "scan"]


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


def scan_form(form: Form, write: Value | None) -> str | None:
    """Return the form as a linear scan takes it: none for `auto`.

    Where a mask hides tokens from the state, a transition is not the same at all of them: `fft` counts as `auto` there.
    """
    return None if form == "auto" or (form == "fft" and write is not None) else form


def transition(
    b: Builder, rows: Sequence[Sequence[Value | int]], over: Type, mix: tuple[str, str], write: Value | None = None
) -> Value:
    """Return the matrices [.., row, column] of a linear scan, from entries that broadcast to `over`.

    Where `write` is false they are the identity; `over` then has the axes of tokens.
    """
    row, column = (Axis(name, Size.of(1)) for name in mix)
    one = over.with_axes([*over.axes, row, column])

    def entry(i: int, j: int) -> Value:
        value = spread(b, rows[i][j], over)
        return b.broadcast(value if write is None else b.where(write, value, float(i == j)), one)

    n = range(len(rows))
    return b.concat(row.name, *(b.concat(column.name, *(entry(i, j) for j in n)) for i in n))


def spread(b: Builder, entry: Value | int, over: Type) -> Value:
    """Return an entry at every place of a type; a plain number becomes a constant."""
    return b.full(float(entry), over) if isinstance(entry, int) else b.broadcast(entry, over)
