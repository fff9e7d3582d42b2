"""Bounds of matrices of terms: how much a transition may enlarge a state, whatever its parameters become.

The size of a term is bounded by a polynomial over sizes of other terms, by |x y| = |x| |y| and |x + y| <= |x| + |y|.
A difference of one sign, as 1 - a for a in [0, 1], is its own size, so that a + (1 - a) b with |b| <= 1 is at most 1
although a is unknown: sums cancel exactly. The largest sum over a row, or a column, is a norm. Norms multiply, so what
is at most 1 at every step is at most 1 over all steps, also where the steps differ.

A real matrix [[X, -Y], [Y, X]] is the complex one X + iY. Sizes of complex entries are followed through products and
sums of (real, imaginary) pairs down to r cos(w), r sin(w), and to quotients that `quotients` bounds.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import product

from hrmsearch.analyses.polynomials import Poly
from hrmsearch.analyses.quotients import within
from hrmsearch.analyses.terms import Term, Terms

Matrix = Sequence[Sequence[Term]]
# a factor of more terms, constants aside, or of finer coefficients is given a name
_LONGEST, _MOST_BITS = 8, 256
_POLYNOMIAL = frozenset({"add", "sub", "mul", "neg", "abs"})


def bound(matrices: Sequence[Matrix]) -> float:
    """Return how many times larger any of the matrices may make a state, in one norm for all of them.

    The least over a few norms, or the first that is at most 1, which is all that stability asks.
    """
    cases = [case for rows in matrices for case in _cases(rows)]
    least = math.inf
    for transposed, complex_ in product((False, True), (False, True)):
        least = min(least, max(_norm(case, transposed, complex_) for case in cases))
        if least <= 1.0:
            break
    return least


def entries(terms: Terms, term: Term, mix: Sequence[str] | None, width: int) -> Matrix:
    """Return a transition as a matrix, 1 by 1 where it is elementwise."""
    if mix is None:
        return [[term]]
    rows = [terms.at(term, mix[0], i) for i in range(width)]
    return [[terms.at(row, mix[1], j) for j in range(width)] for row in rows]


def _cases(rows: Matrix) -> Iterator[Matrix]:
    """Yield the matrices that its choices on the same condition leave."""
    condition = next((entry.args[0] for row in rows for entry in row if entry.kind == "where"), None)
    if condition is None:
        yield rows
        return
    for branch in (1, 2):
        chosen = [[e.args[branch] if e.kind == "where" and e.args[0] is condition else e for e in row] for row in rows]
        yield from _cases(chosen)


def _norm(rows: Matrix, transposed: bool, complex_: bool) -> float:
    """Return a bound of the largest sum of sizes over a row or a column, of the real matrix or the complex one."""
    rows = list(zip(*rows, strict=True)) if transposed else rows
    pairs = _complex(rows) if complex_ else [[(entry,) for entry in row] for row in rows]
    if pairs is None:
        return math.inf
    ways = (Sizes(rows, at_least) for at_least in (1.0, 0.0))
    return min(max(sizes.total([sizes.of(*entry) for entry in row]) for row in pairs) for sizes in ways)


def _complex(rows: Matrix) -> list[list[tuple[Term, Term]]] | None:
    """Return the complex matrix that a real one stands for, as pairs, if it has the form [[X, -Y], [Y, X]]."""
    n, odd = divmod(len(rows), 2)
    pairs = [[(rows[i][j], rows[i + n][j]) for j in range(n)] for i in range(n)]
    found = all(
        rows[i + n][j + n] is re and (_negates(rows[i][j + n], im) or _negates(im, rows[i][j + n]))
        for i, row in enumerate(pairs)
        for j, (re, im) in enumerate(row)
    )
    return pairs if found and not odd else None


def _negates(x: Term, y: Term) -> bool:
    if x.kind == "number":
        return y.kind == "number" and x.range.low == -y.range.low
    return x.kind == "neg" and x.args[0] is y


def _below(rows: Matrix) -> Iterator[Term]:
    """Yield the terms that entries are sums and products of."""
    stack, seen = [entry for row in rows for entry in row], set[Term]()
    while stack:
        term = stack.pop()
        if term in seen:
            continue
        seen.add(term)
        yield term
        if term.kind in _POLYNOMIAL:
            stack.extend(term.args)


class Sizes:
    """Bounds of sizes as polynomials over the sizes that some difference is taken of; other sizes are numbers.

    at_least: what numbers below 1 are raised to. With b < 1, a + (1 - a) b has no simpler bound than itself; with 1 it
    has.
    """

    def __init__(self, rows: Matrix, at_least: float = 0.0) -> None:
        self.at_least = at_least
        self.highs: list[float] = []
        self._indices: dict[Term, int] = {}
        self._sizes: dict[Term, Poly] = {}
        self._moduli: dict[tuple[Term, Term], Poly] = {}
        self._shortened: dict[Poly, Poly] = {}
        differences = filter(None, map(self._difference, _below(rows)))
        self._kept = {index for poly in differences for index in poly.unknowns}

    def total(self, sizes: Sequence[Poly]) -> float:
        """Return a bound of a sum."""
        return sum(sizes, Poly({})).most(self.highs)

    def of(self, re: Term, im: Term | None = None) -> Poly:
        """Return a bound of the size of an entry, real or complex."""
        return self.size(re) if im is None else self.modulus(re, im)

    def size(self, term: Term) -> Poly:
        """Return a bound of the size of a term."""
        if term not in self._sizes:
            self._sizes[term] = self._size(term)
        return self._sizes[term]

    def modulus(self, re: Term, im: Term) -> Poly:
        """Return a bound of the size of re + i im."""
        if (re, im) not in self._moduli:
            self._moduli[re, im] = self._modulus(re, im)
        return self._moduli[re, im]

    def _size(self, term: Term) -> Poly:
        match term.kind, term.args:
            case "number", _:
                return self._number(term.range.size)
            case (("neg" | "abs"), (x,)):
                return self.size(x)
            case "mul", (x, y):
                return self._times(self.size(x), self.size(y))
            case (("add" | "sub"), (x, y)):
                return self._difference(term) or self.size(x) + self.size(y)
            case _:
                known = self._index(term) not in self._kept and math.isfinite(term.range.size)
                return self._number(term.range.size) if known else Poly.unknown(self._index(term))

    def _modulus(self, re: Term, im: Term) -> Poly:
        if (factors := _as_product(re, im)) is not None:
            return self._times(self.modulus(*factors[0]), self.modulus(*factors[1]))
        match (re.kind, re.args), (im.kind, im.args):
            case ("neg", (x,)), ("neg", (y,)):
                return self.modulus(x, y)
            case (("cos", (x,)), ("sin", (y,))) | (("sin", (x,)), ("cos", (y,))) if x is y:
                return Poly.number(1.0)
            case ("div", (x, d)), ("div", (y, e)) if d is e and within(x, y, d):
                return Poly.number(1.0)
            case ("mul", (x, y)), ("mul", (u, v)) if shared := _shared((x, y), (u, v)):
                factor, first, second = shared
                return self._times(self.size(factor), self.modulus(first, second))
            case (("add" | "sub"), (x, y)), (("add" | "sub"), (u, v)):
                return self.modulus(x, u) + self.modulus(y, v)
            case _:
                return self.size(re) + self.size(im)

    def _number(self, value: float) -> Poly:
        return Poly.number(max(value, self.at_least) if value else 0.0)

    def _index(self, term: Term) -> int:
        """Return the unknown that stands for the size of a term."""
        if term not in self._indices:
            self._indices[term] = self._new(term.range.size)
        return self._indices[term]

    def _new(self, high: float) -> int:
        self.highs.append(high)
        return len(self.highs) - 1

    def _difference(self, term: Term) -> Poly | None:
        """Return the size of a difference of one sign, over the sizes of what it is a difference of."""
        if term.kind not in ("add", "sub") or term.range.low < 0.0 < term.range.high:
            return None
        lows, highs = zip(*((arg.range.low, arg.range.high) for arg in term.args), strict=True)
        alike = min(lows) >= 0.0 or max(highs) <= 0.0
        if alike == (term.kind == "add"):
            return None
        value = self._value(term)
        return value if value is None or term.range.low >= 0.0 else -value

    def _value(self, term: Term) -> Poly | None:
        """Return a term itself, not its size, over sizes; None where its sign is unknown."""
        match term.kind, term.args:
            case "number", _:
                return Poly.number(term.range.low)
            case "abs", (x,):
                return Poly.unknown(self._index(x))
            case "neg", (x,):
                value = self._value(x)
                return None if value is None else -value
            case (("add" | "sub" | "mul"), (x, y)):
                first, second = self._value(x), self._value(y)
                if first is None or second is None:
                    return None
                return {"add": first + second, "sub": first - second}.get(term.kind) or first * second
            case _ if term.range.low >= 0.0:
                return Poly.unknown(self._index(term))
            case _:
                return -Poly.unknown(self._index(term)) if term.range.high <= 0.0 else None

    def _times(self, first: Poly, second: Poly) -> Poly:
        """Return a product of sizes; long ones become unknowns first, or they would double with every square."""
        return self._short(first) * self._short(second)

    def _short(self, size: Poly) -> Poly:
        """Return a size as it is, or as one unknown, or as the rest of one to 1, as in rows that sum to 1."""
        precise = max((c.denominator.bit_length() for c in size.terms.values()), default=0)
        if sum(map(bool, size.terms)) <= _LONGEST and precise <= _MOST_BITS:
            return size
        if size not in self._shortened:
            one, short = Poly.number(1.0), Poly.unknown(self._new(size.most(self.highs)))
            self._shortened |= {size: short, one - size: one - short}
        return self._shortened[size]


def _as_product(re: Term, im: Term) -> tuple[tuple[Term, Term], tuple[Term, Term]] | None:
    """Return the pairs (a, b) and (c, d) of (a + ib)(c + id), if re = a c - b d and im = a d + b c."""
    if re.kind != "sub" or im.kind != "add" or {arg.kind for arg in (*re.args, *im.args)} != {"mul"}:
        return None
    (a, c), (b, d) = (arg.args for arg in re.args)
    return ((a, b), (c, d)) if im.args[0].args == (a, d) and im.args[1].args == (b, c) else None


def _shared(first: tuple[Term, Term], second: tuple[Term, Term]) -> tuple[Term, Term, Term] | None:
    """Return a factor that two products have in common, and what is left of each."""
    for x, rest in (first, first[::-1]):
        for y, other in (second, second[::-1]):
            if x is y:
                return x, rest, other
    return None
