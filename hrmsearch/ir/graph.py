"""The graph: functions of typed SSA values with structured regions, under a header that carries the nest.

Everything here is data; `builder` makes it, `verify` judges it, `printer` and `parser` turn it into text and back.
A graph describes one pass: (params, inputs, state, reset) -> (outputs, state candidates).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hrmsearch.ir.types import Type

if TYPE_CHECKING:
    from hrmsearch.ir.builder import Builder

Attr = Any  # a JSON value: attributes print and parse as JSON


class Value:
    """An SSA value: a type, a name hint for readers, and the builder that may still extend its region.

    Arithmetic on values under construction appends operations: `g * x + (1 - g) * y`.
    """

    __slots__ = ("_builder", "name", "type")

    def __init__(self, type: Type, name: str = "", builder: "Builder | None" = None) -> None:
        self.type = type
        self.name = name
        self._builder = builder

    def __repr__(self) -> str:
        return f"%{self.name or '?'}: {self.type}"

    def _emit(self, kind: str, *operands: "Value | float") -> "Value":
        assert self._builder is not None, "the value's graph is finished"
        return self._builder.op(kind, *operands)

    def __add__(self, other: "Value | float") -> "Value":
        return self._emit("add", self, other)

    def __radd__(self, other: float) -> "Value":
        return self._emit("add", other, self)

    def __sub__(self, other: "Value | float") -> "Value":
        return self._emit("sub", self, other)

    def __rsub__(self, other: float) -> "Value":
        return self._emit("sub", other, self)

    def __mul__(self, other: "Value | float") -> "Value":
        return self._emit("mul", self, other)

    def __rmul__(self, other: float) -> "Value":
        return self._emit("mul", other, self)

    def __truediv__(self, other: "Value | float") -> "Value":
        return self._emit("div", self, other)

    def __rtruediv__(self, other: float) -> "Value":
        return self._emit("div", other, self)

    def __neg__(self) -> "Value":
        return self._emit("neg", self)


@dataclass(eq=False, slots=True)
class Op:
    """One operation; `place` is the spec path it was built for."""

    kind: str
    operands: tuple[Value, ...]
    attrs: dict[str, Attr] = field(default_factory=dict[str, Attr])
    regions: tuple["Region", ...] = ()
    results: tuple[Value, ...] = ()
    place: str = ""

    @property
    def result(self) -> Value:
        """The only result."""
        (value,) = self.results
        return value


@dataclass(eq=False, slots=True)
class Region:
    """A straight list of operations with arguments and results; it sees the values of enclosing regions."""

    args: list[Value] = field(default_factory=list[Value])
    ops: list[Op] = field(default_factory=list[Op])
    results: list[Value] = field(default_factory=list[Value])

    def walk(self) -> Iterator[Op]:
        """Yield every operation, nested ones after their owner."""
        for op in self.ops:
            yield op
            for region in op.regions:
                yield from region.walk()


@dataclass(eq=False, slots=True)
class Function:
    """A reusable body with relative parameter names; a call's prefix completes them."""

    name: str
    body: Region
    place: str = ""


@dataclass(frozen=True, slots=True)
class Halt:
    """How rows stop one by one.

    explore: the probability of a random least number of passes. bootstraps: whether the loss needs to know, by the
    input `final`, which rows are in their last possible pass. scored: `max` or `halt`, when rows are scored.
    """

    explore: float = 0.0
    bootstraps: bool = False
    scored: str = "max"


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of training.

    loss: the output that it makes small. train: paths of the parameters that it moves, each with all below it; all
    parameters by default.
    """

    name: str = ""
    loss: str = "loss"
    train: tuple[str, ...] | None = None

    def trains(self, path: str) -> bool:
        """Return whether a parameter may move."""
        return self.train is None or any(path == above or path.startswith(f"{above}.") for above in self.train)


@dataclass(frozen=True, slots=True)
class Nest:
    """How passes, windows and optimiser steps surround a graph.

    passes: passes over a window. backprop: the unit ("passes" or "windows") and length of a span, the stretch that
    gradient crosses. step: "span" takes an optimiser step per span, "window" sums the losses of all passes first.
    loader: "shuffled" or "contiguous" windows. causal: whether outputs may not see later inputs. halt: how rows stop
    before they took all passes, if they may. phases: what training goes through, in order; by default one that trains
    everything. settle: passes that fill what is kept by sample of a window that was never met.
    """

    passes: int = 1
    backprop: tuple[str, int] = ("passes", 1)
    step: str = "span"
    loader: str = "shuffled"
    causal: bool = True
    window: int = 1
    halt: Halt | None = None
    phases: tuple[Phase, ...] = (Phase(),)
    settle: int = 0


#: outputs below this only watch a model: what nothing else reads has no effect
TELEMETRY = "telemetry."


@dataclass(eq=False, slots=True)
class Graph:
    """One pass of a model, as data.

    outputs maps names (`logits`, `loss`, `telemetry.core.ponder`, ...) to values of `main`; candidates maps a state's
    path to the value proposed for its next commit. places maps spec paths to `file:line:column`.
    """

    name: str
    nest: Nest
    functions: dict[str, Function] = field(default_factory=dict[str, Function])
    main: Region = field(default_factory=Region)
    outputs: dict[str, Value] = field(default_factory=dict[str, Value])
    candidates: dict[str, Value] = field(default_factory=dict[str, Value])
    places: Mapping[str, str] = field(default_factory=dict[str, str])

    def regions(self) -> Iterator[Region]:
        """Yield every function's body, then the main region."""
        for function in self.functions.values():
            yield function.body
        yield self.main

    @property
    def inputs(self) -> dict[str, Value]:
        """The input leaves by name."""
        return {op.attrs["name"]: op.result for op in self.main.ops if op.kind == "input"}

    @property
    def states(self) -> dict[str, Op]:
        """The state leaves by path."""
        return {op.attrs["path"]: op for op in self.main.ops if op.kind == "state"}

    @property
    def params(self) -> dict[str, Op]:
        """The parameters by full path, in order of first use; shared ones once."""
        found: dict[str, Op] = {}
        _collect_params(self, self.main, "", found)
        return found


def moves(param: Op) -> str:
    """Return how a parameter moves: `trained` by the optimiser, `keyed` by row, or `fixed` for ever."""
    if not param.attrs.get("trainable", True):
        return "fixed"
    return "keyed" if "keyed" in param.attrs else "trained"


def keyed_params(graph: Graph) -> dict[str, str]:
    """Return the paths of the tables that move by row, each with the input that holds keys of rows."""
    return {path: op.attrs["keyed"] for path, op in graph.params.items() if "keyed" in op.attrs}


def join_path(prefix: str, name: str) -> str:
    """Return a parameter's path below a prefix."""
    return f"{prefix}.{name}" if prefix else name


def _collect_params(graph: Graph, region: Region, prefix: str, found: dict[str, Op]) -> None:
    for op in region.walk():
        if op.kind == "param":
            found.setdefault(join_path(prefix, op.attrs["path"]), op)
        elif op.kind == "call":
            callee = graph.functions[op.attrs["callee"]]
            _collect_params(graph, callee.body, join_path(prefix, op.attrs["prefix"]), found)
