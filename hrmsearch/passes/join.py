"""Join: what is multiplied by several parameters is multiplied once, by all of them side by side.

    q = x W_q; k = x W_k   becomes   y = x [W_q W_k]; q, k = parts of y

A device reads x once, and has one large product to do in place of several. Parameters stay what they are and the source
becomes harder to read, so this is done only where time may be spent on compiling.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence

from hrmsearch.ir.graph import Graph, Op, Region, Value
from hrmsearch.ir.ops.contraction import einsum_words
from hrmsearch.passes.forms import Target
from hrmsearch.passes.rewrite import Rewriter


def join(graph: Graph, target: Target) -> Graph:
    """Return the graph with products of one value by several parameters joined, where the target is worth the time."""
    return _Join(graph).run() if target.optimize else graph


class _Join(Rewriter):
    def __init__(self, source: Graph) -> None:
        super().__init__(source)
        self._params = {op.result: op for region in source.regions() for op in _params(region)}
        self._groups = {op: group for region in source.regions() for group in _groups(region) for op in group}
        self._parts: dict[Op, Value] = {}

    def drops(self, op: Op) -> bool:
        """Return whether a parameter was copied already, to where it was first needed."""
        return op.kind == "param" and op.result in self.env

    def rule(self, op: Op, operands: tuple[Value, ...]) -> Sequence[Value] | None:
        if op not in self._groups:
            return None
        if op not in self._parts:
            self._join(self._groups[op], operands[0])
        return [self._parts[op]]

    def _join(self, group: Sequence[Op], x: Value) -> None:
        """Make the results of a group, from one product."""
        b, place = self.builder, self.builder.place
        for op in group:
            self._visit(self._params[op.operands[1]])
        b.place = place
        weights = [self.env[op.operands[1]] for op in group]
        whole = b.einsum(group[0].attrs["spec"], x, b.concat(weights[0].type.names[1], *weights))
        out, begin = whole.type.names[-1], 0
        for op in group:
            width = op.result.type.width(out)
            self._parts[op] = b.slice(whole, out, begin, width)
            begin += width


def _params(region: Region) -> list[Op]:
    return [op for op in region.ops if op.kind == "param"]


def _groups(region: Region) -> list[list[Op]]:
    """Return the products of a region that can be one: of the same value, each by a parameter of its own."""
    params = {op.result for op in _params(region)}
    found: defaultdict[Hashable, list[Op]] = defaultdict(list)
    for op in region.ops:
        if op.kind == "einsum" and _is_linear(op) and op.operands[1] in params:
            found[op.operands[0], op.attrs["spec"], op.operands[1].type.names].append(op)
    return [group for group in found.values() if len(group) > 1]


def _is_linear(op: Op) -> bool:
    """Return whether a product is over the last axis of a value and the first one of a matrix."""
    operands, result = einsum_words(op)
    if len(operands) != 2 or len(operands[1]) != 2:
        return False
    (*lead, summed), (rows, columns) = operands
    return summed == rows and [*result] == [*lead, columns]
