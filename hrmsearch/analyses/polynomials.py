"""Polynomials over unknowns that are at least 0: what sizes are bounded by."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

Monomial = tuple[tuple[int, int], ...]  # (unknown, exponent), by unknown


class Poly:
    """A polynomial with exact coefficients; unknowns are numbers from 0."""

    __slots__ = ("terms",)

    def __init__(self, terms: Mapping[Monomial, Fraction]) -> None:
        self.terms = {monomial: c for monomial, c in terms.items() if c}

    @classmethod
    def number(cls, value: float) -> "Poly":
        """Return a constant."""
        return cls({(): Fraction(value)})

    @classmethod
    def unknown(cls, index: int) -> "Poly":
        """Return an unknown."""
        return cls({((index, 1),): Fraction(1)})

    def __add__(self, other: "Poly") -> "Poly":
        total = dict(self.terms)
        for monomial, c in other.terms.items():
            total[monomial] = total.get(monomial, Fraction(0)) + c
        return Poly(total)

    def __neg__(self) -> "Poly":
        return Poly({monomial: -c for monomial, c in self.terms.items()})

    def __sub__(self, other: "Poly") -> "Poly":
        return self + -other

    def __mul__(self, other: "Poly") -> "Poly":
        total: dict[Monomial, Fraction] = {}
        for first, c in self.terms.items():
            for second, d in other.terms.items():
                monomial = _times(first, second)
                total[monomial] = total.get(monomial, Fraction(0)) + c * d
        return Poly(total)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Poly) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(frozenset(self.terms.items()))

    @property
    def unknowns(self) -> set[int]:
        """The unknowns that occur."""
        return {index for monomial in self.terms for index, _ in monomial}

    def most(self, highs: Sequence[float]) -> float:
        """Return a bound from above, each unknown lying between 0 and its entry of `highs`."""
        return sum(_most(monomial, c, highs) for monomial, c in self.terms.items() if c > 0 or not monomial)


def _times(first: Monomial, second: Monomial) -> Monomial:
    powers = dict(first)
    for unknown, power in second:
        powers[unknown] = powers.get(unknown, 0) + power
    return tuple(sorted(powers.items()))


def _most(monomial: Monomial, c: Fraction, highs: Sequence[float]) -> float:
    sizes = [_power(highs[index], power) for index, power in monomial]
    return 0.0 if 0.0 in sizes else _float(c) * math.prod(sizes)


def _power(x: float, n: int) -> float:
    return x**n if x <= 1.0 or n * math.log2(x) < 1000.0 else math.inf


def _float(c: Fraction) -> float:
    return float(c) if abs(c) < 1e300 else math.inf
