"""What stands before the tokens of a row: rows of the stream that are looked up by a key, not read from the text."""

from abc import abstractmethod
from typing import Annotated, Any, Literal, Self, cast

from pydantic import Field, field_validator, model_validator

from hrmsearch.ir import Builder, Value
from hrmsearch.ir.module import Module
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Choice, Part


class Keyed(Part):
    """A store that is looked up by key, whatever windows and streams do. keyed: what its keys name."""

    keyed: Literal["puzzle"] = "puzzle"


class Prefix(Module, family="memory"):
    """A memory that is prepended: a keyed table of which every row of the batch gets its entry as P rows of the stream.

    at: `prepend`. lifetime: the store is keyed, not timed. optimizer: moves the entries whose keys occurred in a step,
    and those only; it may keep no slots. Its learning rate follows the schedule of the others.
    """

    at: Literal["prepend"] = "prepend"
    lifetime: Keyed = Field(default_factory=Keyed)
    optimizer: Annotated[Any, Choice("optimizer", "sign_sgd")]

    @model_validator(mode="before")
    @classmethod
    def _commits_nothing(cls, data: Any) -> Any:
        if isinstance(data, dict) and "commit" in data:
            message = "a keyed table is written by its optimizer, after a step, not by passes; leave this out"
            raise FieldProblem(message, "commit", key=True)
        return cast("Any", data)

    @field_validator("at", mode="before")
    @classmethod
    def _is_prepended(cls, at: Any) -> Any:
        if at != "prepend":
            raise FieldProblem("a keyed table gives rows of the stream before its tokens; it stands at 'prepend'")
        return at

    @field_validator("lifetime", mode="before")
    @classmethod
    def _is_keyed(cls, lifetime: Any) -> Any:
        if isinstance(lifetime, str):
            message = "a keyed table outlives passes, windows and streams, and its keys alone say what is read"
            raise FieldProblem(f"{message}; leave this out, or say {{keyed: puzzle}}")
        return lifetime

    @model_validator(mode="after")
    def _keeps_nothing(self) -> Self:
        kind, slots = self.optimizer.kind, self.optimizer.slots
        if slots:
            # most entries would hold moments of a step long past
            message = f"{kind} keeps {', '.join(slots)} of every entry; a keyed table takes a rule that keeps nothing"
            raise FieldProblem(f"{message}, such as sign_sgd", "optimizer")
        return self

    @abstractmethod
    def rows(self, dim: int) -> int:
        """Return how many rows of the stream it takes, P, for a model width."""

    @abstractmethod
    def build(self, b: Builder, keys: Value) -> Value:
        """Return the rows (B, P, D) for keys i32[B]."""
