"""Types of IR values: a dtype and named axes, `compute[B, T, D:64]`.

An axis has a name, which says its role, and a size. Widths are integers; B, T and chunk counts stay symbolic. A size is
affine in its symbols, and a symbol is a name or a quotient rounded up: `T`, `T+2`, `16*ceil(T/16)`, `ceil((T+2)/16)`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

from hrmsearch.errors import GraphError


class Lifetime(IntEnum):
    """The boundary that restores a state leaf; a row's `reset` restores every leaf it reaches.

    A leaf of `SAMPLE` is no boundary's: the nest keeps it for each training window and hands it back when that returns.
    """

    NONE = 0
    PASS = 1
    WINDOW = 2
    STREAM = 3
    SAMPLE = 4

    @classmethod
    def of(cls, name: str) -> "Lifetime":
        """Return the lifetime that a spec calls `name`."""
        if name.upper() not in cls.__members__:
            raise GraphError(f"unknown lifetime {name!r}; one of: {', '.join(cls.__members__).lower()}")
        return cls[name.upper()]


class DType(StrEnum):
    """Number formats: `compute` is the run's precision, `wide` is at least float32."""

    COMPUTE = "compute"
    WIDE = "wide"
    I32 = "i32"
    I8 = "i8"
    BOOL = "bool"

    @property
    def is_float(self) -> bool:
        """Whether values of this format are real numbers."""
        return self in (DType.COMPUTE, DType.WIDE)


_QUOTIENT = r"ceil\((?:\w+|\(\w+\+\d+\))/\d+\)"
_TERM = re.compile(rf"([+-]?)(?:(?:(\d+)\*)?({_QUOTIENT}|[A-Za-z]\w*)|(\d+))(?![\w*/(])")
_CEIL = re.compile(r"ceil\(\(?([^/)]+)\)?/(\d+)\)")


@dataclass(frozen=True, slots=True)
class Size:
    """A size that is affine in its symbols: `constant + sum of coefficient * symbol`."""

    constant: int = 0
    terms: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, value: "int | str | Size") -> "Size":
        """Return the size written as an integer or as text such as `T+2`."""
        if isinstance(value, Size):
            return value
        if isinstance(value, int):
            return cls(value)
        total, at = cls(), 0
        while at < len(value) or not value:
            match = _TERM.match(value, at)
            if match is None or (at > 0 and not match[1]):
                raise GraphError(f"cannot read the size {value!r}")
            sign, coefficient, symbol, number = match.groups()
            term = cls(int(number)) if number else cls(0, ((symbol, int(coefficient or 1)),))
            total, at = total + term * (-1 if sign == "-" else 1), match.end()
        return total

    def __add__(self, other: "int | Size") -> "Size":
        other = Size.of(other)
        terms = dict(self.terms)
        for symbol, coefficient in other.terms:
            terms[symbol] = terms.get(symbol, 0) + coefficient
        kept = tuple(sorted((symbol, c) for symbol, c in terms.items() if c))
        return Size(self.constant + other.constant, kept)

    def __sub__(self, other: "int | Size") -> "Size":
        return self + Size.of(other) * -1

    def __mul__(self, factor: int) -> "Size":
        return Size(self.constant * factor, tuple((s, c * factor) for s, c in self.terms if factor))

    @property
    def known(self) -> int | None:
        """The integer this size is, or None while it holds symbols."""
        return None if self.terms else self.constant

    @property
    def symbols(self) -> frozenset[str]:
        """The base symbols this size depends on: `T` for `ceil(T/16)`."""
        found: set[str] = set()
        for symbol, _ in self.terms:
            parts = quotient(symbol)
            found |= parts[0].symbols if parts else {symbol}
        return frozenset(found)

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        """Return the integer for given base symbols, such as `{"B": 2, "T": 64}`."""
        return self.constant + sum(c * _evaluate(symbol, sizes) for symbol, c in self.terms)

    def symbolic(self) -> Any:
        """Return the size as a sympy expression over positive integer symbols."""
        import sympy

        total: Any = sympy.Integer(self.constant)
        for name, coefficient in self.terms:
            parts = quotient(name)
            symbol = sympy.Symbol(name, positive=True, integer=True)
            total += coefficient * (sympy.ceiling(parts[0].symbolic() / parts[1]) if parts else symbol)
        return total

    def __str__(self) -> str:
        parts = [name if c == 1 else f"-{name}" if c == -1 else f"{c}*{name}" for name, c in self.terms]
        if self.constant or not parts:
            parts.append(str(self.constant))
        return "+".join(parts).replace("+-", "-")


