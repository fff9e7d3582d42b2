"""Scalars: anything with `+` and `*`, zeros and ones that cost nothing, and complex numbers over real scalars.

A ring's elements may be sympy expressions, numbers, NumPy arrays (an entry per channel) or IR values under
construction. The Python integers 0 and 1 stand for the ring's own and are never added or multiplied with, so that a
composed map is as sparse as its parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast


class Scalar(Protocol):
    """What is asked of an element."""

    def __add__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...
    def __mul__(self, other: Any, /) -> Any: ...
    def __neg__(self) -> Any: ...


R = TypeVar("R", bound=Scalar)


def plus(p: R | int, q: R | int) -> R | int:
    """Return p + q."""
    if _is(p, 0) or _is(q, 0):
        return q if _is(p, 0) else p
    return cast("Any", p) + q


def minus(p: R | int, q: R | int) -> R | int:
    """Return p - q."""
    if _is(q, 0):
        return p
    return -q if _is(p, 0) else cast("Any", p) - q


def times(p: R | int, q: R | int) -> R | int:
    """Return p q."""
    if _is(p, 0) or _is(q, 0):
        return 0
    if _is(p, 1) or _is(q, 1):
        return q if _is(p, 1) else p
    return cast("Any", p) * q


def _is(element: object, number: int) -> bool:
    return isinstance(element, int) and element == number


@dataclass(frozen=True)
class Complex(Generic[R]):
    """A complex number over a real ring; an array of them is two arrays, which is how they enter the IR."""

    re: R | int
    im: R | int

    def __add__(self, other: "Complex[R]") -> "Complex[R]":
        return Complex(plus(self.re, other.re), plus(self.im, other.im))

    def __sub__(self, other: "Complex[R]") -> "Complex[R]":
        return Complex(minus(self.re, other.re), minus(self.im, other.im))

    def __neg__(self) -> "Complex[R]":
        return Complex(minus(0, self.re), minus(0, self.im))

    def __mul__(self, other: "Complex[R]") -> "Complex[R]":
        re = minus(times(self.re, other.re), times(self.im, other.im))
        return Complex(re, plus(times(self.re, other.im), times(self.im, other.re)))


def real_parts(vector: Sequence[Any]) -> list[Any]:
    """Return a complex vector as its real parts, then its imaginary ones; a real one as it is."""
    if not any(isinstance(entry, Complex) for entry in vector):
        return list(vector)
    return [*(_re(entry) for entry in vector), *(_im(entry) for entry in vector)]


def real_block(matrix: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return a complex matrix X + iY as the real one [[X, -Y], [Y, X]], which acts on `real_parts`."""
    if not any(isinstance(entry, Complex) for row in matrix for entry in row):
        return [list(row) for row in matrix]
    re = [[_re(entry) for entry in row] for row in matrix]
    im = [[_im(entry) for entry in row] for row in matrix]
    upper = [[*x, *(minus(0, entry) for entry in y)] for x, y in zip(re, im, strict=True)]
    return [*upper, *([*y, *x] for x, y in zip(re, im, strict=True))]


def _re(entry: Any) -> Any:
    return cast("Complex[Any]", entry).re if isinstance(entry, Complex) else entry


def _im(entry: Any) -> Any:
    return cast("Complex[Any]", entry).im if isinstance(entry, Complex) else 0
