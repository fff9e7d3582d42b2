"""A cycle in closed form, as sympy expressions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hrmsearch.algebra import library
from hrmsearch.algebra.affine import Affine
from hrmsearch.algebra.schedule import Level, Schedule


@dataclass(frozen=True, slots=True)
class Closed:
    """A cycle over symbols: those of the levels, and the powers and sums of a_L that `where` defines."""

    affine: Affine[Any]
    where: Mapping[Any, Any]

    def written_out(self) -> Affine[Any]:
        """Return the cycle over the symbols of the levels alone."""
        sympy = library.sympy()

        def out(entry: Any) -> Any:
            return sympy.sympify(entry).subs(dict(self.where))

        (p, q), (r, s) = self.affine.matrix
        return Affine(((out(p), out(q)), (out(r), out(s))), (out(self.affine.vector[0]), out(self.affine.vector[1])))


def letters() -> tuple[Level[Any], Level[Any]]:
    """Return L's symbols a_L, d, c_L and H's a_H, b, c_H; they may stand for complex numbers."""
    sympy = library.sympy()

    low, high = ([sympy.Symbol(name) for name in names] for names in (("a_L", "d", "c_L"), ("a_H", "b", "c_H")))
    return Level(*low), Level(*high)


def geometric(a: Any, n: Any) -> Any:
    """Return 1 + a + ... + a^(n-1) in closed form, which is n where a = 1."""
    sympy = library.sympy()

    return sympy.Piecewise((n, sympy.Eq(a, 1)), ((1 - a**n) / (1 - a), True))


def closed_cycle(schedule: Schedule, low: Level[Any], high: Level[Any], period: Any = None) -> Closed:
    """Return a cycle in closed form; `period` may be a symbol, by default it is the schedule's P.

    n ticks of L under a held z_H and x give z_L <- p z_L + g (d z_H + c_L x) with p = a_L^n, g = 1 + ... + a_L^(n-1).
    At the end n = P; H reads z_L at n = P (sequential) or, with primes, n = P - 1 (simultaneous).
    """
    sympy = library.sympy()

    period = schedule.period if period is None else period
    p, g = sympy.Symbol("p"), sympy.Symbol("g")
    where: dict[Any, Any] = {p: low.keep**period, g: geometric(low.keep, period)}
    seen_p, seen_g = p, g
    if schedule.order == "simultaneous":
        seen_p, seen_g = sympy.Symbol("p'"), sympy.Symbol("g'")
        where |= {seen_p: low.keep ** (period - 1), seen_g: geometric(low.keep, period - 1)}
    gain_low = low.gain if "L" in schedule.inject else 0
    gain_high = high.gain if "H" in schedule.inject else 0
    b, d = high.read, low.read
    matrix = ((high.keep + b * d * seen_g, b * seen_p), (d * g, p))
    return Closed(Affine(matrix, (b * gain_low * seen_g + gain_high, gain_low * g)), where)