def _evaluate(symbol: str, sizes: Mapping[str, int]) -> int:
    parts = quotient(symbol)
    return sizes[symbol] if parts is None else -(-parts[0].evaluate(sizes) // parts[1])


def quotient(symbol: str) -> tuple[Size, int] | None:
    """Return what a symbol such as `ceil(T/16)` divides by what; None for one that is a name."""
    match = _CEIL.fullmatch(symbol)
    return None if match is None else (Size.of(match[1]), int(match[2]))


def ceil_div(size: Size, by: int) -> Size:
    """Return `ceil(size / by)`; the size is an integer or a name, with or without a number added."""
    if size.known is not None:
        return Size(-(-size.known // by))
    if size.constant < 0 or len(size.terms) != 1 or size.terms[0][1] != 1 or quotient(size.terms[0][0]):
        raise GraphError(f"cannot divide the size {size} into chunks")
    return Size(0, ((f"ceil(({size})/{by})" if size.constant else f"ceil({size}/{by})", 1),))


@dataclass(frozen=True, slots=True)
class Axis:
    """A named axis; the name says its role (DESIGN's letters), the size how long it is."""

    name: str
    size: Size

    def __str__(self) -> str:
        return self.name if str(self.size) == self.name else f"{self.name}:{self.size}"


@dataclass(frozen=True, slots=True)
class Type:
    """A dtype and named axes; no name occurs twice."""

    dtype: DType
    axes: tuple[Axis, ...] = ()
    #: axis names, outermost first; kept, because analyses ask for them at every step
    names: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(axis.name for axis in self.axes))
        if len(set(self.names)) != len(self.axes):
            raise GraphError(f"an axis name occurs twice in {self}")

    @classmethod
    def parse(cls, text: str) -> "Type":
        """Return the type written as `compute[B, T, D:64]`."""
        match = re.fullmatch(r"\s*(\w+)\[(.*)\]\s*", text)
        if match is None:
            raise GraphError(f"cannot read the type {text!r}")
        axes = [part.strip() for part in match[2].split(",") if part.strip()]
        return cls(DType(match[1]), tuple(_parse_axis(axis) for axis in axes))

    @property
    def sizes(self) -> tuple[Size, ...]:
        """Axis sizes, outermost first."""
        return tuple(axis.size for axis in self.axes)

    def index(self, name: str) -> int:
        """Return the position of an axis."""
        if name not in self.names:
            raise GraphError(f"{self} has no axis {name}")
        return self.names.index(name)

    def size(self, name: str) -> Size:
        """Return the size of an axis."""
        return self.axes[self.index(name)].size

    def width(self, name: str) -> int:
        """Return the size of an axis that must be an integer."""
        known = self.size(name).known
        if known is None:
            raise GraphError(f"axis {name} of {self} has no fixed size")
        return known

    def with_axes(self, axes: Sequence[Axis]) -> "Type":
        """Return the type with other axes."""
        return Type(self.dtype, tuple(axes))

    def with_dtype(self, dtype: DType) -> "Type":
        """Return the type with another dtype."""
        return Type(dtype, self.axes)

    def without(self, *names: str) -> "Type":
        """Return the type without the named axes."""
        for name in names:
            self.index(name)
        return self.with_axes([axis for axis in self.axes if axis.name not in names])

    def insert(self, position: int, axis: Axis) -> "Type":
        """Return the type with one more axis at a position."""
        return self.with_axes([*self.axes[:position], axis, *self.axes[position:]])

    def replace(self, name: str, *new: Axis) -> "Type":
        """Return the type with one axis replaced by others."""
        at = self.index(name)
        return self.with_axes([*self.axes[:at], *new, *self.axes[at + 1 :]])

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Return the concrete shape for given symbols."""
        return tuple(size.evaluate(sizes) for size in self.sizes)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.axes))}]"


def axis(name: str, size: "int | str | Size | None" = None) -> Axis:
    """Return an axis; a missing size is the symbol of the axis's own name."""
    return Axis(name, Size.of(name if size is None else size))


def _parse_axis(text: str) -> Axis:
    name, _, size = text.partition(":")
    return axis(name, int(size) if size.isdigit() else size or None)


def broadcast(types: Sequence[Type]) -> tuple[Axis, ...]:
    """Return the axes of an elementwise result: the longest operand's, which holds the others' in its order."""
    longest = max(types, key=lambda type_: len(type_.axes))
    for type_ in types:
        rest = iter(longest.axes)
        if not all(axis in rest for axis in type_.axes):
            raise GraphError(f"{type_} does not broadcast to {longest}: its axes must occur there in order")
    return longest.axes
