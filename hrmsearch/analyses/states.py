"""What analyses call the parts of a graph: the axes of rows and tokens, memories, and states in the user's words."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from hrmsearch.ir.graph import TELEMETRY, Graph, Op
from hrmsearch.ir.types import Lifetime

V = TypeVar("V")

ROWS, TOKENS = "B", "T"
#: the inputs by role; every other input with an axis of tokens is what a model may look at
RESET, TARGETS = "reset", "targets"
#: the outputs by role
LOGITS, LOSS = "logits", "loss"
#: the outputs by which rows halt
DECISIONS = ("q_halt", "q_continue")


def effects(outputs: Mapping[str, V]) -> list[V]:
    """Return the outputs that a model is run for, not those that only watch it."""
    return [value for name, value in outputs.items() if not name.startswith(TELEMETRY)]


def is_memory(state: Op) -> bool:
    """Return whether a state holds many tokens in one place: it has no axis of tokens."""
    return TOKENS not in state.result.type.names


def memories(graph: Graph) -> Iterator[Op]:
    """Yield one state per memory, the first declared at its place."""
    seen: set[str] = set()
    for state in graph.states.values():
        if is_memory(state) and state.place not in seen:
            seen.add(state.place)
            yield state


def lifetime(state: Op) -> Lifetime:
    """Return how long a state lives."""
    return Lifetime.of(state.attrs["lifetime"])


def label(state: Op) -> str:
    """Return a state as a user knows it: a memory by its place, a state of tokens by its own name."""
    return short(state.place) if is_memory(state) else str(state.attrs["path"])


def short(place: str) -> str:
    """Return a spec place without what every place begins with."""
    return place.removeprefix("model.")


def setting(state: Op, field: str) -> str:
    """Return the spec path of a state's `lifetime` or `commit`: at a memory itself, in a core's `state`."""
    return f"{state.place}.{field}" if is_memory(state) else f"{state.place}.state.{field}"
