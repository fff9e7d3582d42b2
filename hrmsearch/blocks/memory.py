"""The memory adapter: any memory kind at any place of a model.

A kind is one file with three functions over IR values, `init_state`, `update` and `readout`; everything else is here.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from hrmsearch.blocks.base import Leaf, State, Teller, below, call_with_state
from hrmsearch.blocks.governing import Governing, parted
from hrmsearch.blocks.policy import Policy
from hrmsearch.ir import Builder, Type, Value
from hrmsearch.spec.problems import FieldProblem


class Memory(Teller, family="memory"):
    """A memory that stands at a place of the model.

    at: `input` (the embedded stream), `output` (what the head reads) or `core.<level>` (the input of a level's block).
    lifetime: the boundary that restores it. With `pass` every call begins with an empty memory and nothing is kept,
    which only a memory that is read and written in turn can use. commit: `every_pass` or `last_pass` of a window. Every
    read in a pass sees the memory as the pass began. policy: what it may say and keep; without one all of it.

    A kind defines three functions over IR values: `init_state`, `update` and `readout`. One that has readings (`tells`)
    also defines `step`, which returns them (`say`) beside the states.
    """

    at: str
    lifetime: Literal["pass", "window", "stream"] = "window"
    commit: Literal["every_pass", "last_pass"] = "every_pass"
    # an absent one leaves the resolved spec, and so its hash, as it was
    policy: Policy | None = None

    @field_validator("lifetime", mode="before")
    @classmethod
    def _is_timed(cls, lifetime: Any) -> Any:
        if isinstance(lifetime, dict):
            raise FieldProblem("this memory is written by tokens, not looked up by key; say pass, window or stream")
        return lifetime

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        if self.lifetime == "pass" and not self.continues:
            message = "it is read before the tokens of a call are written, so with 'pass' it would always be empty"
            raise FieldProblem(f"{message}; say window or stream", "lifetime")
        return self

    @property
    def continues(self) -> bool:
        """Whether reads and writes take turns within a call, so that later tokens see what earlier ones wrote."""
        return False

    @abstractmethod
    def init_state(self, b: Builder, x: Value) -> Mapping[str, tuple[Value, Type]]:
        """Return each state leaf's start value and type, for a stream like `x`; built in `main`."""

    @abstractmethod
    def update(self, b: Builder, state: Mapping[str, Value], x: Value, write: Value | None = None) -> dict[str, Value]:
        """Return the state after the tokens of `x`; where `write` (bool[B, T] or bool[T]) is false nothing is kept."""

    @abstractmethod
    def readout(self, b: Builder, state: Mapping[str, Value], x: Value) -> Value:
        """Return the stream with what the memory holds added or mixed in."""

    def step(
        self, b: Builder, state: Mapping[str, Value], x: Value, write: Value | None = None
    ) -> tuple[Value, dict[str, Value]]:
        """Return the stream, and the state after it with what was told, kept of the tokens that `write` lets through.

        The readout sees the state before; a kind that reads while it writes sees the written tokens before each.
        """
        return self.readout(b, state, x), self.update(b, state, x, write)

    def confidence(self, b: Builder, state: Mapping[str, Value], x: Value) -> Value | None:
        """Return how far the readout at each token may be relied on, compute[B, T] in [0, 1]; None if unknown."""
        del b, state, x
        return None

    def leaves(self, b: Builder, x: Value) -> dict[str, Leaf]:
        """Return the states to declare for this memory; none with the lifetime `pass`."""
        if self.lifetime == "pass":
            return {}
        states = self.init_state(b, x)
        return {name: Leaf(type_, start, self.lifetime, self.commit) for name, (start, type_) in states.items()}


@dataclass(frozen=True, slots=True)
class Placed:
    """A memory at its place: the part, the prefix of its parameters and its spec place."""

    memory: Memory
    prefix: str
    place: str

    def told(self, b: Builder) -> tuple[str, ...]:
        """Return the readings that the memory and its policy are asked for."""
        policy = self.memory.policy
        return (*self.memory.told(b), *(policy.told(b, self.memory.tells) if policy else ()))

    def leaves(self, b: Builder, x: Value) -> dict[str, Leaf]:
        """Return the states to declare: the memory's own, and below `policy` those of its policy."""
        memory, policy = self.memory, self.memory.policy
        if policy is None or memory.lifetime == "pass":
            return memory.leaves(b, x)
        return memory.leaves(b, x) | below("policy", policy.leaves(b, x, memory.lifetime, memory.commit))

    def readout(self, b: Builder, x: Value, states: Mapping[str, Value]) -> Value:
        """Call what reads the memory on a stream, as far as its policy lets it say something."""
        memory = self.memory

        def readout(inner: Builder, x: Value, *held: Value) -> Value:
            state = self._held(inner, x, dict(zip(states, held, strict=True)))
            return memory.readout(inner, state, x) if memory.policy is None else self._governed(inner, state, x)[0]

        title, key = f"{type(memory).__name__}_readout", (type(memory), "readout", memory.model_dump_json())
        (y,) = b.call(self.prefix, readout, x, *states.values(), title=title, key=key, place=self.place)
        return y

    def step(self, b: Builder, x: Value, states: Mapping[str, Value]) -> tuple[Value, dict[str, Value]]:
        """Call the memory's step on a stream: what it reads, the states it proposes and what it tells."""

        def step(inner: Builder, x: Value, state: State) -> tuple[Value, dict[str, Value]]:
            held = self._held(inner, x, state)
            return self.memory.step(inner, held, x) if self.memory.policy is None else self._governed(inner, held, x)

        return call_with_state(b, self.memory, "step", step, self.prefix, x, states, self.place, self.told(b))

    def _held(self, b: Builder, x: Value, states: State) -> State:
        """Return what the memory holds as a call begins: its start where nothing is carried."""
        if states:
            return states
        policy = self.memory.policy
        starts = {**self.memory.init_state(b, x), **(below("policy", policy.starts(b, x)) if policy else {})}
        return {name: b.op("broadcast", start, type=type_, name=name) for name, (start, type_) in starts.items()}

    def _governed(self, b: Builder, state: State, x: Value) -> tuple[Value, dict[str, Value]]:
        assert self.memory.policy is not None
        governing = Governing(b, self.memory, self.memory.policy, *parted(state))
        return governing.run(x), governing.left
