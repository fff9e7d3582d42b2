"""The schedule of an H/L kernel: what one token does to a channel's state, as one affine map.

A tick of L is z_L <- a_L z_L + d z_H + c_L x, a tick of H is z_H <- a_H z_H + b z_L + c_H x; without injection a
level's c is 0. A cycle is P ticks of L, the last of them with a tick of H, and a token is N_c cycles under one held x.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Generic, Literal

from hrmsearch.algebra.affine import Affine
from hrmsearch.algebra.ring import R

Name = Literal["L", "H"]


@dataclass(frozen=True)
class Level(Generic[R]):
    """What a level does at its tick: z <- keep z + read (the other z) + gain x."""

    keep: R | int
    read: R | int
    gain: R | int


@dataclass(frozen=True, slots=True)
class Schedule:
    """When levels tick, and which of them see the input.

    period: P. cycles: N_c. order: in the tick of both levels, H reads the new z_L (`sequential`) or the old one
    (`simultaneous`). inject: the levels that see the input.
    """

    period: int
    cycles: int = 1
    order: Literal["sequential", "simultaneous"] = "sequential"
    inject: Collection[Name] = ("L",)

    @property
    def ticks(self) -> int:
        """Ticks of L in a token, N_c P."""
        return self.cycles * self.period

    def low_tick(self, low: Level[R]) -> Affine[R]:
        """Return a tick of L alone."""
        return Affine(((1, 0), (low.read, low.keep)), (0, low.gain if "L" in self.inject else 0))

    def high_tick(self, high: Level[R]) -> Affine[R]:
        """Return a tick of H alone."""
        return Affine(((high.keep, high.read), (0, 1)), (high.gain if "H" in self.inject else 0, 0))

    def cycle(self, low: Level[R], high: Level[R]) -> Affine[R]:
        """Return the map of P ticks of L and one of H."""
        slow, fast = self.high_tick(high), self.low_tick(low)
        if self.order == "sequential":
            return slow @ fast**self.period
        both = Affine((slow.matrix[0], fast.matrix[1]), (slow.vector[0], fast.vector[1]))
        return both @ fast ** (self.period - 1)

    def token(self, low: Level[R], high: Level[R]) -> Affine[R]:
        """Return the map of a token, the cycle applied N_c times."""
        return self.cycle(low, high) ** self.cycles
