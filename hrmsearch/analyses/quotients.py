"""Quotients of polynomials that are bounded though neither part is: (1 + z) / (1 - z) for Re z <= 0, and their like."""

from hrmsearch.analyses.polynomials import Poly
from hrmsearch.analyses.terms import Term

# a polynomial of more terms is not worth the time
_LONGEST = 256


def within(x: Term, y: Term, d: Term) -> bool:
    """Return whether x^2 + y^2 <= d^2 whatever the terms that the three are polynomials of may be.

    It is if d^2 - x^2 - y^2, multiplied out, adds up what cannot be negative: each coefficient is positive, and each
    unknown of unknown sign has even powers.
    """
    unknowns: dict[Term, int] = {}
    first, second, whole = (_expanded(term, unknowns) for term in (x, y, d))
    if first is None or second is None or whole is None:
        return False
    rest = whole * whole - first * first - second * second
    signed = {index for term, index in unknowns.items() if term.range.low < 0.0}
    return all(
        c > 0 and all(power % 2 == 0 for index, power in monomial if index in signed)
        for monomial, c in rest.terms.items()
    )


def _expanded(term: Term, unknowns: dict[Term, int]) -> Poly | None:
    """Return a term multiplied out, over the terms that are neither sums nor products; None where that is long."""
    match term.kind, term.args:
        case "number", _:
            return Poly.number(term.range.low)
        case (("add" | "sub" | "mul" | "neg"), args):
            parts = [_expanded(arg, unknowns) for arg in args]
            known = [part for part in parts if part is not None]
            if len(known) < len(parts):
                return None
            found = _combined(term.kind, known)
            return found if len(found.terms) <= _LONGEST else None
        case _:
            return Poly.unknown(unknowns.setdefault(term, len(unknowns)))


def _combined(kind: str, parts: list[Poly]) -> Poly:
    if kind == "neg":
        return -parts[0]
    first, second = parts
    return {"add": first.__add__, "sub": first.__sub__, "mul": first.__mul__}[kind](second)
