"""Terms: every value as the expression that computes it, calls written out, with an interval that holds its entries.

Equal expressions are one object, so that `1 - a` and `a` are known to speak of the same a. A term stands for an entry
at given indices, which elementwise operations share by the names of their axes; whatever moves entries along an axis
begins a new term. Nothing is assumed of inputs, parameters and states: what holds of a term holds for all of them.
"""

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from hrmsearch.analyses.domain import Domain, Site
from hrmsearch.analyses.ranges import ANY, SIZE, TRUTH, Range, elementwise
from hrmsearch.ir.graph import Op, Value
from hrmsearch.ir.ops import lookup
from hrmsearch.ir.ops.table import same_flow
from hrmsearch.ir.types import DType

# an entry of the result is the entry of the operand at the same indices
_TRANSPARENT = frozenset({"broadcast", "transpose", "detach"})
# entries of the result are entries of the operand, or lie between some
_KEEPING = frozenset({"split", "merge", "slice", "rename", "gather", "cast", "amax", "mean", "cummax"})


@dataclass(frozen=True, eq=False, slots=True)
class Term:
    """An operation on terms.

    key: what tells it from others of its kind on the same terms; None where it is elementwise. axes: those it may vary
    along.
    """

    kind: str
    key: Hashable
    args: tuple["Term", ...]
    axes: tuple[str, ...]
    range: Range


