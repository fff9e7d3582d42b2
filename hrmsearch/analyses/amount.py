"""Amounts of work: sums of products of sizes, evaluated for given symbols or handed to sympy.

A size that falls below zero counts as zero: `n-2` positions of a scan are none where n is 1.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hrmsearch.ir.types import Size


@dataclass(frozen=True, slots=True)
class Term:
    """A coefficient times a product of sizes, there only if every size in `when` is positive."""

    coefficient: int
    sizes: tuple[Size, ...] = ()
    when: tuple[Size, ...] = ()

    def at(self, symbols: Mapping[str, int]) -> int:
        """Return the number for given symbols."""
        if any(size.evaluate(symbols) <= 0 for size in self.when):
            return 0
        return self.coefficient * math.prod(max(size.evaluate(symbols), 0) for size in self.sizes)

    def symbolic(self) -> Any:
        """Return the term as a sympy expression."""
        import sympy

        least: Any = sympy.Max
        most: Any = sympy.Min
        lengths = [least(s.symbolic(), 0) if s.constant < 0 else s.symbolic() for s in self.sizes]
        return sympy.Mul(self.coefficient, *lengths, *(most(1, least(s.symbolic(), 0)) for s in self.when))


@dataclass(frozen=True, slots=True)
class Amount:
    """A sum of terms, such as 2 B T D F + 4 B A T T K; equal sums are equal."""

    terms: tuple[Term, ...] = ()

    @classmethod
    def of(cls, terms: Iterable[Term]) -> "Amount":
        """Return the sum of terms, like ones together."""
        total = Counter[tuple[tuple[Size, ...], tuple[Size, ...]]]()
        for term in terms:
            known = math.prod(max(size.known, 0) for size in term.sizes if size.known is not None)
            there = all(size.known > 0 for size in term.when if size.known is not None)
            symbolic, when = (
                tuple(sorted((size for size in sizes if size.known is None), key=str))
                for sizes in (term.sizes, set(term.when))
            )
            total[symbolic, when] += term.coefficient * known * there
        return cls(tuple(Term(n, *key) for key, n in sorted(total.items(), key=lambda item: str(item[0])) if n))

    def __add__(self, other: "Amount") -> "Amount":
        return Amount.of(self.terms + other.terms)

    def at(self, symbols: Mapping[str, int]) -> int:
        """Return the number for given symbols, such as `{"B": 16, "T": 64}`."""
        return sum(term.at(symbols) for term in self.terms)

    def symbolic(self) -> Any:
        """Return the sum as a sympy expression."""
        import sympy

        return sympy.Add(*(term.symbolic() for term in self.terms))
