"""Names and expressions of one emitted function: who is bound to what, and when a name may be bound again.

A name is bound again only when no value still to be read mentions it, and never, inside a loop, to a value from outside
that loop.
"""

import builtins
import itertools
import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hrmsearch.emission import syntax as py
from hrmsearch.emission.dialect import Dialect
from hrmsearch.emission.layout import Line, Statement
from hrmsearch.emission.liveness import Uses
from hrmsearch.emission.syntax import Expr
from hrmsearch.emission.tree import Class, Place
from hrmsearch.errors import BackendError
from hrmsearch.ir.graph import Graph, Op, Region, Value
from hrmsearch.ir.types import DType, Size, Type, quotient

_TABLES = {"iota": "positions", "rope_cos": "cos", "rope_sin": "sin"}


@dataclass(frozen=True, slots=True)
class File:
    """What the functions of an emitted file share.

    made: the classes, by place. given: names for values that have none of their own. helpers: the functions of the
    head that are used so far.
    """

    graph: Graph
    dialect: Dialect
    made: Mapping[Place, Class]
    given: Mapping[Value, str]
    helpers: set[str]

    def helper(self, name: str) -> Expr:
        """Return a head function, which the file then has."""
        self.helpers.add(name)
        return py.ref(name)


class Scope:
    """What one emitted function knows while it is written.

    owner: the class the method belongs to. buffers: the constant tables of the class, by name. block: the statements
    being written. bound: each value's expression. pending: operations whose expression waits for the one place that
    reads it.
    """

    def __init__(self, file: File, owner: Class, buffers: dict[str, Op]) -> None:
        self.graph = file.graph
        self.made = file.made
        self.dialect = file.dialect
        self.helper = file.helper
        self.owner = owner
        self.buffers = buffers
        self.uses = Uses()
        self.block: list[Statement] = []
        self.bound: dict[Value, Expr] = {}
        self.pending: dict[Value, Op] = {}
        self.arguments: dict[Value, str] = {}
        self._telling: dict[Value, str] = {}
        self._owners: dict[str, Value | None] = {}
        self._home: dict[str, Region | None] = {}
        self._loops: list[Region] = []
        self._carried: set[str] = set()
        self._shapes: dict[str, dict[int, str]] = {}
        self._symbols: dict[Size, str] = {}

    # -- names -------------------------------------------------------------------------------------------------------

    def reserve(self, *names: str) -> None:
        """Keep names that stand for no value."""
        self._owners.update(dict.fromkeys(names))

    def argument(self, value: Value, stem: str, *, optional: bool = False) -> str:
        """Bind an argument of the function to a name and return it; one that may be None tells no sizes."""
        name = self.fresh(stem)
        self.arguments[value] = name
        if not optional:
            self._telling[value] = name
        self.bind(value, name)
        return name

    def bind(self, value: Value, name: str) -> None:
        """Let a name stand for a value from here on."""
        self._owners[name] = value
        self._home[name] = self._loop
        self.bound[value] = py.ref(name)

    def fresh(self, stem: str) -> str:
        """Return a name that was never bound."""
        return next(name for name in numbered(stem) if name not in self._owners and not self._is_reserved(name))

    def name_for(self, value: Value, stem: str, *, carry: bool = False) -> str:
        """Return a name for a new value: the stem where that is free or dead.

        carry: whether it may take the name of a loop's carry, which it continues.
        """
        if stem not in self._owners or self._is_reserved(stem):
            return self.fresh(stem)
        return stem if self.is_dead(stem) and (carry or stem not in self._carried) else self.fresh(stem)

    def is_dead(self, name: str) -> bool:
        """Return whether a name of this loop stands in no expression that is still to be read."""
        if self._owners.get(name) is None or self._home.get(name) is not self._loop:
            return False
        reads = self.uses.reads
        return not any(reads[value] > 0 and name in py.names_in(expr) for value, expr in self.bound.items())

    def hide(self, names: Sequence[str]) -> None:
        """Let names of a conditional block stand for nothing after it."""
        self.reserve(*names)

    @property
    def names(self) -> list[str]:
        """Every name bound so far."""
        return list(self._owners)

    def _is_reserved(self, name: str) -> bool:
        known = name in self.dialect.reserved or name in self.dialect.helpers
        return known or keyword.iskeyword(name) or hasattr(builtins, name)

    # -- loops -------------------------------------------------------------------------------------------------------

    @property
    def _loop(self) -> Region | None:
        return self._loops[-1] if self._loops else None

    def bind_inside(self, name: str, arg: Value, body: Region) -> None:
        """Let a name stand for an argument of a loop's body."""
        self.bind(arg, name)
        self._home[name] = body

    def carry(self, name: str, arg: Value, body: Region) -> None:
        """Let a name hold a carry while the loop's body is written."""
        self.bind_inside(name, arg, body)
        self._carried.add(name)

    def enter(self, body: Region) -> None:
        """Start the body of a loop."""
        self._loops.append(body)

    def leave(self, carries: dict[str, Value]) -> None:
        """End a loop's body; its carries become values of the region around it."""
        body = self._loops.pop()
        for name, home in self._home.items():
            if home is body:
                self._home[name] = self._loop
        for name, value in carries.items():
            self._carried.discard(name)
            self.bind(value, name)

    # -- expressions -------------------------------------------------------------------------------------------------

    def read(self, value: Value) -> Expr:
        """Return a value's expression and count the read."""
        self.uses.reads[value] -= 1
        self.pending.pop(value, None)
        return self.bound[value]

    def assign(self, value: Value, name: str, expr: Expr) -> None:
        """Write `name = expr  # (B, T, D)`."""
        self.block.append(Line(f"{name} = ", expr, shape(value.type)))
        self.bind(value, name)

    def assign_together(self, values: dict[str, Expr]) -> None:
        """Write `a, b = x, y`, where every right side means the names as they were."""
        if values:
            exprs = list(values.values())
            self.block.append(Line(f"{', '.join(values)} = ", py.lift(tuple(exprs)) if len(exprs) > 1 else exprs[0]))

    def reduced(self, value: Value) -> Op | None:
        """Return the reduction that an operand is, while it is written in place."""
        op = self.pending.get(value)
        return op if op is not None and op.kind in ("sum", "mean", "amax") and op.attrs["axes"] else None

    def buffer(self, op: Op) -> Expr:
        """Return the attribute of a constant table; equal tables of a class are one."""
        for name, known in self.buffers.items():
            if known.attrs == op.attrs and known.result.type.sizes == op.result.type.sizes:
                return py.ref(f"self.{name}")
        place = self.owner.place
        stem = identifier(op.result.name) or _TABLES[op.attrs["rule"]]
        taken = {*self.dialect.own_names, *self.buffers, *place.params, *place.children, *self.owner.methods.values()}
        name = next(name for name in numbered(stem) if name not in taken)
        self.buffers[name] = op
        return py.ref(f"self.{name}")

    def like(self, dtype: DType) -> Expr | None:
        """Return a tensor of a dtype: a name at hand, else a parameter."""
        for name, value in self._owners.items():
            if value is not None and value.type.dtype == dtype:
                return py.ref(name)
        return self._any_param() if dtype == DType.COMPUTE else None

    def _any_param(self) -> Expr | None:
        place, parts = self.owner.place, list[str]()
        while not place.params:
            below = [name for name, child in place.children.items() if any(inner.params for inner in child.walk())]
            if not below:
                return None
            parts.append(below[0])
            place = place.children[below[0]]
        return self.access([*parts, next(iter(place.params))])

    def access(self, parts: Sequence[str]) -> Expr:
        """Return the expression of a module or parameter below the owner."""
        return self.owner.place.access(parts, self.dialect)

    # -- sizes -------------------------------------------------------------------------------------------------------

    def size(self, size: Size) -> Expr:
        """Return an axis size: a number, or arithmetic on sizes read from a shape."""
        if size.known is not None:
            return py.lift(size.known)
        told = self._told(size) if size.constant else None
        if told is not None:
            return told
        total: Expr | None = None
        for symbol, factor in sorted(size.terms, key=lambda term: term[1] < 0):
            term = self._symbol(symbol)
            term = term if abs(factor) == 1 else py.binary(abs(factor), "*", term)
            if total is None:
                total = term if factor > 0 else py.unary("-", term)
            else:
                total = py.binary(total, "+" if factor > 0 else "-", term)
        assert total is not None
        if size.constant:
            total = py.binary(total, "+" if size.constant > 0 else "-", abs(size.constant))
        return total

    def _symbol(self, symbol: str) -> Expr:
        """Return a symbol's name; it is bound at the top of the function, from an argument's shape."""
        told = self._told(Size(0, ((symbol, 1),)))
        return self._derived(symbol) if told is None else told

    def _told(self, size: Size) -> Expr | None:
        """Return the name of a size that an argument's shape tells."""
        if size in self._symbols:
            return py.ref(self._symbols[size])
        for value, argument in self._telling.items():
            for at, axis in enumerate(value.type.axes):
                if axis.size == size:
                    name = self.fresh(identifier(axis.name) or "n")
                    self.reserve(name)
                    self._symbols[size] = name
                    self._shapes.setdefault(argument, {})[at] = name
                    return py.ref(name)
        return None

    def _derived(self, symbol: str) -> Expr:
        parts = quotient(symbol)
        if parts:
            return py.unary("-", py.binary(py.unary("-", self.size(parts[0])), "//", parts[1]))
        alone = Size(0, ((symbol, 1),))
        for name, value in self._owners.items():
            for at, axis in enumerate(value.type.axes if value is not None else ()):
                if axis.size == alone:
                    return py.index(py.ref(f"{name}.shape"), at)
        for value in self._telling:
            for axis in value.type.axes:
                more = (axis.size - alone).known
                if more is not None and (told := self._told(axis.size)) is not None:
                    return py.binary(told, "-", more)
        raise BackendError(f"{self.owner.name}: nothing at hand tells the size {symbol}")

    def sizes(self) -> list[Statement]:
        """Return the statements that bind sizes: `B, T = tokens.shape`."""
        ranks = {name: len(value.type.axes) for value, name in self._telling.items()}
        return [line for name, dims in self._shapes.items() for line in _unpacked(name, dims, ranks[name])]


def _unpacked(argument: str, dims: dict[int, str], rank: int) -> list[Statement]:
    if len(dims) > 1 and sorted(dims) == list(range(len(dims))):
        cut = "" if len(dims) == rank else f"[:{len(dims)}]"
        return [Line(f"{', '.join(dims[at] for at in sorted(dims))} = {argument}.shape{cut}")]
    return [Line(f"{dims[at]} = {argument}.shape[{at}]") for at in sorted(dims)]


def numbered(stem: str) -> "itertools.chain[str]":
    """Return `x`, `x_2`, `x_3`, ..."""
    return itertools.chain([stem], (f"{stem}_{n}" for n in itertools.count(2)))


def identifier(hint: str) -> str:
    """Return a value's name hint as a Python name, or nothing."""
    name = re.sub(r"\W", "_", hint)
    return name if name.isidentifier() else ""


def shape(type_: Type) -> str:
    """Return the comment that tells a type's axes: `(B, T, D)`."""
    return f"({', '.join(type_.names)})"
