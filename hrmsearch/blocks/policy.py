"""Policies: what a memory may say to the stream, and which tokens it may keep; one for any kind of memory."""

import math
from collections.abc import Collection, Mapping
from typing import Annotated, Self

from pydantic import model_validator

from hrmsearch.blocks.base import Leaf, below
from hrmsearch.blocks.clock import Clock
from hrmsearch.blocks.control import Control
from hrmsearch.blocks.evidence import Evidence
from hrmsearch.blocks.gains import Gain, Target
from hrmsearch.blocks.gate import Gate
from hrmsearch.blocks.tokenwise import Held
from hrmsearch.ir import Builder, DType, Type, Value
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Choice, Part

#: the part that a target of gains cannot be without
_NEEDS: Mapping[Target, str] = {"alpha": "gate", "logit": "gate", "evidence": "evidence"}


class Policy(Part):
    """What a memory may say and keep.

    gate: y = x + alpha d instead of what the memory makes of the stream, d being what it would add. clock: the tokens
    it may be written at, and how many. evidence: what a token must show to be written. control: what watches the gate
    and takes back. gains: bounded factors on any of these.

    What is carried lives and commits as the memory does. What the clock and the evidence forbid is not even read back
    within the window; what the controller and the budget under it forbid is not kept.
    """

    gains: tuple[Annotated[Gain, Choice("gain")], ...] = ()
    evidence: Annotated[Evidence, Choice("evidence", "llr")] | None = None
    clock: Annotated[Clock, Choice("clock", "slots")] | None = None
    gate: Annotated[Gate, Choice("gate", "alpha")] | None = None
    control: Annotated[Control, Choice("control", "energy")] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for i, gain in enumerate(self.gains):
            for j, target in enumerate(gain.on):
                self._needed(_NEEDS.get(target), "gains", i, "on", j)
        if self.control is not None and self.control.clamp is not None:
            self._needed("gate", "control", "clamp")
        if not (self.masks or self.gate or self.gains):
            raise FieldProblem("a policy has at least one of gate, clock, evidence, control, gains")
        return self

    def _needed(self, part: str | None, *field: str | int) -> None:
        if part is not None and getattr(self, part) is None:
            raise FieldProblem(f"there is no {part} for it; add one, or leave this out", *field)

    @property
    def masks(self) -> bool:
        """Whether some tokens may not be written."""
        return any(part is not None for part in (self.clock, self.evidence, self.control))

    def told(self, b: Builder, but: Collection[str] = ()) -> tuple[str, ...]:
        """Return the readings asked for, but for some that the memory has itself; docs/telemetry.md has them all."""
        return tuple(name for name in self._tells if name not in but and b.context.asks(name))

    @property
    def _tells(self) -> tuple[str, ...]:
        there = {
            ("alpha", "open", "energy_before", "energy_after"): self.gate is not None,
            ("gain",): self.factor("stream") != 1.0,
            ("commits", "denied"): self.masks,
            ("reason_clock",): self.clock is not None,
            ("reason_evidence",): self.evidence is not None,
            ("reason_control",): self.control is not None and self.control.deny,
            ("reason_budget",): self.clock is not None and self.clock.budget is not None,
            ("acting",): self.control is not None,
        }
        return tuple(name for names, is_there in there.items() if is_there for name in names)

    def factor(self, target: Target) -> float:
        """Return the product of the gains on something."""
        return math.prod((gain.factor for gain in self.gains if target in gain.on), start=1.0)

    def starts(self, b: Builder, x: Value) -> dict[str, tuple[Value, Type]]:
        """Return what each number that is carried from token to token starts at, and its type."""
        return {name: (b.full(h.start, Type(DType.WIDE)), h.type(x)) for name, h in self._carries(x).items()}

    def leaves(self, b: Builder, x: Value, lifetime: str, commit: str) -> dict[str, Leaf]:
        """Return those numbers as states of the memory."""
        held = self._carries(x)
        return {
            name: Leaf(type_, start, lifetime, commit, within=held[name].within)
            for name, (start, type_) in self.starts(b, x).items()
        }

    def _carries(self, x: Value) -> dict[str, Held]:
        found: dict[str, Held] = {}
        if self.clock is not None:
            found |= below("clock", self.clock.carries)
        if self.evidence is not None:
            found |= below("evidence", self.evidence.carries(x))
        if self.gate is not None:
            found |= below("gate", self.gate.carries)
        if self.control is not None:
            found |= below("control", self.control.carries)
        return found
