"""The tape: a domain whose values are the nodes of the unrolled dependence graph, for questions of reachability.

A node per evaluation of a primitive; composites by their definition, ticks one by one. A scan's body stands once, with
the length of its axis as weight and edges from what it gives back to what it takes. Such an edge is crossed from one
position to the next, so distances along the tape count how many positions at an end of the axis something misses.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from hrmsearch.analyses.amount import Term
from hrmsearch.analyses.domain import Domain, Site
from hrmsearch.ir.graph import Op, Phase, Value
from hrmsearch.ir.ops import Work, lookup
from hrmsearch.ir.types import Size


@dataclass(slots=True)
class Node:
    """One value of the unrolled passes.

    parents: what it is made of. before: parents from the previous position of its scan. cut: whether no gradient
    crosses it. trained: whether it is a parameter that trains. weight: the lengths of the scans around it. mates: what
    the same call or region returned: who runs one runs all.
    """

    parents: tuple[int, ...] = ()
    before: tuple[int, ...] = ()
    cut: bool = False
    trained: bool = False
    op: Op | None = None
    weight: tuple[Size, ...] = ()
    mates: tuple[int, ...] = ()

    def weigh(self, work: Work, but: "Far | None" = None) -> Term:
        """Return the work at all positions of the scans around, but for those that something far away misses."""
        but = but or _HERE
        lengths = (*self.weight[:-1], *(size - but.missed for size in self.weight[-1:]))
        return Term(work.coefficient, (*work.sizes, *lengths), but.when)


@dataclass(frozen=True, slots=True)
class Far:
    """A distance on the tape.

    missed: how many positions of the innermost scan lie on the way. when: what must be positive for a way to be there,
    for a scan that is left again needs more positions than were missed in it.
    """

    missed: int = 0
    when: tuple[Size, ...] = ()

    def __add__(self, other: "Far") -> "Far":
        return Far(self.missed + other.missed, self.when + other.when)

    def order(self) -> tuple[int, int, int]:
        """Return what makes a distance the shorter one."""
        return len(self.when), sum(-size.constant for size in self.when), self.missed


_HERE = Far()


class Tape(Domain[int]):
    """The dependence graph of the passes run so far; values are numbers of nodes. phase: which parameters move."""

    shared: ClassVar[bool] = False

    def __init__(self, phase: Phase | None = None) -> None:
        self.phase = phase or Phase()
        self.nodes: list[Node] = []
        self._weight: tuple[Size, ...] = ()
        self._begins: list[int] = []

    def node(self, *parents: int, cut: bool = False, trained: bool = False, op: Op | None = None) -> int:
        """Add a node and return its number."""
        self.nodes.append(Node(parents, (), cut, trained, op, self._weight))
        return len(self.nodes) - 1

    def begins(self) -> None:
        """Note where a pass begins."""
        self._begins.append(len(self.nodes))

    def passes(self) -> list[range]:
        """Return the nodes of each pass."""
        return [range(a, b) for a, b in zip(self._begins, [*self._begins[1:], len(self.nodes)], strict=True)]

    # -- the domain --------------------------------------------------------------------------------------------------

    def leaf(self, op: Op, site: Site) -> int:
        """Return a node, trained if the leaf is a parameter that trains."""
        trained = op.kind == "param" and op.attrs["trainable"] and self.phase.trains(site.path(op))
        return self.node(trained=trained, op=op)

    def transfer(self, op: Op, result: Value, operands: Sequence[int], site: Site) -> int:
        """Return a node above the operands."""
        return self.node(*operands, cut=not lookup(op.kind).differentiable, op=op)

    def join(self, first: int, second: int) -> int:
        """Return a node above both."""
        return self.node(first, second)

    def opens(self, op: Op) -> bool:
        """Unroll every composite."""
        return True

    def freed(self, value: int) -> int:
        """Cut what a free repeat changed."""
        return self.node(value, cut=True)

    def span_ended(self, value: int) -> int:
        """Cut the carry."""
        return self.node(value, cut=True)

    def tie(self, scan: Op, start: Sequence[int]) -> list[int]:
        """Open a scan's body."""
        along = scan.operands[int(scan.attrs["carries"])]
        self._weight = (*self._weight, along.type.size(scan.attrs["axis"]))
        return [self.node(value) for value in start]

    def tied(self, scan: Op, knots: Sequence[int], given: Sequence[int]) -> None:
        """Close a scan's body: what it gave is what it takes at the next position."""
        self._weight = self._weight[:-1]
        for knot, value in zip(knots, given, strict=True):
            self.nodes[knot].before = (value,)

    def stacked(self, scan: Op, value: int) -> int:
        """Leave the scan."""
        return self.node(value)

    def last(self, scan: Op, value: int) -> int:
        """Leave the scan."""
        return self.node(value)

    def returned(self, values: Sequence[int]) -> None:
        """Note that these come together."""
        for value in set(values):
            self.nodes[value].mates += tuple(values)

    # -- reachability ------------------------------------------------------------------------------------------------

    def needing(self) -> dict[int, Far]:
        """Return the nodes whose value needs a gradient, with what their scan passes before it does."""
        above: list[list[tuple[int, int]]] = [[] for _ in self.nodes]
        for number, node in enumerate(self.nodes):
            if not node.cut:
                for parent, step in node_edges(node):
                    above[parent].append((number, step))
        return self._spread([n for n, node in enumerate(self.nodes) if node.trained], above)

    def reaching(self, ends: Iterable[int]) -> dict[int, Far]:
        """Return the nodes whose gradient some end gives, with what of their scan it does not reach."""
        return self._spread(ends, [[] if node.cut else node_edges(node) for node in self.nodes])

    def used(self, ends: Iterable[int]) -> set[int]:
        """Return the nodes that are run to compute some end, gradient or not."""
        below = [[*node_edges(node), *((mate, 0) for mate in node.mates)] for node in self.nodes]
        return set(self._spread(ends, below))

    def seen(self, operand: int, node: Node, distances: Mapping[int, Far]) -> Far:
        """Return an operand's distance as a node sees it, which may lie deeper in scans."""
        return self._across(distances[operand], self.nodes[operand].weight, node.weight)

    def _spread(self, sources: Iterable[int], edges: Sequence[Sequence[tuple[int, int]]]) -> dict[int, Far]:
        """Return the shortest distances from the sources."""
        found = dict.fromkeys(sources, _HERE)
        queue = deque(found)
        while queue:
            here = queue.popleft()
            for there, step in edges[here]:
                far = self._across(found[here], self.nodes[here].weight, self.nodes[there].weight) + Far(step)
                if there not in found or far.order() < found[there].order():
                    found[there] = far
                    queue.append(there)
        return found

    @staticmethod
    def _across(far: Far, here: tuple[Size, ...], there: tuple[Size, ...]) -> Far:
        """Return a distance as it is after leaving a scan or entering one."""
        if here == there:
            return far
        left = (here[-1] - far.missed,) if len(here) > len(there) and far.missed else ()
        return Far(0, far.when + left)


def node_edges(node: Node) -> list[tuple[int, int]]:
    """Return a node's parents, each with the positions of a scan that lie between."""
    return [(parent, 0) for parent in node.parents] + [(parent, 1) for parent in node.before]
