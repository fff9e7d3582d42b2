"""Clocks: which tokens a memory may keep, told by how many it has been given."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import NonNegativeInt, PositiveInt, model_validator

from hrmsearch.blocks.tokenwise import Held, Numbers, along_tokens, either, holds
from hrmsearch.ir import Builder, DType, Type, Value
from hrmsearch.ir.module import Module
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Part


@dataclass(frozen=True, slots=True)
class Ticked:
    """The time of every token of a window.

    mask: where the clock lets write. left: what it carries after the window. begins: 1.0 at the first token of a commit
    window, where there is a budget.
    """

    mask: Value
    left: Numbers
    begins: Value | None = None


class Budget(Part):
    """At most `writes` tokens are kept of every `window` in a row; the count is zero again as the next ones begin."""

    writes: PositiveInt
    window: PositiveInt


class Clock(Module, family="clock"):
    """Says at which tokens a memory may be written. Time is how many tokens it was given since its lifetime began.

    budget: of what is proposed at those tokens only the first few of a commit window are written, whatever else
    proposes and denies.
    """

    budget: Budget | None = None

    @property
    @abstractmethod
    def carries(self) -> dict[str, Held]:
        """What the clock carries from token to token, by name."""

    @abstractmethod
    def allows(self, time: int) -> bool:
        """Return whether the token at a time may be written, budgets aside: what `ticked` means, in plain numbers."""

    @abstractmethod
    def ticked(self, b: Builder, x: Value, held: Mapping[str, Value]) -> Ticked:
        """Return the time of every token of `x`."""

    @abstractmethod
    def spent(self, b: Builder, proposed: Value, ticked: Ticked, held: Mapping[str, Value]) -> tuple[Value, Numbers]:
        """Return which of the proposed writes are within the budget, and what is carried of it."""


class Slots(Clock):
    """Micro-cycles of `every` tokens, of which only the token in `slot` may be written.

    At token t = 0, 1, .. since the lifetime began the slot is t mod `every`; by default the last one writes, which is
    the carry of the cycle. budget: at most so many writes in a commit window, whatever else proposes and denies. The
    counts go on from window to window as long as the memory lives and commit as it does.
    """

    kind: Literal["slots"] = "slots"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"z5": {"every": 5, "slot": 4}}
    every: PositiveInt = 5
    slot: NonNegativeInt | None = None

    @model_validator(mode="after")
    def _slot_is_one(self) -> Self:
        if self.slot is not None and self.slot >= self.every:
            raise FieldProblem(f"a cycle of {self.every} tokens has the slots 0 to {self.every - 1}", "slot")
        if self.every == 1 and self.budget is None:
            raise FieldProblem("every token may be written, and there is no budget: the clock does nothing", "every")
        return self

    def allows(self, time: int) -> bool:
        """Return whether the time's slot is the one that writes."""
        return time % self.every == self._writing

    @property
    def _writing(self) -> int:
        return self.every - 1 if self.slot is None else self.slot

    @property
    def carries(self) -> dict[str, Held]:
        """The slot of the next token, its place in its commit window, and the writes spent there."""
        found = {"slot": Held(within=(0.0, self.every - 1.0))}
        if self.budget is not None:
            found["place"] = Held(within=(0.0, self.budget.window - 1.0))
            found["spent"] = Held(within=(0.0, float(self.budget.writes)))
        return found

    def ticked(self, b: Builder, x: Value, held: Mapping[str, Value]) -> Ticked:
        """Count slots, and places in commit windows."""
        lengths = {"slot": self.every} | ({} if self.budget is None else {"place": self.budget.window})
        one = b.full(1.0, Type(DType.WIDE, (x.type.axes[x.type.index("T")],)))

        def step(before: Numbers, token: Numbers) -> tuple[Numbers, Numbers]:
            after = {name: _count(b, value, token["one"], lengths[name]) for name, value in before.items()}
            return after, before

        told, left = along_tokens(b, {name: held[name] for name in lengths}, {"one": one}, step)
        mask = b.op("equal", told["slot"], float(self._writing))
        begins = either(b, b.op("equal", told["place"], 0.0)) if "place" in told else None
        return Ticked(mask, left, begins)

    def spent(self, b: Builder, proposed: Value, ticked: Ticked, held: Mapping[str, Value]) -> tuple[Value, Numbers]:
        """Let through what the budget of the commit window still allows: a write is what makes the count go up."""
        if self.budget is None or ticked.begins is None:
            return proposed, {}
        most = float(self.budget.writes)

        def step(before: Numbers, token: Numbers) -> tuple[Numbers, Numbers]:
            spent = b.where(holds(b, token["begins"]), 0.0, before["spent"])
            more = spent + token["proposed"]
            after = b.where(b.op("less", most, more), spent, more)
            return {"spent": after}, {"written": after - spent}

        given = {"proposed": either(b, proposed), "begins": ticked.begins}
        told, left = along_tokens(b, {"spent": held["spent"]}, given, step)
        return holds(b, told["written"]), left


def _count(b: Builder, value: Value, one: Value, length: int) -> Value:
    """Return the next of 0 .. length - 1, and 0 after the last."""
    more = value + one
    return b.where(b.op("less", length - 1.0, more), 0.0, more)
