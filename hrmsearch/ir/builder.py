"""Builds graphs: appends typed operations to a region and turns block definitions into shared functions."""

import inspect
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hrmsearch.errors import GraphError
from hrmsearch.ir.graph import Function, Graph, Op, Region, Value
from hrmsearch.ir.ops import lookup
from hrmsearch.ir.types import Axis, DType, Size, Type


def _nothing(reading: str) -> bool:
    """Ask for no reading."""
    del reading
    return False


Operand = Value | float
Results = Value | tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Context:
    """What every block may know of the model around it.

    dim: the width of the stream (D). window: the most tokens in a window (W). vocabulary: classes of tokens and logits
    (C). init: the default rule for weights, resolved per parameter. keys: how many different keys an input can hold.
    asks: whether a reading is to be told, by its name.
    """

    dim: int
    window: int
    vocabulary: int
    init: Any = "lecun_normal"
    keys: Mapping[str, int] = field(default_factory=dict[str, int])
    asks: Callable[[str], bool] = _nothing


@dataclass(slots=True)
class Builder:
    """Appends operations to the innermost open region of one function of a graph."""

    graph: Graph
    context: Context
    region: Region = field(default_factory=Region)
    place: str = ""
    _known: dict[Hashable, str] = field(default_factory=dict[Hashable, str])

    @contextmanager
    def at(self, place: str) -> Generator[None]:
        """Stamp the operations built inside with a spec path."""
        before, self.place = self.place, place
        try:
            yield
        finally:
            self.place = before

    # -- operations --------------------------------------------------------------------------------------------------

    def op(self, kind: str, *operands: Operand, name: str = "", type: Type | None = None, **attrs: Any) -> Value:
        """Append an operation with one result; numbers become constants of their neighbours' dtype."""
        return self.append(Op(kind, self._values(operands), attrs, place=self.place), name, type).result

    def append(self, op: Op, name: str = "", type: Type | None = None) -> Op:
        """Append an operation, infer its result types (or take the declared one) and return it."""
        row = lookup(op.kind)
        if row.declared:
            if type is None:
                raise GraphError(f"{op.kind} needs a declared type")
            op.results = (Value(type, name, self),)
        types = row.types(op, self.graph.functions)
        if not row.declared:
            op.results = tuple(Value(t, name if len(types) == 1 else "", self) for t in types)
        self.region.ops.append(op)
        return op

    def _values(self, operands: Sequence[Operand]) -> tuple[Value, ...]:
        dtypes = [value.type.dtype for value in operands if isinstance(value, Value)]
        plain = next((dtype for dtype in dtypes if dtype != DType.BOOL), DType.COMPUTE)
        return tuple(v if isinstance(v, Value) else self.full(v, Type(plain)) for v in operands)

    # -- leaves ------------------------------------------------------------------------------------------------------

    def input(self, name: str, type: Type) -> Value:
        """Declare an input of the graph."""
        return self.append(Op("input", (), {"name": name}, place=self.place), name, type).result

    def param(
        self, path: str, axes: Sequence[Axis], init: Any = None, *, trainable: bool = True, keyed: str | None = None
    ) -> Value:
        """Declare a parameter under a relative path; `init` is a resolved rule (see `ir.init`).

        keyed: the input that holds keys of its rows, for a table of which a step moves the rows that occurred only.
        """
        attrs = {"path": path, "init": init, "trainable": trainable} | ({"keyed": keyed} if keyed else {})
        type_ = Type(DType.COMPUTE, tuple(axes))
        return self.append(Op("param", (), attrs, place=self.place), path.replace(".", "_"), type_).result

    def state(
        self,
        path: str,
        type: Type,
        start: Value,
        reset: Value,
        *,
        lifetime: str,
        commit: str,
        within: tuple[float, float] | None = None,
    ) -> Value:
        """Declare a state leaf: the carried value, with `start` in the rows where `reset` reaches its lifetime.

        within: the range that its entries are promised to stay in.
        """
        attrs: dict[str, Any] = {"path": path, "lifetime": lifetime, "commit": commit}
        attrs |= {} if within is None else {"within": list(within)}
        name = path.rpartition(".")[2]
        return self.append(Op("state", (start, reset), attrs, place=self.place), name, type).result

    def full(self, value: float, type: Type) -> Value:
        """Return a constant filled with one number."""
        return self.op("const", type=type, rule="full", value=value)

    def zeros(self, type: Type) -> Value:
        """Return a constant of zeros."""
        return self.full(0.0 if type.dtype.is_float else 0, type)

    def iota(self, along: Axis, dtype: DType = DType.COMPUTE) -> Value:
        """Return 0, 1, 2, ... along an axis."""
        return self.op("const", type=Type(dtype, (along,)), rule="iota")

    def broadcast(self, x: Value, type: Type) -> Value:
        """Return `x` repeated along the axes of `type` that it lacks."""
        return self.op("broadcast", x, type=type)

    # -- shorthands --------------------------------------------------------------------------------------------------

    def einsum(self, spec: str, *operands: Value, name: str = "") -> Value:
        """Contract operands: `einsum("B T D, D F -> B T F", x, w)`; words bind axes by position."""
        return self.op("einsum", *operands, name=name, spec=spec)

    def linear(self, x: Value, weight: Value, name: str = "") -> Value:
        """Return x W over the last axis of x, for a weight [input, output]; the result has W's output axis."""
        lead, out = " ".join(x.type.names[:-1]), weight.type.names[1]
        return self.einsum(f"{lead} I, I {out} -> {lead} {out}", x, weight, name=name)

    def cast(self, x: Value, dtype: DType) -> Value:
        """Return `x` in another number format; nothing where it has it."""
        return x if x.type.dtype == dtype else self.op("cast", x, dtype=str(dtype))

    def where(self, condition: Value, yes: Operand, no: Operand) -> Value:
        """Return `yes` where the condition holds, else `no`."""
        return self.op("where", condition, yes, no)

    def exp(self, x: Value) -> Value:
        """Return e^x."""
        return self.op("exp", x)

    def log(self, x: Value) -> Value:
        """Return the natural logarithm."""
        return self.op("log", x)

    def sigmoid(self, x: Value) -> Value:
        """Return 1 / (1 + e^-x)."""
        return self.op("sigmoid", x)

    def sum(self, x: Value, *axes: str) -> Value:
        """Sum over the named axes."""
        return self.op("sum", x, axes=list(axes))

    def mean(self, x: Value, *axes: str) -> Value:
        """Average over the named axes."""
        return self.op("mean", x, axes=list(axes))

    def amax(self, x: Value, *axes: str) -> Value:
        """Take the largest over the named axes."""
        return self.op("amax", x, axes=list(axes))

    def split(self, x: Value, name: str, major: Axis, minor: Axis) -> Value:
        """Split one axis in two; the minor one has a fixed size."""
        into = [[part.name, _plain(part.size)] for part in (major, minor)]
        return self.op("split", x, axis=name, into=into)

    def merge(self, x: Value, major: str, minor: str, into: str) -> Value:
        """Merge two neighbouring axes."""
        return self.op("merge", x, axes=[major, minor], into=into)

    def transpose(self, x: Value, *order: str) -> Value:
        """Reorder axes by name."""
        return self.op("transpose", x, order=list(order))

    def rename(self, x: Value, name: str, into: str) -> Value:
        """Give an axis another name."""
        return self.op("rename", x, axis=name, into=into)

    def slice(self, x: Value, name: str, start: int, size: int | str | Size, into: str = "", hint: str = "") -> Value:
        """Take `size` positions from `start` along an axis; a negative start counts from its end."""
        attrs: dict[str, Any] = {"axis": name, "start": start, "size": _plain(Size.of(size)), "into": into or name}
        return self.op("slice", x, name=hint, **attrs)

    def take(self, x: Value, name: str, along: Axis) -> Value:
        """Take the first positions of an axis: a per-position table `W` becomes `T`."""
        return self.slice(x, name, 0, along.size, along.name)

    def concat(self, name: str, *operands: Value) -> Value:
        """Join operands along an axis."""
        return self.op("concat", *operands, axis=name)

    def gather(self, table: Value, ids: Value) -> Value:
        """Look up rows of a table."""
        return self.op("gather", table, ids)

    # -- structure ---------------------------------------------------------------------------------------------------

    def linear_scan(
        self,
        a: Value,
        x: Value,
        start: Value,
        axis: str = "T",
        mix: Sequence[str] | None = None,
        form: str | None = None,
    ) -> tuple[Value, Value]:
        """Return every h_t = a h_(t-1) + x_t along an axis from h_0 = start, and the last one.

        `a` broadcasts to `x` by name, or is a matrix over the axes `mix` = (row, column); without the axis it is the
        same at every step. form: how to compute it, by default the backend's choice.
        """
        attrs = {"axis": axis, "mix": None if mix is None else list(mix), "form": form}
        states, last = self.append(Op("linear_scan", (a, x, start), attrs, place=self.place)).results
        return states, last

    def repeat(
        self, n: int, carried: Sequence[Value], body: Callable[..., Sequence[Value]], *, free: bool = False
    ) -> tuple[Value, ...]:
        """Run `body` n times over carried values; free: without gradient."""
        region = self._region(carried, [value.type for value in carried], body)
        return self.append(Op("repeat", tuple(carried), {"n": n, "free": free}, (region,), place=self.place)).results

    def scan(
        self, name: str, carried: Sequence[Value], along: Sequence[Value], body: Callable[..., Sequence[Value]], at: int
    ) -> tuple[Value, ...]:
        """Run `body` along an axis: (carries, slices) -> (carries, results), the results stacked at position `at`."""
        types = [v.type for v in carried] + [v.type.without(name) for v in along]
        region = self._region([*carried, *along], types, body)
        attrs = {"axis": name, "carries": len(carried), "at": at}
        return self.append(Op("scan", (*carried, *along), attrs, (region,), place=self.place)).results

    def _region(self, sources: Sequence[Value], types: Sequence[Type], body: Callable[..., Sequence[Value]]) -> Region:
        region = Region([Value(t, source.name, self) for t, source in zip(types, sources, strict=True)])
        outer, self.region = self.region, region
        try:
            region.results = list(body(*region.args))
        finally:
            self.region = outer
        return region

    def call(
        self,
        prefix: str,
        build: Callable[..., Results],
        *args: Value,
        title: str,
        key: Hashable,
        place: str | None = None,
    ) -> tuple[Value, ...]:
        """Call the function that `build(builder, *args)` defines, with its parameters below `prefix`.

        Equal keys and argument types share one function; equal prefixes share parameters. `place` is the spec path, by
        default `prefix` below the current one.
        """
        known = (key, tuple(str(value.type) for value in args))
        with self.at(f"{self.place}.{prefix}" if place is None else place):
            if known not in self._known:
                self._known[known] = self._define(build, args, title).name
            attrs = {"callee": self._known[known], "prefix": prefix}
            return self.append(Op("call", args, attrs, place=self.place)).results

    def _define(self, build: Callable[..., Results], args: Sequence[Value], title: str) -> Function:
        named = [p for p in inspect.signature(build).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        names = [p.name for p in named][1:]
        names += [value.name for value in args[len(names) :]]
        inner = Builder(self.graph, self.context, place=self.place, _known=self._known)
        inner.region.args = [Value(v.type, name, inner) for name, v in zip(names, args, strict=False)]
        results = build(inner, *inner.region.args)
        inner.region.results = list(results) if isinstance(results, tuple) else [results]
        function = Function(_fresh(title, self.graph.functions), inner.region, self.place)
        self.graph.functions[function.name] = function
        return function


def _fresh(title: str, taken: dict[str, Function]) -> str:
    names = (title if i == 1 else f"{title}_{i}" for i in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def _plain(size: Size) -> int | str:
    return str(size) if size.known is None else size.known
