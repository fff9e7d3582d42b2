"""The equations of an H/L kernel for people: as lines of a terminal, or as LaTeX."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from hrmsearch.algebra import library
from hrmsearch.algebra.bounds import jury
from hrmsearch.algebra.closed import closed_cycle, letters
from hrmsearch.algebra.ring import Complex
from hrmsearch.algebra.schedule import Schedule
from hrmsearch.algebra.stable import Rule, Weights, convex, formulas, rates


@dataclass(frozen=True, slots=True)
class Line:
    """left sign right, over sympy expressions; `sign` is `=`, `<-`, `<=` or `>`."""

    left: Any
    sign: str
    right: Any


@dataclass(frozen=True, slots=True)
class Section:
    """Lines under a sentence that says what they are."""

    title: str
    lines: Sequence[Line]


def equations(schedule: Schedule, rule: Rule, *, turning: bool, gated: bool) -> list[Section]:
    """Return the ticks, the collapsed token, the levels by their parameters and the bounds of a kernel.

    turning: channels are complex. gated: a token has a length Delta_t of its own.
    """
    learned = "tau (in tokens), k" + ", q, phi" * turning + "; Delta_t is the length of the token" * gated
    sections = [
        Section("a tick of each level, under an input x that is held", list(_ticks(schedule))),
        Section(_calendar(schedule), list(_token(schedule))),
        Section(f"levels by what they learn: {learned}", list(_levels(schedule, rule, turning, gated))),
        Section("rows of sizes sum to at most 1 for all parameters, so those of every product do", list(_bounds())),
    ]
    if turning:
        return sections
    return [*sections, Section("a cycle's eigenvalues lie in the unit disc just where (Jury)", list(_jury(schedule)))]


def text(sections: Sequence[Section]) -> str:
    """Return sections for a terminal."""
    blocks = (f"{section.title}\n\n{''.join(map(_pretty, section.lines))}\n" for section in sections)
    return re.sub(r"\n{3,}", "\n\n", "".join(blocks))


def latex(sections: Sequence[Section]) -> str:
    """Return sections as LaTeX, each an `align*` below its sentence."""
    sympy = library.sympy()

    signs = {"=": "=", "<-": r"\leftarrow", "<=": r"\le", ">": ">"}

    def body(section: Section) -> str:
        lines = [f"  {sympy.latex(one.left)} &{signs[one.sign]} {sympy.latex(one.right)}" for one in section.lines]
        title, rows = section.title.replace("_", r"\_"), " \\\\\n".join(lines)
        return f"{title}\n\\begin{{align*}}\n{rows}\n\\end{{align*}}\n"

    return "\n".join(map(body, sections))


def _pretty(line: Line) -> str:
    """Return a line, or the several that sympy needs for fractions and matrices, with room around them."""
    sympy = library.sympy()

    relations = {"=": sympy.Eq, "<=": sympy.Le, ">": sympy.Gt}
    if line.sign == "<-":
        return f"  {sympy.pretty(line.left)} <- {sympy.pretty(line.right, wrap_line=False)}\n"
    relation = relations[line.sign](line.left, line.right, evaluate=False)
    lines = sympy.pretty(relation, wrap_line=False).splitlines()
    room = "\n" if len(lines) > 1 else ""
    return room + "".join(f"  {one.rstrip()}\n" for one in lines) + room


def _calendar(schedule: Schedule) -> str:
    """Return how ticks make a cycle and cycles a token."""
    reads = "new" if schedule.order == "sequential" else "old"
    ticks = "1 tick" if schedule.period == 1 else f"{schedule.period} ticks"
    cycles = "one cycle" if schedule.cycles == 1 else f"{schedule.cycles} cycles"
    return f"a cycle is {ticks} of L and one of H, which reads the {reads} z_L; a token is {cycles}; z = (z_H, z_L)"


def _ticks(schedule: Schedule) -> Iterator[Line]:
    sympy = library.sympy()

    x, z_high, z_low = (sympy.Symbol(name) for name in ("x", "z_H", "z_L"))
    low, high = letters()
    for affine, row, z in ((schedule.low_tick(low), 1, z_low), (schedule.high_tick(high), 0, z_high)):
        first, second = affine.matrix[row]
        yield Line(z, "<-", first * z_high + second * z_low + affine.vector[row] * x)


def _token(schedule: Schedule) -> Iterator[Line]:
    sympy = library.sympy()

    closed, n = closed_cycle(schedule, *letters()), schedule.cycles
    a, b, z, x = (sympy.Symbol(name, commutative=False) for name in "ABzx")
    cycle, drive = (a, b) if n == 1 else (sympy.Symbol(f"{name}_1", commutative=False) for name in "AB")
    yield Line(z, "<-", a * z + b * x)
    if n > 1:
        yield Line(a, "=", cycle**n)
        yield Line(b, "=", sum(cycle**i for i in range(n)) * drive if n < 4 else _series(cycle, n) * drive)
    yield Line(cycle, "=", sympy.Matrix(closed.affine.matrix))
    yield Line(drive, "=", sympy.Matrix(closed.affine.vector))
    yield from (Line(name, "=", value) for name, value in closed.where.items())


def _series(a: Any, n: int) -> Any:
    """Return 1 + a + ... + a^(n-1), written with a sum sign."""
    sympy = library.sympy()

    i = sympy.Symbol("i")
    return sympy.Sum(a**i, (i, 0, n - 1))


def _levels(schedule: Schedule, rule: Rule, turning: bool, gated: bool) -> Iterator[Line]:
    sympy = library.sympy()

    maths = formulas()
    low, high = (sympy.log(sympy.Symbol(f"tau_{name}", positive=True)) for name in "LH")
    step = sympy.Symbol("Delta_t", positive=True) if gated else None
    found = rates(schedule, low, high, maths, step)
    for name, letter, rate in zip("LH", letters(), found, strict=True):
        r = sympy.Symbol(f"r_{name}", positive=True)
        k, *more = (sympy.Symbol(f"{part}_{name}", real=True) for part in ("k", "q", "phi"))
        level = convex(Weights(low, k, *(more if turning else ())), r, maths, rule)
        share = 1 - sympy.Abs(letter.keep)
        yield Line(r, "=", rate)
        yield Line(letter.keep, "=", _polar(level.keep))
        yield Line(letter.read, "=", share * _polar(level.read) / _polar(level.gain))
        if name in schedule.inject:
            yield Line(letter.gain, "=", share)


def _polar(entry: Any) -> Any:
    """Return an entry as one expression; r cos(w) + i r sin(w) as r e^(iw)."""
    sympy = library.sympy()

    if not isinstance(entry, Complex):
        return entry
    number = cast("Complex[Any]", entry)
    real: Any = number.re
    if number.im == 0:
        return real
    (cosine,) = real.atoms(sympy.cos)
    return real / cosine * sympy.exp(sympy.I * cosine.args[0])


def _bounds() -> Iterator[Line]:
    sympy = library.sympy()

    for level in letters():
        yield Line(sympy.Abs(level.keep) + sympy.Abs(level.read), "<=", sympy.Integer(1))


def _jury(schedule: Schedule) -> Iterator[Line]:
    sympy = library.sympy()

    for margin in jury(closed_cycle(schedule, *letters()).affine.matrix):
        yield Line(sympy.expand(margin), ">", sympy.Integer(0))
