"""Affine maps of a channel's state (z_H, z_L): z <- A z + B x, composed exactly over any ring of scalars."""

from dataclasses import dataclass
from typing import Generic

from hrmsearch.algebra.ring import R, plus, times

Pair = tuple[R | int, R | int]


@dataclass(frozen=True)
class Affine(Generic[R]):
    """The map (z_H, z_L) <- matrix (z_H, z_L) + vector x, for an input x that is held while maps are composed."""

    matrix: tuple[Pair[R], Pair[R]]
    vector: Pair[R]

    def __matmul__(self, first: "Affine[R]") -> "Affine[R]":
        """Return the map that applies `first`, then this one."""
        top, bottom = (self._after(i, first) for i in (0, 1))
        return Affine((top[:2], bottom[:2]), (top[2], bottom[2]))

    def _after(self, row: int, first: "Affine[R]") -> tuple[R | int, R | int, R | int]:
        """Return a row of the composed matrix and its entry of the vector."""
        h, low = self.matrix[row]
        left, right = (plus(times(h, first.matrix[0][j]), times(low, first.matrix[1][j])) for j in (0, 1))
        moved = plus(times(h, first.vector[0]), times(low, first.vector[1]))
        return left, right, plus(moved, self.vector[row])

    def __pow__(self, n: int) -> "Affine[R]":
        """Return the map applied n times, n >= 0, in at most 2 log2(n) compositions."""
        result: Affine[R] = Affine(((1, 0), (0, 1)), (0, 0))
        power = self
        while n:
            if n & 1:
                result = power @ result
            n >>= 1
            power = power @ power if n else power
        return result
