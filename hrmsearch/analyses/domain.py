"""Domains: what an analysis says of values, as the interpreter asks for it.

An analysis is a domain: what a leaf is worth, what an operation makes of its operands, how two values join, and what
shifting time does to a value. A domain knows operations by the op table and no kind of block.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from hrmsearch.ir.graph import Op, Value, join_path

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Site:
    """Where an operation is met: below which parameter prefix, and how the places of its function map to the spec.

    origin: the place that the function was first built for. place: the place of this call of it.
    """

    prefix: str = ""
    origin: str = ""
    place: str = ""

    def of(self, place: str) -> str:
        """Return the spec place of something in the function at hand, whichever call of it this is."""
        if self.origin and (place == self.origin or place.startswith((f"{self.origin}.", f"{self.origin}["))):
            return self.place + place[len(self.origin) :]
        return place

    def path(self, param: Op) -> str:
        """Return the full path of a parameter."""
        return join_path(self.prefix, param.attrs["path"])


class Domain(ABC, Generic[V]):
    """What an analysis says of values; hashable facts with a join. Defaults describe a domain that time leaves alone.

    shared: whether equal operands of one call give equal results, so that the interpreter may remember calls.
    """

    shared: ClassVar[bool] = True

    @abstractmethod
    def leaf(self, op: Op, site: Site) -> V:
        """Return the value of an input, a parameter or a constant."""

    @abstractmethod
    def transfer(self, op: Op, result: Value, operands: Sequence[V], site: Site) -> V:
        """Return the value of one result of a primitive or of a composite judged as a whole."""

    @abstractmethod
    def join(self, first: V, second: V) -> V:
        """Return what holds where either value may stand."""

    def opens(self, op: Op) -> bool:
        """Return whether a composite is judged by its definition, not by its declared flow."""
        del op
        return False

    def freed(self, value: V) -> V:
        """Return a value that a free repeat changed."""
        return value

    def returned(self, values: Sequence[V]) -> None:
        """Take note of what a function or a region returned together."""

    # -- states ------------------------------------------------------------------------------------------------------

    def begins(self) -> None:
        """Take note that another pass begins."""

    def restored(self, state: Op, start: V) -> V:
        """Return a state in a pass that restores it."""
        del state
        return start

    def read(self, state: Op, value: V, index: int) -> V:
        """Return a carried state as pass `index` of a window begins."""
        del state, index
        return value

    def committed(self, state: Op, value: V) -> V:
        """Return a candidate as the nest takes it."""
        del state
        return value

    def span_ended(self, value: V) -> V:
        """Return a carried value after the end of a span."""
        return value

    def went_on(self, value: V, decision: V) -> V:
        """Return a carried value in a row that goes on because of a decision on what the pass gave."""
        del decision
        return value

    def window_ended(self, value: V) -> V:
        """Return a carried value after the end of a window."""
        return value

    # -- scans -------------------------------------------------------------------------------------------------------

    def sliced(self, scan: Op, value: V) -> V:
        """Return the slice that a scan's body sees of a value."""
        del scan
        return value

    def delayed(self, scan: Op, value: V) -> V:
        """Return what the body gave for a carry, seen one position later."""
        del scan
        return value

    def stacked(self, scan: Op, value: V) -> V:
        """Return the stack over all positions of what the body gave."""
        del scan
        return value

    def last(self, scan: Op, value: V) -> V:
        """Return what the body gave for a carry at the last position."""
        del scan
        return value

    def tie(self, scan: Op, start: Sequence[V]) -> list[V] | None:
        """Return carries that stand for every position at once, or None to iterate the body until it settles."""
        del scan, start
        return None

    def tied(self, scan: Op, knots: Sequence[V], given: Sequence[V]) -> None:
        """Take note of what the body gave for carries that `tie` returned."""

    def widened(self, value: V) -> V:
        """Return a value above all that this one could still grow into."""
        return value
