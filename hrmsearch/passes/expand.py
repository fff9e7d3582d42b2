"""Expand: every composite becomes its definition from the op table, in functions, regions and main.

    %p = softmax(%x) {axis="D"}   becomes   %m = amax(%x); %e = exp(%x - %m); %p = %e / sum(%e)

A definition may hold composites, which are expanded in turn. What remains is primitives, structure and leaves.
"""

from collections.abc import Collection, Sequence

from hrmsearch.ir.definition import definition
from hrmsearch.ir.graph import Graph, Op, Value
from hrmsearch.ir.ops import lookup
from hrmsearch.passes.rewrite import Rewriter


def expand(graph: Graph, keep: Collection[str] = ()) -> Graph:
    """Return the graph without composites, except the kinds in `keep`, which a backend runs itself."""
    return _Expand(graph, keep).run()


class _Expand(Rewriter):
    def __init__(self, source: Graph, keep: Collection[str]) -> None:
        super().__init__(source)
        self._keep = keep

    def rule(self, op: Op, operands: tuple[Value, ...]) -> Sequence[Value] | None:
        if lookup(op.kind).define is None or op.kind in self._keep:
            return None
        return self.inline(definition(op), operands)
