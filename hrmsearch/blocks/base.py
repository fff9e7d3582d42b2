"""What a block is: YAML fields and a `build` that says what they mean over IR values.

A new kind of mixer, memory, norm, ... is one file in this folder: a subclass of its family's base below, with a field
`kind` and a `build`. It is known by being here.
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeVar

from pydantic import Field

from hrmsearch.errors import FieldError
from hrmsearch.ir import Axis, Builder, DType, Size, Type, Value, axis
from hrmsearch.ir.module import Module
from hrmsearch.spec.fields import Init, resolve

if TYPE_CHECKING:
    from hrmsearch.blocks.memory import Placed


@dataclass(frozen=True, slots=True)
class Leaf:
    """A state that a part asks for: its type, its start value (broadcast by name), and when it is kept.

    place: the spec path of the part that says so, by default the one that declares the state. within: the range that no
    entry ever leaves, which HS110 holds the part to.
    """

    type: Type
    start: Value
    lifetime: str
    commit: str
    place: str = ""
    within: tuple[float, float] | None = None


State = Mapping[str, Value]

#: what a part tells under this name, wide[B] with gradient, the loss is charged for, row by row
COST = "ponder_cost"
T = TypeVar("T")


def below(name: str, own: Mapping[str, T]) -> dict[str, T]:
    """Return what a part has by name as the part around it calls it: `c` of the part `0` is `0.c`."""
    return {f"{name}.{leaf}": value for leaf, value in own.items()}


def inside(name: str, all_: Mapping[str, T]) -> dict[str, T]:
    """Return what belongs to a part, by its own names; undoes `below`."""
    prefix = f"{name}."
    return {path.removeprefix(prefix): value for path, value in all_.items() if path.startswith(prefix)}


class Teller(Module):
    """A part that can say something of itself while it runs: readings, each wide[B].

    It names all of them (`tells`), and is asked for some (`told`): those that the spec's telemetry wants. Nothing else
    of them is built.
    """

    @property
    def tells(self) -> tuple[str, ...]:
        """Every reading that the part has, by name; see docs/telemetry.md for names that are taken."""
        return ()

    def told(self, b: Builder) -> tuple[str, ...]:
        """Return the readings asked for; a part made of parts returns theirs, below their names."""
        return tuple(name for name in self.tells if b.context.asks(name))

    def say(self, b: Builder, readings: Mapping[str, Callable[[], Value]]) -> dict[str, Value]:
        """Return the readings asked for by name, of one maker each; makers of the others are not called.

        A reading has a value for every row of the batch, or one per token, which is then averaged. No gradient comes
        through it.
        """
        return said(b, self.told(b), readings)


def said(b: Builder, names: Collection[str], readings: Mapping[str, Callable[[], Value]]) -> dict[str, Value]:
    """Return readings by name, per row and without gradient, of those names that there is a maker for."""
    return {name: row_mean(b, b.op("detach", readings[name]())) for name in names if name in readings}


def row_mean(b: Builder, value: Value) -> Value:
    """Return the mean over all axes but that of rows, wide[B]."""
    wide, over = b.cast(value, DType.WIDE), value.type.names[1:]
    return b.mean(wide, *over) if over else wide


class Layer(Teller):
    """Turns a stream (B, T, D) into another; a layer that recurs may carry state from one call to the next.

    `build` begins afresh. A layer that carries state also names it (`leaves`) and goes on from it (`step`). One that
    has readings names those too (`tells`) and returns those asked for (`say`) from `step` beside the states.
    """

    def leaves(self, b: Builder, x: Value, prefix: str) -> dict[str, Leaf]:
        """Return the states to declare, built in `main`; parameters of learned starts go below `prefix`."""
        del b, x, prefix
        return {}

    @abstractmethod
    def build(self, b: Builder, x: Value) -> Value:
        """Return the new stream."""

    def step(self, b: Builder, x: Value, state: State) -> tuple[Value, dict[str, Value]]:
        """Return the new stream, and by name the states of `leaves` after it and what it was asked to tell."""
        assert not state, f"{type(self).__name__} carries no state"
        return self.build(b, x), {}

    def go_on(
        self, b: Builder, prefix: str, x: Value, state: State, place: str | None = None
    ) -> tuple[Value, dict[str, Value]]:
        """Call the layer as a function that goes on from `state`, its parameters below `prefix`."""
        told = self.told(b)
        if not state and not told:
            return self.apply(b, prefix, x, place=place), {}
        return call_with_state(b, self, "step", self.step, prefix, x, state, place, told)


class Mixer(Layer, family="mixer"):
    """Mixes the sequence: (B, T, D) -> (B, T, D)."""


class Ffn(Module, family="ffn"):
    """Works on each token alone: (B, T, D) -> (B, T, D)."""

    @abstractmethod
    def build(self, b: Builder, x: Value) -> Value:
        """Return the transformed tokens."""


class Norm(Module, family="norm"):
    """Normalises each token. place: before a sub-layer (pre) or after its residual sum (post)."""

    place: Literal["pre", "post"] = "post"

    @abstractmethod
    def build(self, b: Builder, x: Value) -> Value:
        """Return the normalised tokens."""


class Block(Layer, family="block"):
    """A residual block: (B, T, D) -> (B, T, D).

    A block that a token may skip is its two halves, one after the other: `mixed`, what it reads of other tokens, and
    `settled`, what it makes of that at each token by itself. A kind that has no such second half leaves both alone.
    """

    def mixed(self, b: Builder, x: Value, state: State) -> tuple[Value, dict[str, Value]]:
        """Return what the block reads along the sequence, like the stream, and what it leaves."""
        return self.step(b, x, state)

    def settled(self, b: Builder, x: Value, mixed: Value) -> Value:
        """Return the new stream from the old one and `mixed`, token by token."""
        del b, x
        return mixed


class Embed(Module, family="embed"):
    """Turns tokens i32[B, T] into a stream (B, T, D).

    Rows (B, P, D) that a model has before its tokens are embedded as tokens are, so that the stream is P longer.
    """

    @abstractmethod
    def build(self, b: Builder, tokens: Value, *rows: Value) -> Value:
        """Return the embedded tokens, behind the rows if there are any."""


class Head(Module, family="head"):
    """Turns a stream into logits (B, T, C). read: the level or block whose stream it reads; several are joined.

    bottleneck: whether it reads one position only, whatever it answers at the others.
    """

    bottleneck: ClassVar[bool] = False
    read: str | Annotated[tuple[str, ...], Field(min_length=1)]

    @property
    def reads(self) -> tuple[str, ...]:
        """What `read` names."""
        return (self.read,) if isinstance(self.read, str) else self.read

    @abstractmethod
    def build(self, b: Builder, x: Value) -> Value:
        """Return the logits."""

    def logits(self, b: Builder, x: Value) -> Value:
        """Call the head on the stream it reads; a kind that shares parameters chooses another prefix."""
        return self.apply(b, "head", x, place=b.place)


class QHead(Module, family="q_head"):
    """Turns a stream into halting values, one set per row.

    names: what the values mean, in order; empty for a head that says nothing of it.
    """

    read: str

    @property
    def names(self) -> tuple[str, ...]:
        """No names."""
        return ()

    @abstractmethod
    def build(self, b: Builder, x: Value) -> Value:
        """Return the values (B, Q)."""


class Core(Module, family="core"):
    """The part between embedding and head that ticks; see its kinds."""

    @property
    @abstractmethod
    def streams(self) -> tuple[str, ...]:
        """What a head may read, by name."""

    @property
    def places(self) -> tuple[str, ...]:
        """Where a memory may stand, by the name that follows `core.`."""
        return self.streams

    @abstractmethod
    def leaves(self, b: Builder, x: Value) -> dict[str, Leaf]:
        """Return the states to declare for the core."""

    @abstractmethod
    def run(
        self,
        b: Builder,
        x: Value,
        states: Mapping[str, Value],
        memories: Mapping[str, "tuple[Placed, Mapping[str, Value]]"],
        *,
        read: Collection[str],
        trace: bool = False,
    ) -> "Ran":
        """Run one pass: embedded stream and states in, streams and candidates out.

        memories: by place, the memory that stands there and that memory's states as the pass began. read: the streams
        that are wanted.
        """


@dataclass(frozen=True, slots=True)
class Ran:
    """What a pass of the core gave.

    streams: at least those wanted. candidates: by state name. telemetry: what the core told, by name. memories:
    by place, candidates by state name and what the memory told. trace: every stream after every tick, by output name.
    """

    streams: Mapping[str, Value]
    candidates: Mapping[str, Value]
    telemetry: Mapping[str, Value]
    memories: Mapping[str, Mapping[str, Value]]
    trace: Mapping[str, Value]


def call_with_state(
    b: Builder,
    part: Module,
    method: str,
    step: Callable[[Builder, Value, State], tuple[Value, Mapping[str, Value]]],
    prefix: str,
    x: Value,
    state: State,
    place: str | None = None,
    told: Sequence[str] = (),
) -> tuple[Value, dict[str, Value]]:
    """Call a part's `step(b, x, state)` as a function; returns its stream, and by name the states and what it told."""
    names = (*state, *told)

    def build(inner: Builder, x: Value, *held: Value) -> tuple[Value, ...]:
        y, new = step(inner, x, dict(zip(state, held, strict=True)))
        return (y, *(new[name] for name in names))

    key = (type(part), method, part.model_dump_json(), *state)
    y, *new = b.call(prefix, build, x, *state.values(), title=type(part).__name__, key=key, place=place)
    return y, dict(zip(names, new, strict=True))


