"""HS107 no-identity-path: each token's identity reaches the head on some path that does not average it away.

The domain says whether a value is data at all, and whether its entries along the axes of tokens still hold each token
itself. Elementwise operations, norms, gathers, scans and contractions with a parameter keep identity. Mixing an axis of
tokens breaks it, shifting one does until it is shifted back (rows are prepended, and dropped at the end), and so does a
product of two data values, which is what attention and memory reads are. Elementwise, a product of two values that both
hold the token keeps it, for it is still a function of that token alone (a gate that lets the stream pass), and so does
a factor that is the same for all tokens (a norm along them). One path is enough. Composites are judged by their
definition. A model without such a path knows its own input token only through near-uniform averages when training
begins, and may stay on the unigram plateau.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hrmsearch.analyses.diagnostics import Finding, rule
from hrmsearch.analyses.domain import Domain, Site
from hrmsearch.analyses.states import LOGITS, TARGETS, TOKENS, short
from hrmsearch.analyses.walk import walk
from hrmsearch.ir.graph import Graph, Op, Value
from hrmsearch.ir.ops import Flow, How, lookup

_REGROUPED = (How.SPLIT, How.MERGE)
_PRODUCTS = frozenset({"mul", "div", "einsum"})


@dataclass(frozen=True, slots=True)
class Trace:
    """What a value is: data or not, and the axes of tokens along which it holds each token (none: it does not).

    axes: each with how far tokens stand from their own places. where: the spec path at which identity was lost.
    """

    data: bool = False
    axes: frozenset[tuple[str, int]] = frozenset()
    where: str = field(default="", compare=False)

    @property
    def moved(self) -> bool:
        """Whether tokens stand elsewhere than in their own places."""
        return any(by for _, by in self.axes)


_PLAIN = Trace()


class Identity(Domain[Trace]):
    """Whether values still hold each token."""

    def leaf(self, op: Op, site: Site) -> Trace:
        """Return the identity of inputs with tokens; targets are no input of the model."""
        if op.kind != "input" or op.attrs["name"] == TARGETS:
            return _PLAIN
        return Trace(True, frozenset({(TOKENS, 0)} if TOKENS in op.result.type.names else ()))

    def opens(self, op: Op) -> bool:
        """Judge composites by their definition: attention is a product of data."""
        return True

    def transfer(self, op: Op, result: Value, operands: Sequence[Trace], site: Site) -> Trace:
        """Follow identity along the flow of its axes, then judge products."""
        data = [trace for trace in operands if trace.data]
        if not data:
            return _PLAIN
        flows = lookup(op.kind).flow(op)
        kept = [self._kept(trace, flow, result) for trace, flow in zip(operands, flows, strict=True) if trace.data]
        holding = [axes for axes in kept if axes]
        factors = sum(self._uniform(value, result, holding) for value in op.operands)
        alike = len(holding) + factors >= len(data) and len(set(holding)) == 1
        broken = op.kind in _PRODUCTS and len(data) > 1 and (op.kind == "einsum" or not alike)
        where = next((trace.where for trace in data if trace.where), "")
        if holding and not broken:
            best = min(holding, key=lambda axes: any(by for _, by in axes))
            return Trace(True, best, where or (site.of(op.place) if any(by for _, by in best) else ""))
        lost = any(trace.axes and not trace.moved for trace in data)
        return Trace(True, frozenset(), site.of(op.place) if lost else where)

    @staticmethod
    def _uniform(value: Value, result: Value, holding: Sequence[frozenset[tuple[str, int]]]) -> bool:
        """Return whether an operand is the same for all tokens that the result holds."""
        axes = {axis for held in holding for axis, _ in held}
        return axes <= set(result.type.names) and axes.isdisjoint(value.type.names)

    @staticmethod
    def _kept(trace: Trace, flow: Mapping[str, Flow], result: Value) -> frozenset[tuple[str, int]]:
        """Return the axes under their new names, or none where one is mixed, or cut while tokens are out of place."""
        axes: set[tuple[str, int]] = set()
        for axis, by in trace.axes:
            how = flow.get(axis)
            if how is None:
                axes.add((axis, by))
            elif how.how is How.MIXED or (by and how.how in _REGROUPED) or not set(how.to) <= set(result.type.names):
                return frozenset()
            else:
                axes.update((to, by + how.by) for to in how.to)
        return frozenset(axes)

    def join(self, first: Trace, second: Trace) -> Trace:
        """Return the better: one path is enough."""
        best = second.axes if second.axes and (first.moved or not first.axes) else first.axes
        return Trace(first.data or second.data, best, first.where or second.where)

    def restored(self, state: Op, start: Trace) -> Trace:
        """Return data whatever the start: a state is one even where it begins as a constant."""
        return Trace(True, start.axes)

    def sliced(self, scan: Op, value: Trace) -> Trace:
        """Rename the scanned axis: inside, the position is the token."""
        return _renamed(value, scan.attrs["axis"], _position(scan))

    def stacked(self, scan: Op, value: Trace) -> Trace:
        """Rename it back."""
        return _renamed(value, _position(scan), scan.attrs["axis"])

    def delayed(self, scan: Op, value: Trace) -> Trace:
        """Lose it: a carry holds earlier tokens."""
        return Trace(value.data, frozenset(), value.where or scan.place)

    def last(self, scan: Op, value: Trace) -> Trace:
        """Lose it."""
        return self.delayed(scan, value)


def _position(scan: Op) -> str:
    return f"@{id(scan)}"


def _renamed(value: Trace, old: str, new: str) -> Trace:
    axes = frozenset((new if axis == old else axis, by) for axis, by in value.axes)
    return Trace(value.data, axes, value.where)


@rule("HS107", "no-identity-path", "warning")
def identity(graph: Graph) -> Iterator[Finding]:
    """Yield a finding if in no pass of the first window the logits hold their own token."""
    if LOGITS not in graph.outputs:
        return
    found = [facts.outputs[LOGITS] for facts in walk(graph, Identity(), windows=1)]
    if any((TOKENS, 0) in trace.axes for trace in found):
        return
    place = found[-1].where or "model.core"
    yield Finding(
        place,
        "no path brings each token's own identity to the head",
        (f"{short(place)} mixes each token with others", "logits[t] sees input[t] only through averages"),
        f"add a residual path around {short(place)}",
    )
