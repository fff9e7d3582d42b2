"""Controllers: they watch what a gate does and take back what costs too much."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from hrmsearch.blocks.tokenwise import Held, Numbers, holds
from hrmsearch.ir import Builder, Value
from hrmsearch.ir.module import Module
from hrmsearch.spec.problems import FieldProblem


class Control(Module, family="control"):
    """Decides at every token, by the tokens before it, how far a gate may open and whether a memory may be written.

    window: the tokens after which it decides anew. clamp: the most alpha may want while it acts. deny: whether nothing
    is written meanwhile.
    """

    window: PositiveInt = 64
    clamp: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    deny: bool = True

    @model_validator(mode="after")
    def _acts(self) -> Self:
        if self.clamp is None and not self.deny:
            raise FieldProblem("a controller that neither clamps alpha nor denies writes does nothing", "deny")
        return self

    @property
    @abstractmethod
    def carries(self) -> dict[str, Held]:
        """What the controller carries from token to token, by name; `acts` is 1.0 while it acts."""

    @abstractmethod
    def watch(self, b: Builder, rise: Value, before: Mapping[str, Value]) -> Numbers:
        """Return what is carried after a token whose energy the gate raised by `rise`."""

    def cap(self, b: Builder, before: Mapping[str, Value]) -> Value | None:
        """Return the most that alpha may want at this token."""
        if self.clamp is None:
            return None
        return b.where(holds(b, before["acts"]), b.full(self.clamp, before["acts"].type), 1.0)


class EnergyBudget(Control):
    """Acts while a gate raises the energy of the stream by more than a limit.

    The energy of a token is the sum of its squares. After every `window` tokens the mean rise over them is compared:
    above `limit` the controller acts from the next token on, below `release` it stops, and in between it goes on as it
    was. So it sees the past only, and one window may pass before it acts, and before it stops.
    """

    kind: Literal["energy"] = "energy"
    limit: float = 0.1
    release: float | None = None

    @model_validator(mode="after")
    def _releases_below_the_limit(self) -> Self:
        if self.release is not None and self.release > self.limit:
            raise FieldProblem(f"release is at most the limit, {self.limit}", "release")
        return self

    @property
    def carries(self) -> dict[str, Held]:
        """The tokens of the window that are seen, the sum of their rises, and whether the controller acts."""
        seen = Held(within=(0.0, self.window - 1.0))
        return {"seen": seen, "rise": Held(), "acts": Held(within=(0.0, 1.0))}

    def watch(self, b: Builder, rise: Value, before: Mapping[str, Value]) -> Numbers:
        """Add up, and decide as a window ends."""
        seen, total = before["seen"] + 1.0, before["rise"] + rise
        ends = b.op("less", self.window - 1.0, seen)
        mean, release = total * (1.0 / self.window), self.limit if self.release is None else self.release
        stays = b.where(b.op("less", mean, release), 0.0, before["acts"])
        decided = b.where(b.op("less", self.limit, mean), 1.0, stays)
        return {
            "seen": b.where(ends, 0.0, seen),
            "rise": b.where(ends, 0.0, total),
            "acts": b.where(ends, decided, before["acts"]),
        }
