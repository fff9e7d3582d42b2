"""Whether recurrences are all that mixes a window's tokens, read from the op table's flows.

The domain tells apart what a value is while the window passes by: a token's own, the state that a recurrence starts
from, or what it ends with. A recurrence over T may start from a carried state only, once in a pass, and its end must be
that state's candidate; then a window in pieces is the window. With anything else that moves information along T
(attention, reductions, shifts, tables of positions, chunks, a state that is read rather than continued) it is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from hrmsearch.analyses.interpreter import Domain, Interpreter, Site
from hrmsearch.ir import Graph, Lifetime, Op, Size, Value
from hrmsearch.ir.ops import How, Recurrence, lookup

_TOKENS = Size.of("T")


@dataclass(frozen=True, eq=False, slots=True)
class _Fact:
    """broken: why pieces would differ. state: the state that this value is. end: the state whose recurrence ended."""

    broken: str = ""
    state: str = ""
    end: str = ""


class _Recurrences(Domain[_Fact]):
    """Values never compare equal, so that every tick is walked."""

    shared: ClassVar[bool] = False

    def __init__(self) -> None:
        #: the states that a recurrence started from
        self.started: set[str] = set()
        # whose end each carry of the open scans is: a state's path, "" for none, None where tokens are not scanned
        self._open: list[list[str | None]] = []
        self._ends: list[str | None] = []
        # what is still to be said of the results of a composite that recurs
        self._given: list[_Fact] = []

    def leaf(self, op: Op, site: Site) -> _Fact:
        """Return what an input, parameter or constant is."""
        del site
        counted = op.kind == "const" and op.attrs["rule"] != "full" and any(map(_along, op.result.type.sizes))
        return _Fact(f"{op.attrs['rule']} counts positions from the start of the window" if counted else "")

    def read(self, state: Op, value: _Fact, index: int) -> _Fact:
        """Return a state without tokens as itself; one with tokens restarts with every piece."""
        del value, index
        path = state.attrs["path"]
        if not any(map(_along, state.result.type.sizes)):
            return _Fact(state=path)
        return _Fact(f"{path} holds a value per token from window to window" if _outlives(state) else "")

    def transfer(self, op: Op, result: Value, operands: Sequence[_Fact], site: Site) -> _Fact:
        """Return a token's own value if every operand is one and none moves along T."""
        del site
        recurs = lookup(op.kind).recurs
        if recurs is not None:
            if result is op.results[0]:
                self._given = self._recurred(op, recurs(op), operands)
            return self._given.pop(0)
        return _read(op, operands) or _Fact(_moves(op))

    def _recurred(self, op: Op, recurrence: Recurrence, operands: Sequence[_Fact]) -> list[_Fact]:
        """Return the results of a composite that recurs: what it gives along its axis, and the ends it hands on."""
        carries = recurrence.carries
        found = _read(op, [fact for i, fact in enumerate(operands) if i not in carries]) or _Fact()
        size = op.results[0].type.size(recurrence.axis)
        if not _along(size):
            found = _read(op, operands) or _Fact()
            return [found] * len(op.results)
        begun = {i: self._begin(operands[i]) if size == _TOKENS else "" for i in carries}
        for i, path in begun.items():
            found = found if path or found.broken else _Fact(self._why(op, operands[i], recurrence.axis))
        ends = {carries[i]: _Fact(found.broken, end="" if found.broken else path) for i, path in begun.items()}
        return [ends.get(at, found) for at in range(len(op.results))]

    def join(self, first: _Fact, second: _Fact) -> _Fact:
        """Return the first that is broken."""
        return first if first.broken else second

    def tie(self, scan: Op, start: Sequence[_Fact]) -> list[_Fact]:
        """Begin a recurrence; a scan along anything but tokens is a computation like any other."""
        carries: int = scan.attrs["carries"]
        size = scan.operands[carries].type.size(scan.attrs["axis"])
        if not _along(size):
            self._open.append([None] * len(start))
            return list(start)
        begun = [self._begin(fact) if size == _TOKENS else "" for fact in start]
        self._open.append([*begun])
        axis: str = scan.attrs["axis"]
        pairs = zip(begun, start, strict=True)
        return [_Fact() if path else _Fact(self._why(scan, fact, axis)) for path, fact in pairs]

    def _begin(self, fact: _Fact) -> str:
        """Return the state that a recurrence starts from, unless one did before."""
        if not fact.state or fact.state in self.started:
            return ""
        self.started.add(fact.state)
        return fact.state

    def _why(self, op: Op, fact: _Fact, axis: str) -> str:
        if fact.broken:
            return fact.broken
        if fact.state in self.started:
            return f"more than one recurrence starts from {fact.state}"
        return f"a {op.kind} along {axis} starts from no carried state"

    def tied(self, scan: Op, knots: Sequence[_Fact], given: Sequence[_Fact]) -> None:
        """Note whose ends come next; they come in the order of the carries."""
        del scan, knots, given
        self._ends = self._open.pop()

    def last(self, scan: Op, value: _Fact) -> _Fact:
        """Return the end of a recurrence."""
        path = self._ends.pop(0)
        if path is None or value.broken:
            return value
        return _Fact(end=path) if path else _Fact(f"a scan along {scan.attrs['axis']} hands on what no state carries")


def _read(op: Op, operands: Sequence[_Fact]) -> _Fact | None:
    """Return why an operation may not have its operands, if it may not."""
    for operand in operands:
        if operand.broken:
            return operand
        if operand.state or operand.end:
            return _Fact(f"{op.kind} reads {operand.state or operand.end}, which a recurrence should continue")
    return None


def why_not_recurrent(graph: Graph) -> str:
    """Return why a window in pieces is not the window, or "" where it is."""
    if "logits" not in graph.outputs:
        return "the graph has no logits"
    if graph.nest.passes > 1:
        return "a later pass over a piece comes before the first pass over the next"
    domain = _Recurrences()
    facts = Interpreter(graph, domain).run(Lifetime.NONE, {path: _Fact() for path in graph.states})
    if broken := facts.outputs["logits"].broken:
        return broken
    for path, op in graph.states.items():
        candidate = facts.candidates[path]
        handed_on = candidate.end if path in domain.started else candidate.state
        if not any(map(_along, op.result.type.sizes)) and handed_on != path:
            return candidate.broken or f"the candidate of {path} is not the end of its recurrence"
    return _mixed_lifetimes(graph)


def _mixed_lifetimes(graph: Graph) -> str:
    """Check that one reset between pieces can restore the states with tokens and spare the others."""
    with_tokens = [op for op in graph.states.values() if any(map(_along, op.result.type.sizes))]
    lost = [path for path, op in graph.states.items() if op not in with_tokens and not _outlives(op)]
    return f"{lost[0]} ends with a window, as do states that hold a value per token" if with_tokens and lost else ""


def _outlives(state: Op) -> bool:
    return Lifetime.of(state.attrs["lifetime"]) > Lifetime.WINDOW


def _along(size: Size) -> bool:
    return "T" in size.symbols


def _moves(op: Op) -> str:
    """Return how an operation moves information along T, or "" if it does not."""
    for value, flow in zip(op.operands, lookup(op.kind).flow(op), strict=True):
        for name, size in zip(value.type.names, value.type.sizes, strict=True):
            way = flow[name]
            if _along(size) and (way.how is not How.SAME or way.by):
                return f"{op.kind} mixes tokens"
            if not _along(size) and any(_along(op.result.type.size(to)) for to in way.to):
                return f"{op.kind} reads a table of positions from the start of the window"
    return ""
