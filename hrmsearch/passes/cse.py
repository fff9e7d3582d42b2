"""Common subexpressions: equal pure operations of a region, or of one around it, become one.

    %a = exp(%x); %b = exp(%x); %c = %a * %b   becomes   %a = exp(%x); %c = %a * %a

Equal means same kind, attributes, operands and stated type. So two parameters of one path in a function are one value,
and so are two calls of one function under one prefix. Dropout draws afresh each time and is never merged, nor are calls
that hold any. `repeat` and `scan` are left alone, inputs and states are single by name.
"""

from collections.abc import Generator, Hashable, Sequence
from contextlib import contextmanager

from hrmsearch.ir.graph import Graph, Op, Region, Value
from hrmsearch.ir.ops import lookup
from hrmsearch.passes.rewrite import Rewriter

_NEVER = frozenset({"dropout", "input", "state", "repeat", "scan"})


def cse(graph: Graph) -> Graph:
    """Return the graph with equal operations merged."""
    return _Merge(graph).run()


class _Merge(Rewriter):
    def __init__(self, source: Graph) -> None:
        super().__init__(source)
        self._known: dict[Hashable, Sequence[Value]] = {}
        self._random: set[str] = set()
        for function in source.functions.values():
            if _draws(function.body, self._random):
                self._random.add(function.name)

    def rule(self, op: Op, operands: tuple[Value, ...]) -> Sequence[Value] | None:
        return self._known.get(_key(op, operands))

    def copied(self, old: Op, new: Op) -> None:
        if new.kind not in _NEVER and new.attrs.get("callee") not in self._random:
            self._known[_key(new, new.operands)] = new.results

    @contextmanager
    def scope(self) -> Generator[None]:
        outer, self._known = self._known, dict(self._known)
        yield
        self._known = outer


def _draws(region: Region, random: set[str]) -> bool:
    """Return whether a region draws random numbers, itself or through a call."""
    return any(op.kind == "dropout" or op.attrs.get("callee") in random for op in region.walk())


def _key(op: Op, operands: tuple[Value, ...]) -> Hashable:
    declared = op.result.type if lookup(op.kind).declared else None
    return op.kind, operands, repr(sorted(op.attrs.items())), declared
