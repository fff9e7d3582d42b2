"""Copies a graph operation by operation under a rule; what every compiler pass is written with.

A compiler pass subclasses `Rewriter` and overrides `rule`. Functions, regions, places and name hints are kept; values
map from the old graph to the new one through `env`.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from hrmsearch.ir.builder import Builder
from hrmsearch.ir.definition import OPS_ONLY
from hrmsearch.ir.graph import Function, Graph, Op, Region, Value
from hrmsearch.ir.ops import untouched


class Rewriter:
    """One walk over a graph that builds its copy.

    source: the graph walked. graph: the copy. builder: appends to the region under construction, stamped with the place
    of the operation at hand. env: old values to new ones.
    """

    def __init__(self, source: Graph) -> None:
        self.source = source
        self.graph = Graph(source.name, source.nest, places=source.places)
        self.builder = Builder(self.graph, OPS_ONLY)
        self.env: dict[Value, Value] = {}
        self._producers: dict[Value, Op] = {}

    # -- what a compiler pass may override ---------------------------------------------------------------------------

    def rule(self, op: Op, operands: tuple[Value, ...]) -> Sequence[Value] | None:
        """Return new values for an old operation's results, or None to copy it."""
        del op, operands
        return None

    def drops(self, op: Op) -> bool:
        """Return whether an old operation has no place in the copy; nothing that stays may need it."""
        del op
        return False

    def keeps(self, function: Function) -> bool:
        """Return whether a function stays in the graph."""
        del function
        return True

    @contextmanager
    def scope(self) -> Generator[None]:
        """Surround a region: what is learned inside holds only there."""
        yield

    def copied(self, old: Op, new: Op) -> None:
        """Take note of an operation that was copied."""

    # -- the walk ----------------------------------------------------------------------------------------------------

    def run(self) -> Graph:
        """Return the copy."""
        for function in self.source.functions.values():
            if self.keeps(function):
                body = self.region(function.body)
                self.graph.functions[function.name] = Function(function.name, body, function.place)
        self.graph.main = self.region(self.source.main)
        self.graph.outputs = {name: self.env[v] for name, v in self.source.outputs.items() if v in self.env}
        self.graph.candidates = {path: self.env[value] for path, value in self.source.candidates.items()}
        return self.graph

    def region(self, old: Region) -> Region:
        """Return the copy of a region."""
        new = Region([self._value(value) for value in old.args])
        with self._into(new), self.scope():
            new.results = self.inline(old, new.args)
        return new

    def inline(self, old: Region, args: Sequence[Value]) -> list[Value]:
        """Append a region's operations here, its arguments bound to new values, and return its results."""
        self.env.update(zip(old.args, args, strict=True))
        for op in old.ops:
            self._visit(op)
        return [self.env[value] for value in old.results]

    def producer(self, value: Value) -> Op | None:
        """Return the new operation that a new value comes from; None for an argument."""
        return self._producers.get(value)

    def _visit(self, op: Op) -> None:
        if self.drops(op):
            return
        self.builder.place = op.place
        operands = tuple(self.env[value] for value in op.operands)
        results = self.rule(op, operands)
        if results is None:
            results = self.copy(op, operands)
        for old, new in zip(op.results, results, strict=False):
            self.env[old] = new
            new.name = new.name or old.name

    def copy(self, op: Op, operands: tuple[Value, ...]) -> Sequence[Value]:
        """Append a copy of an operation over new operands; returns its results."""
        regions = tuple(self.region(region) for region in op.regions)
        new = Op(op.kind, operands, dict(op.attrs), regions, tuple(map(self._value, op.results)), op.place)
        if op.kind == "repeat" and op.attrs["free"]:
            self._hold_free(op, new)
        self.builder.region.ops.append(new)
        self._producers.update(dict.fromkeys(new.results, new))
        self.copied(op, new)
        return new.results

    def _hold_free(self, old: Op, new: Op) -> None:
        """Detach carries that became untouched: a free repeat would start to pass their gradient."""
        (body,) = new.regions
        for i, (was, now) in enumerate(zip(untouched(old), untouched(new), strict=True)):
            if now and not was:
                with self._into(body):
                    body.results[i] = self.builder.op("detach", body.results[i], name=old.regions[0].results[i].name)

    def _value(self, old: Value) -> Value:
        return Value(old.type, old.name, self.builder)

    @contextmanager
    def _into(self, region: Region) -> Generator[None]:
        outer, self.builder.region = self.builder.region, region
        place = self.builder.place
        try:
            yield
        finally:
            self.builder.region, self.builder.place = outer, place
