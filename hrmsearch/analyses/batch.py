"""HS104 batch-mixing: rows of a batch do not see each other.

The domain is the set of axes along which a value's entries belong to rows: inputs and what is made of them have
`{B}`. An operation that renames such an axis renames it here; one that sums, shifts, merges or scans along it mixes
rows, and from there on the value belongs to no row. Every output that has rows and every state must belong to its own
row; the loss, which has none, may average over them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hrmsearch.analyses.diagnostics import Finding, rule
from hrmsearch.analyses.domain import Domain, Site
from hrmsearch.analyses.states import ROWS, label, short
from hrmsearch.analyses.walk import walk
from hrmsearch.ir.graph import Graph, Op, Value
from hrmsearch.ir.ops import How, lookup

_MIXED = "*"


@dataclass(frozen=True, slots=True)
class Rows:
    """The axes of rows; `*` for rows that were mixed, and the spec path where that first happened."""

    axes: frozenset[str] = frozenset()
    where: str = field(default="", compare=False)


_NONE = Rows()


class Batch(Domain[Rows]):
    """Axes of rows."""

    def leaf(self, op: Op, site: Site) -> Rows:
        """Return the rows of an input."""
        return Rows(frozenset({ROWS})) if op.kind == "input" and ROWS in op.result.type.names else _NONE

    def transfer(self, op: Op, result: Value, operands: Sequence[Rows], site: Site) -> Rows:
        """Follow the axes of rows along the declared flow."""
        if not any(rows.axes for rows in operands):
            return _NONE
        axes, where = set[str](), next((rows.where for rows in operands if rows.where), "")
        for rows, flow in zip(operands, lookup(op.kind).flow(op), strict=True):
            for axis in rows.axes:
                how = flow.get(axis)
                kept = how is not None and how.how is How.SAME and how.by == 0 and how.to[0] in result.type.names
                inside = axis.startswith("@")
                axes.add(how.to[0] if how is not None and kept else axis if inside else _MIXED)
        return Rows(frozenset(axes), where or (site.of(op.place) if _MIXED in axes else ""))

    def join(self, first: Rows, second: Rows) -> Rows:
        """Unite."""
        return Rows(first.axes | second.axes, first.where or second.where)

    def sliced(self, scan: Op, value: Rows) -> Rows:
        """Rename a scanned axis of rows: inside, the position is the row."""
        return _renamed(value, scan.attrs["axis"], _position(scan))

    def stacked(self, scan: Op, value: Rows) -> Rows:
        """Rename it back."""
        return _renamed(value, _position(scan), scan.attrs["axis"])

    def delayed(self, scan: Op, value: Rows) -> Rows:
        """Mix: the carry comes from the row before."""
        return _renamed(value, _position(scan), _MIXED, scan.place)

    def last(self, scan: Op, value: Rows) -> Rows:
        """Mix: the last carry has seen every row."""
        return _renamed(value, _position(scan), _MIXED, scan.place)


def _position(scan: Op) -> str:
    return f"@{id(scan)}"


def _renamed(value: Rows, old: str, new: str, where: str = "") -> Rows:
    if old not in value.axes:
        return value
    return Rows(value.axes - {old} | {new}, value.where or where)


@rule("HS104", "batch-mixing")
def batch(graph: Graph) -> Iterator[Finding]:
    """Yield a finding per place where rows are mixed on their way to an output or a state."""
    told: set[str] = set()
    for facts in walk(graph, Batch()):
        outputs = [(name, facts.outputs[name], value.type) for name, value in graph.outputs.items()]
        found = [(name, rows) for name, rows, type_ in outputs if ROWS in type_.names]
        found += [(label(graph.states[path]), rows) for path, rows in facts.candidates.items()]
        for name, rows in found:
            if not rows.axes <= {ROWS} and rows.where not in told:
                told.add(rows.where)
                place = rows.where or "model"
                yield Finding(
                    place,
                    f"{name} of one row depends on other rows of the batch",
                    (f"{short(place)} mixes rows", f"{name}[row b] sees row c"),
                    "work on each row alone: reduce over tokens or widths, not over B",
                )
