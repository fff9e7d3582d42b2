"""What a recurrence is to a printer: operands and results in rows, steps and lanes, and one step over scalars.

Every element (row, step, lane) follows the same scalar program; only a carry connects a step with the one before. An
axis of small fixed size that a step mixes (the two levels of an H/L map) is unrolled: its positions are *parts*.
"""

import math
from dataclasses import dataclass
from enum import Enum

from hrmsearch.ir.graph import Region
from hrmsearch.ir.types import DType, Type


class Role(Enum):
    """How an operand or a result varies."""

    ALONG = "along"  # with the steps
    SHARED = "shared"  # with the lanes alone: a parameter, whose gradient is a sum over rows and steps
    ROW = "row"  # with rows and lanes: an initial or a final state


#: the position of an axis in a type, None where the type lacks it and is to be repeated
At = int | None


@dataclass(frozen=True, slots=True)
class Port:
    """An operand or a result: which of its type's axes are what, by position.

    A kernel reads rows, the scanned axis, then parts, lanes and more parts. lanes: empty for what is the same in all of
    them, which only what has no gradient may be. before and after: unrolled axes on either side of the lanes. fold: how
    many parts stand one after the other within the last lane axis, each as long as a head.
    """

    type: Type
    role: Role
    rows: tuple[At, ...]
    steps: tuple[At, ...]
    before: tuple[int, ...]
    lanes: tuple[At, ...]
    after: tuple[int, ...]
    fold: int = 1

    @property
    def order(self) -> tuple[At, ...]:
        """The positions of the axes in the order in which a kernel reads them."""
        return (*self.rows, *self.steps, *self.before, *self.lanes, *self.after)

    @property
    def inner(self) -> int:
        """How many parts stand side by side, and so how far apart lanes are."""
        return math.prod(self.type.sizes[at].known or 1 for at in self.after)

    @property
    def parts(self) -> int:
        """How many scalars of it a step sees."""
        return math.prod(self.type.sizes[at].known or 1 for at in self.before) * self.inner * self.fold

    @property
    def is_float(self) -> bool:
        """Whether it is a real number, else a truth value."""
        return self.type.dtype != DType.BOOL


@dataclass(frozen=True, slots=True)
class Part:
    """One scalar of a port: the port's position among operands or results, and the part's among its own."""

    port: int
    index: int


@dataclass(frozen=True, slots=True)
class Product:
    """What feeds a carry back to all lanes of its head: sum over k of carry[k] * matrix[k, part, lane].

    carry: its number. operand: the matrix's, whose port has the heads as lanes and two more axes: the head's lanes, and
    parts times the head's lanes. parts: how many scalars a step gets of it.
    """

    carry: int
    operand: int
    parts: int


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A function whose every element is a scalar recurrence.

    axis: the name of the axis it runs along. step: (carries, inputs, parts of products) -> (new carries, outputs) over
    values of rank 0. starts: where each carry begins, an operand's part or a number. inputs: the parts that a step
    reads. outputs: the parts that a step gives. lasts: the results' parts that are the last carries, with the number of
    the carry. products: where lanes meet; the last lane axis then is a head, and those before it count heads.
    """

    axis: str
    rows: tuple[str, ...]
    lanes: tuple[str, ...]
    operands: tuple[Port, ...]
    results: tuple[Port, ...]
    step: Region
    starts: tuple[Part | float, ...]
    inputs: tuple[Part, ...]
    outputs: tuple[Part, ...]
    lasts: tuple[tuple[Part, int], ...]
    products: tuple[Product, ...] = ()

    @property
    def carries(self) -> int:
        """How many scalars go from step to step."""
        return len(self.starts)
