"""What is known of an op kind, declared once: its attributes, types, axis flow, work and NumPy meaning."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hrmsearch.errors import GraphError
from hrmsearch.ir.graph import Function, Op, Value
from hrmsearch.ir.types import Size, Type

if TYPE_CHECKING:
    from hrmsearch.ir.builder import Builder

Array = NDArray[Any]


class How(Enum):
    """How positions along an operand's axis reach a result."""

    SAME = "same"  # result position p sees operand position p + by
    CAUSAL = "causal"  # result position p sees operand positions <= p
    MIXED = "mixed"  # every result position sees all of them
    SPLIT = "split"  # the axis becomes (major, minor)
    MERGE = "merge"  # the axis becomes part of one longer axis


@dataclass(frozen=True, slots=True)
class Flow:
    """Where one operand axis goes; the time and batch rules of the analyses both read it."""

    how: How
    to: tuple[str, ...] = ()
    by: int = 0


Flows = tuple[Mapping[str, Flow], ...]  # one mapping from axis name to flow per operand
MIXED = Flow(How.MIXED)


@dataclass(frozen=True, slots=True)
class Work:
    """An amount of work: a coefficient times a product of sizes."""

    coefficient: int
    sizes: tuple[Size, ...]

    def evaluate(self, symbols: Mapping[str, int]) -> int:
        """Return the amount for given symbols."""
        total = self.coefficient
        for size in self.sizes:
            total *= size.evaluate(symbols)
        return total

    def symbolic(self) -> Any:
        """Return the amount as a sympy expression."""
        import sympy

        return sympy.Mul(self.coefficient, *(size.symbolic() for size in self.sizes))


Functions = Mapping[str, Function]
TypeRule = Callable[[Op, Functions], Sequence[Type]]
FlowRule = Callable[[Op], Flows]
Meaning = Callable[[Op, Sequence[Array], Mapping[str, int]], Array]
Definition = Callable[["Builder", Op, Sequence[Value]], Value | tuple[Value, ...]]


def same_flow(op: Op) -> Flows:
    """Return the flow of an op whose operand axes all keep their position and name."""
    return tuple(_unmoved(value.type.names) for value in op.operands)


@cache
def _unmoved(names: tuple[str, ...]) -> Mapping[str, Flow]:
    return {name: Flow(How.SAME, (name,)) for name in names}


def no_work(op: Op) -> Sequence[Work]:
    """Return no work: leaves and layout move data at most."""
    del op
    return ()


def per_element(op: Op) -> Sequence[Work]:
    """Return one operation per element of the result."""
    return (Work(1, op.result.type.sizes),)


def per_input_element(op: Op) -> Sequence[Work]:
    """Return one operation per element of the first operand."""
    return (Work(1, op.operands[0].type.sizes),)


@dataclass(frozen=True, slots=True)
class Recurrence:
    """How an op goes on along an axis: `carries` maps the operands it starts from to the results it hands on.

    Cutting the axis anywhere and handing the carries on gives the uncut results.
    """

    axis: str
    carries: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class OpDef:
    """One row of the table.

    declared: the result type is stated where the op is built, not inferred. contraction and elementwise: the work of a
    forward evaluation (a multiply-add counts 2). numpy: the meaning of a primitive, in float64. define: the meaning of
    a composite, as primitives. differentiable: whether gradient crosses the op. recurs: what a composite carries along
    which axis, if it is a recurrence.
    """

    kind: str
    types: TypeRule
    flow: FlowRule = same_flow
    attrs: frozenset[str] = frozenset()
    contraction: Callable[[Op], Sequence[Work]] = no_work
    elementwise: Callable[[Op], Sequence[Work]] = no_work
    numpy: Meaning | None = None
    define: Definition | None = None
    declared: bool = False
    differentiable: bool = True
    recurs: Callable[[Op], Recurrence] | None = None


_TABLE: dict[str, OpDef] = {}


def declare(definition: OpDef) -> OpDef:
    """Add a row to the table."""
    assert definition.kind not in _TABLE, definition.kind
    _TABLE[definition.kind] = definition
    return definition


def lookup(kind: str) -> OpDef:
    """Return the row of an op kind."""
    if kind not in _TABLE:
        raise GraphError(f"unknown op {kind!r}; one of: {', '.join(sorted(_TABLE))}")
    return _TABLE[kind]


def op_kinds() -> Iterator[OpDef]:
    """Yield the rows of the table, in order of declaration."""
    yield from _TABLE.values()


def require(condition: bool, op: Op, rule: str) -> None:
    """Raise a GraphError that names the op unless a rule of its kind holds."""
    if not condition:
        operands = ", ".join(str(value.type) for value in op.operands)
        raise GraphError(f"{op.kind}({operands}) {op.attrs or ''}: {rule}")


def aligned(op: Op, arrays: Sequence[Array]) -> list[Array]:
    """Reshape operands so that NumPy's broadcasting follows the axis names of the result."""
    names = op.result.type.names
    out: list[Array] = []
    for value, array in zip(op.operands, arrays, strict=True):
        have = value.type.names
        out.append(np.reshape(array, [array.shape[have.index(n)] if n in have else 1 for n in names]))
    return out