def fail(b: Builder, field: str, message: str) -> FieldError:
    """Return the error that says what is wrong with a field of the part under construction."""
    return FieldError(f"{b.place}.{field}" if field else b.place, message)


def weight(b: Builder, name: str, fan_in: Size, out: Axis, init: Init | None = None) -> Value:
    """Declare a weight [input, output]; `init` defaults to the model's rule."""
    rule = resolve(init if init is not None else b.context.init, fan_in.known or 1)
    return b.param(name, (Axis("I", fan_in), out), rule)


def project(b: Builder, x: Value, name: str, out: Axis | None = None, init: Init | None = None) -> Value:
    """Return x W over the last axis, to the axis `out` or to one like x's own."""
    last = x.type.axes[-1]
    return b.linear(x, weight(b, name, last.size, out or last, init))


def head_axes(b: Builder, x: Value, heads: int, width: str = "K") -> tuple[Axis, Axis]:
    """Return the axes A (heads) and K (head width) that the width of x, its last axis, divides into."""
    return divided(b, x.type.width(x.type.names[-1]), heads, width)


def divided(b: Builder, dim: int, heads: int, width: str = "K") -> tuple[Axis, Axis]:
    """Return the axes A (heads) and K (head width) that a width divides into."""
    if dim % heads:
        raise fail(b, "heads", f"{heads} heads do not divide the width {dim}; {_divisors(dim)} do")
    return axis("A", heads), axis(width, dim // heads)


def split_heads(b: Builder, x: Value, heads: int, width: str = "K") -> Value:
    """Turn (B, T, D) into (B, A, T, width), A heads."""
    parts = b.split(x, x.type.names[-1], *head_axes(b, x, heads, width))
    batch, tokens = parts.type.names[:2]
    return b.transpose(parts, batch, "A", tokens, width)


def merge_heads(b: Builder, x: Value, into: str = "D") -> Value:
    """Turn (B, A, T, K) back into (B, T, D)."""
    batch, heads, tokens, width = x.type.names
    return b.merge(b.transpose(x, batch, tokens, heads, width), heads, width, into)


def headwise(b: Builder, x: Value, name: str, heads: int, init: Init) -> Value:
    """Return (B, T, A, K), each head of x by a map of its own: a block-diagonal weight [A, input, output]."""
    a, k = head_axes(b, x, heads)
    w = b.param(name, (a, Axis("I", k.size), k), resolve(init, k.size.known or 1))
    rows, tokens, width = x.type.names
    parts = b.split(x, width, a, k)
    return b.einsum(f"{rows} {tokens} A I, A I K -> {rows} {tokens} A K", parts, w)


def _divisors(n: int) -> str:
    return ", ".join(str(k) for k in range(1, min(n, 16) + 1) if n % k == 0)


def table_over_tokens(b: Builder, table: Value, x: Value) -> Value:
    """Return the first T positions of a per-position table [W, ..]."""
    return b.take(table, "W", x.type.axes[x.type.index("T")])
