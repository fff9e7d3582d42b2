"""What is kept for each sample: the states that a model had on a window the last time it met it."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

from pydantic import Field, field_validator, model_validator

from hrmsearch.blocks.base import Leaf
from hrmsearch.errors import FieldError
from hrmsearch.ir import Builder, Graph, Value
from hrmsearch.ir.module import Module
from hrmsearch.spec.model import Spec
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Part


class BySample(Part):
    """A store with an entry for every window that is trained on, which outlives epochs. keyed: what its keys name."""

    keyed: Literal["sample"] = "sample"


class Store(Module, family="memory"):
    """A memory that reads at one place what a stream was when this window was met before; unmet windows give zeros.

    of: the stream that is kept, a level or block. lifetime: it is keyed, not
    timed; every pass commits. A window that is scored was never met: say by `nest.settle` how many passes fill it.
    """

    leaf: ClassVar[str] = "kept"

    at: Literal["input"] = "input"
    of: str
    lifetime: BySample = Field(default_factory=BySample)

    @model_validator(mode="before")
    @classmethod
    def _commits_always(cls, data: Any) -> Any:
        if isinstance(data, dict) and "commit" in data:
            raise FieldProblem(
                "a store takes what every pass over its window leaves; leave this out", "commit", key=True
            )
        return cast("Any", data)

    @field_validator("at", mode="before")
    @classmethod
    def _is_read_first(cls, at: Any) -> Any:
        if at != "input":
            raise FieldProblem("a store is read where tokens come in; it stands at 'input'")
        return at

    @field_validator("lifetime", mode="before")
    @classmethod
    def _is_keyed(cls, lifetime: Any) -> Any:
        if isinstance(lifetime, str):
            message = "a store outlives passes, windows and streams, and its window alone says what is read"
            raise FieldProblem(f"{message}; leave this out, or say {{keyed: sample}}")
        return lifetime

    @abstractmethod
    def build(self, b: Builder, x: Value, kept: Value) -> Value:
        """Return the stream (B, T, D) with what was kept, of the same type, added or mixed in."""

    def leaves(self, b: Builder, x: Value) -> dict[str, Leaf]:
        """Return the state that holds the batch's entries."""
        return {self.leaf: Leaf(x.type, b.zeros(x.type), "sample", "every_pass")}


@dataclass(frozen=True, slots=True)
class Stored:
    """A store of a model: the part, the prefix of its parameters and state, and its spec place."""

    part: Store
    prefix: str
    place: str

    @property
    def path(self) -> str:
        """The path of its state."""
        return f"{self.prefix}.{self.part.leaf}"


def check(spec: Spec, graph: Graph, stores: Sequence[Stored]) -> None:
    """Raise FieldError where a store cannot know which window it is for, or `nest.settle` has nothing to fill."""
    if not stores:
        if spec.nest.settle:
            raise FieldError("nest.settle", "nothing is kept by sample, so there is nothing to fill; leave it out")
        return
    place, nest = stores[0].place, graph.nest
    streams = [path for path, op in graph.states.items() if op.attrs["lifetime"] == "stream"]
    if streams:
        raise FieldError(place, f"windows are met again in another order than {streams[0]} needs; keep one of the two")
    if nest.halt is not None:
        raise FieldError(place, "rows that halt take windows of their own accord; a store needs whole batches of them")
    if nest.backprop[0] == "windows" and nest.backprop[1] > 1:
        raise FieldError("nest.backprop.windows", "a store is handed a window at a time; use passes")
    if spec.task.renews:
        message = f"every epoch of {spec.task.kind} has windows of its own, so none is ever met again"
        raise FieldError(place, f"{message}; use a task whose windows stay")