class Terms(Domain[Term]):
    """Numbers values by the expression that computes them.

    transitions: by place, each recurrence with the terms that its transition takes there.
    """

    shared: ClassVar[bool] = False

    def __init__(self) -> None:
        self.transitions: dict[str, tuple[Op, list[Term]]] = {}
        self._made: dict[Hashable, Term] = {}

    # -- terms -------------------------------------------------------------------------------------------------------

    def make(self, kind: str, key: Hashable, args: Sequence[Term], axes: Sequence[str], within: Range) -> Term:
        """Return the one term of its kind, key and arguments."""
        known = (kind, key, *args)
        if known not in self._made:
            self._made[known] = Term(kind, key, tuple(args), tuple(axes), within)
        return self._made[known]

    def constant(self, value: float) -> Term:
        """Return a number; -0.0 is 0.0."""
        return self.make("number", value + 0.0, (), (), Range(value, value))

    def pointwise(self, kind: str, args: Sequence[Term]) -> Term:
        """Return an elementwise operation."""
        if kind == "neg" and args[0].kind == "number":
            return self.constant(-args[0].range.low)
        if kind == "expm1":
            return self.pointwise("sub", [self.pointwise("exp", args), self.constant(1.0)])
        axes = dict.fromkeys(name for arg in args for name in arg.axes)
        known = SIZE if _is_quotient(kind, args) else elementwise(kind, [arg.range for arg in args])
        return self.make(kind, None, args, tuple(axes), known)

    def at(self, term: Term, axis: str, index: int) -> Term:
        """Return the entry at a position of an axis."""
        if axis not in term.axes:
            return term
        rest = [name for name in term.axes if name != axis]
        if term.kind == "joined":
            along, sizes = cast("tuple[str, tuple[int, ...]]", term.key)
            if along != axis:
                return self.make("joined", term.key, [self.at(arg, axis, index) for arg in term.args], rest, term.range)
            part = next(i for i in range(len(sizes)) if index < sum(sizes[: i + 1]))
            return self.at(term.args[part], axis, index - sum(sizes[:part]))
        if term.key is None:
            return self.pointwise(term.kind, [self.at(arg, axis, index) for arg in term.args])
        return self.make("entry", (axis, index), (term,), rest, term.range)

    def unknown(self, axes: Sequence[str] = (), within: Range = ANY) -> Term:
        """Return a term that equals no other."""
        return Term("unknown", "", (), tuple(axes), within)

    # -- the domain --------------------------------------------------------------------------------------------------

    def leaf(self, op: Op, site: Site) -> Term:
        """Return a number, or an input, parameter or table that may hold anything."""
        attrs = op.attrs
        if op.kind == "const" and attrs["rule"] == "full":
            return self.constant(attrs["value"])
        counts = op.kind == "const" and attrs["rule"] == "iota"
        key = site.path(op) if op.kind == "param" else _key(op)
        known = TRUTH if op.result.type.dtype == DType.BOOL else ANY
        return self.make(op.kind, key, (), op.result.type.names, Range(0.0) if counts else known)

    def restored(self, state: Op, start: Term) -> Term:
        """Return a state that may hold anything, for later passes read what earlier ones left."""
        return self.make("state", state.attrs["path"], (), state.result.type.names, ANY)

    def transfer(self, op: Op, result: Value, operands: Sequence[Term], site: Site) -> Term:
        """Return the term of a primitive."""
        names, row = result.type.names, lookup(op.kind)
        if op.kind == "linear_scan":
            _, found = self.transitions.setdefault(site.of(op.place), (op, []))
            found.extend(operands[:1] if operands[0] not in found else ())
            return self.unknown(names)
        if op.kind in _TRANSPARENT or (op.kind == "cast" and _between_floats(op)):
            return operands[0]
        if row.flow is same_flow and not row.attrs:
            return self.pointwise(op.kind, operands)
        if op.kind == "dropout":
            return self.unknown(names)
        if op.kind == "concat":
            return self._joined(op, operands)
        return self.make(op.kind, _key(op), operands, names, _range(op, operands))

    def _joined(self, op: Op, operands: Sequence[Term]) -> Term:
        axis = op.attrs["axis"]
        sizes = [value.type.size(axis).known for value in op.operands]
        kind, key = ("concat", _key(op)) if None in sizes else ("joined", (axis, tuple(sizes)))
        return self.make(kind, key, operands, op.result.type.names, _range(op, operands))

    def opens(self, op: Op) -> bool:
        """Open every composite but the recurrence, whose transition is noted."""
        return op.kind != "linear_scan"

    def join(self, first: Term, second: Term) -> Term:
        """Return what may be either."""
        return first if first is second else self.unknown((), first.range.around(second.range))

    # a scan's body runs once, over values that stand for all positions; nothing that leaves it equals what is inside

    def tie(self, scan: Op, start: Sequence[Term]) -> list[Term]:
        """Return carries that may be anything."""
        return [self.unknown(value.type.names) for value in scan.operands[: len(start)]]

    def sliced(self, scan: Op, value: Term) -> Term:
        """Return an entry along the scan's axis."""
        return self.unknown(value.axes, value.range)

    def stacked(self, scan: Op, value: Term) -> Term:
        """Return the stack of a value over all positions."""
        return self.unknown((*value.axes, scan.attrs["axis"]), value.range)

    def last(self, scan: Op, value: Term) -> Term:
        """Return a value at the last position."""
        return self.unknown(value.axes, value.range)


def _key(op: Op) -> str:
    return json.dumps(op.attrs, sort_keys=True)


def _between_floats(op: Op) -> bool:
    return op.operands[0].type.dtype.is_float and op.result.type.dtype.is_float


def _range(op: Op, operands: Sequence[Term]) -> Range:
    if op.kind in _KEEPING:
        return operands[0].range
    if op.kind not in ("concat", "pad"):
        return ANY
    known = operands[0].range if op.kind == "concat" else Range(op.attrs["value"], op.attrs["value"])
    for operand in operands:
        known = known.around(operand.range)
    return known


def _is_quotient(kind: str, args: Sequence[Term]) -> bool:
    """Return whether this is (p - q) / (p + q) of p, q >= 0 that are not both 0, as in a bilinear transform."""
    if kind != "div" or args[0].kind != "sub" or args[1].kind != "add":
        return False
    over, under = args
    return over.args == under.args and min(arg.range.low for arg in over.args) >= 0.0 and under.range.low > 0.0
