"""HS101 future-leak: in a causal task no output at token t depends on an input after t, through passes or halting.

The domain is a **horizon**: the largest offset at which a value sees the input, counted along the value's own axes of
tokens and compared lexicographically, major axis first. A value with the axis T sees `none < -1 < 0 < +1 < inf`;
after T is split into chunks (n, S) it sees `none < (-1, inf) < (0, -1) < (0, 0) < (0, inf) < inf`. Join takes the
larger.

    split T -> (n, S)       d <= 0 becomes (0, d), larger sees the whole window
    merge (n, S) -> T       (0, d <= 0) becomes d, a negative major -1, larger the whole window
    slice, pad, concat      p leading rows dropped add p, p prepended subtract p (of chunks, see `Seen.before`)
    mixing an axis          its offset and all minor ones become inf; of the outermost axis: the whole window
    a causal mixing         keeps the offset
    scan                    a carry is what the body gave one position earlier: its offset falls by one

Offsets belong to one tuple of axes; a value that has two, as scores[t, u] do, holds a horizon for each. Passes of a
window see the same tokens, so a state keeps its horizon from pass to pass; a new window makes all of it past. Where
rows halt, that there is another pass tells what the decision saw, so every state joins its horizon. Targets
hold what comes next, so they start at inf. Logits must not exceed 0 along T.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hrmsearch.analyses.diagnostics import Finding, rule
from hrmsearch.analyses.domain import Domain, Site
from hrmsearch.analyses.interpreter import Facts
from hrmsearch.analyses.states import LOGITS, TARGETS, TOKENS, is_memory, label, setting, short
from hrmsearch.analyses.walk import walk
from hrmsearch.analyses.zero import gives_zero
from hrmsearch.ir.graph import Graph, Op, Value
from hrmsearch.ir.ops import Flow, How, lookup
from hrmsearch.ir.ops.table import Flows

Axes = tuple[str, ...]
_DISSOLVED = "*"  # stands for minor axes that were mixed: every one of their positions is seen


class Seen(NamedTuple):
    """The largest offset along axes of tokens.

    before: rows that stand before the first token, a prefix say, so that position p is that of token p - before. What
    chunks dissolve it leaves alone: it counts tokens, not chunks.
    """

    offsets: tuple[float, ...]
    before: float = 0.0

    def shifted(self, by: int) -> "Seen":
        """Return it, along one axis, after `by` leading rows were dropped, or as many prepended where negative."""
        before = max(0.0, self.before - by)
        return Seen((self.offsets[0] + by - (self.before - before),), before)

    def joined(self, other: "Seen") -> "Seen":
        """Return the farther one."""
        before = min(self.before, other.before)
        return Seen(max(self._with(before), other._with(before)), before)

    def _with(self, before: float) -> tuple[float, ...]:
        """Return offsets for fewer rows before; of chunks the same, which see no less."""
        return (self.offsets[0] - (self.before - before),) if len(self.offsets) == 1 else self.offsets

    @property
    def ahead(self) -> bool:
        """Whether it reaches past its own position; for chunks, whatever stands before."""
        return self._with(0.0) > (0.0,) * len(self.offsets)


@dataclass(frozen=True, slots=True)
class Step:
    """One link of the chain that proves a leak: the spec path it stands at, and what happens there."""

    field: str
    text: str


Chain = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far a value sees, by axes of tokens; no axes at all means the whole window.

    zero: whether it is exactly zero, as what is read from an empty memory. chains: why it looks ahead, if it does.
    """

    seen: tuple[tuple[Axes, Seen], ...] = ()
    zero: bool = False
    chains: tuple[Chain, ...] = field(default=(), compare=False)

    @classmethod
    def of(cls, seen: Mapping[Axes, Seen], chains: tuple[Chain, ...] = ()) -> "Horizon":
        """Return a horizon in its one form: who sees all needs no other axes, who looks at no later token no reason."""
        found = cls((_ALL,) if () in seen else tuple(sorted(seen.items())))
        return cls(found.seen, chains=chains) if found.ahead and chains else found

    @property
    def ahead(self) -> bool:
        """Whether it reaches past its own position."""
        return any(not axes or seen.ahead for axes, seen in self.seen)

    def because(self, *steps: Step) -> "Horizon":
        """Return the horizon with steps after every chain."""
        chains = tuple((*chain, *steps) for chain in self.chains or ((),))
        return Horizon(self.seen, chains=chains) if self.ahead else self


_ALL: tuple[Axes, Seen] = (), Seen(())
NOTHING = Horizon()
ZERO = Horizon(zero=True)
# for horizons along axes that prove nothing, though no single operation looks ahead
_UNKNOWN: Chain = (Step("model", "the order of tokens is lost"),)


def everything(*steps: Step) -> Horizon:
    """Return the horizon of what sees the whole window."""
    return Horizon((_ALL,), chains=(steps,))


class Causality(Domain[Horizon]):
    """Horizons."""

    def __init__(self) -> None:
        self._flows: dict[Op, Flows] = {}

    def leaf(self, op: Op, site: Site) -> Horizon:
        """Return what a leaf sees: targets everything, other inputs their own token."""
        if op.kind == "const" and op.attrs.get("value") == 0:
            return ZERO
        if op.kind != "input" or TOKENS not in op.result.type.names:
            return NOTHING
        if op.attrs["name"] == TARGETS:
            return everything(Step("", "the targets hold the next tokens"))
        return Horizon.of({(TOKENS,): Seen((0.0,))})

    def transfer(self, op: Op, result: Value, operands: Sequence[Horizon], site: Site) -> Horizon:
        """Move every operand's horizon along the declared flow of its axes."""
        if gives_zero(op, [horizon.zero for horizon in operands]):
            return ZERO
        if not any(horizon.seen for horizon in operands):
            return NOTHING
        if op not in self._flows:
            self._flows[op] = lookup(op.kind).flow(op)
        seen: dict[Axes, Seen] = {}
        for value, flow, horizon in zip(op.operands, self._flows[op], operands, strict=True):
            for axes, along in horizon.seen:
                key, moved = _move(axes, along, flow, value.type.names, result.type.names)
                seen[key] = moved.joined(seen.get(key, moved))
        given = Horizon.of(seen, _chains(operands))
        if given.ahead and not given.chains:
            place = site.of(op.place)
            return Horizon(given.seen, chains=((Step(place, f"{short(place)} sees later tokens"),),))
        return given

    def join(self, first: Horizon, second: Horizon) -> Horizon:
        """Return the farther horizon, axes by axes."""
        if first.zero and second.zero:
            return ZERO
        seen = dict(first.seen)
        for axes, along in second.seen:
            seen[axes] = along.joined(seen.get(axes, along))
        return Horizon.of(seen, _chains((first, second)))

    def widened(self, value: Horizon) -> Horizon:
        """Give up: what still grows sees everything."""
        return Horizon((_ALL,), chains=value.chains)

    # -- states ------------------------------------------------------------------------------------------------------

    def committed(self, state: Op, value: Horizon) -> Horizon:
        """Note the commit; a memory folds its window, so the chain of one begins here."""
        step = Step(setting(state, "commit"), f"{label(state)} commits {state.attrs['commit']}")
        if is_memory(state) and value.ahead:
            return Horizon(value.seen, chains=((step,),))
        return value.because(step)

    def read(self, state: Op, value: Horizon, index: int) -> Horizon:
        """Note the pass that reads."""
        return value.because(Step(state.place, f"pass {index} reads {label(state)}"))

    def went_on(self, value: Horizon, decision: Horizon) -> Horizon:
        """See what the decision saw: that a row goes on tells it."""
        return self.join(value, decision.because(Step("nest.halt", "whether there is another pass depends on it")))

    def window_ended(self, value: Horizon) -> Horizon:
        """Return nothing: all of it lies before the next window."""
        return NOTHING

    # -- scans: inside a body the scanned axis has another name, for the body's values may have one of its name -------

    def sliced(self, scan: Op, value: Horizon) -> Horizon:
        """Turn the scanned axis into the position of the body."""
        return _renamed(value, scan.attrs["axis"], _position(scan))

    def stacked(self, scan: Op, value: Horizon) -> Horizon:
        """Turn the position of the body into the scanned axis."""
        return _renamed(value, _position(scan), scan.attrs["axis"])

    def delayed(self, scan: Op, value: Horizon) -> Horizon:
        """Count from the next position."""
        here = _position(scan)
        if value.zero:
            return ZERO
        seen = {
            axes: along._replace(
                offsets=tuple(d - 1 if axis == here else d for axis, d in zip(axes, along.offsets, strict=True))
            )
            for axes, along in value.seen
        }
        return Horizon.of(seen, value.chains)

    def last(self, scan: Op, value: Horizon) -> Horizon:
        """Dissolve the position: the last one has seen them all."""
        if value.zero:
            return ZERO
        seen = dict(_cut(axes, along, _position(scan)) for axes, along in value.seen)
        found = Horizon.of(seen, value.chains)
        rises = found.ahead and not found.chains
        return found.because(Step(scan.place, f"{short(scan.place)} sees later tokens")) if rises else found


def _chains(horizons: Sequence[Horizon]) -> tuple[Chain, ...]:
    """Return why any of the horizons looks ahead, one chain per first cause."""
    found: dict[Step, Chain] = {}
    for horizon in horizons:
        for chain in horizon.chains:
            if chain:
                found.setdefault(chain[0], chain)
    return tuple(found.values())


def _move(axes: Axes, seen: Seen, flow: Mapping[str, Flow], have: Axes, names: Axes) -> tuple[Axes, Seen]:
    """Return where an operand's axes of tokens go in a result with the axes `names`."""
    if len(axes) == 1 and (only := flow.get(axes[0])) and only.how is How.SAME and set(only.to) <= set(names):
        return only.to[:1], seen.shifted(only.by)
    new: list[tuple[str, float]] = []
    pairs = list(zip(axes, seen.offsets, strict=True))
    while pairs:
        axis, d = pairs.pop(0)
        how = flow.get(axis)
        if how is None:  # the position of a scan around, or minor axes that are gone
            new.append((axis, d))
            continue
        if how.how is How.MERGE:
            merged, pairs = _merge(axis, d, pairs, flow, have)
            if merged is None:
                return _dissolve(new, seen.before)
            new.append((how.to[0], merged))
        elif how.how is How.MIXED or not set(how.to) <= set(names) or (how.how is How.SPLIT and d > 0):
            return _dissolve(new, seen.before)
        elif how.how is How.SPLIT:
            new += [(how.to[0], 0.0), (how.to[1], d)]
        else:
            new.append((how.to[0], d + (how.by if how.how is How.SAME else 0)))
    return tuple(axis for axis, _ in new), Seen(tuple(d for _, d in new), seen.before)


def _merge(
    axis: str, d: float, rest: list[tuple[str, float]], flow: Mapping[str, Flow], have: Axes
) -> tuple[float | None, list[tuple[str, float]]]:
    """Return the offset along the merged axis, or None for all of it, and the axes that are left."""
    major, minor = (name for name in have if name in flow and flow[name] == flow[axis])
    if axis != major:
        return None, rest
    if d < 0:
        return -1.0, [pair for pair in rest if pair[0] not in (minor, _DISSOLVED)]
    inside = rest[0][1] if rest and rest[0][0] == minor else math.inf
    return (inside, rest[1:]) if d == 0 and inside <= 0 else (None, rest)


def _dissolve(outer: Sequence[tuple[str, float]], before: float) -> tuple[Axes, Seen]:
    """Return the axes that are left, with all of the minor ones seen."""
    if not outer:
        return _ALL
    kept = [pair for pair in outer if pair[0] != _DISSOLVED]
    return (*(axis for axis, _ in kept), _DISSOLVED), Seen((*(d for _, d in kept), math.inf), before)


def _renamed(value: Horizon, old: str, new: str) -> Horizon:
    if value.zero:
        return ZERO
    seen = {tuple(new if axis == old else axis for axis in axes): along for axes, along in value.seen}
    return Horizon.of(seen, value.chains)


def _position(scan: Op) -> str:
    return f"@{scan.attrs['axis']}.{id(scan)}"


def _cut(axes: Axes, seen: Seen, at: str) -> tuple[Axes, Seen]:
    if at not in axes:
        return axes, seen
    n = axes.index(at)
    return _dissolve(list(zip(axes[:n], seen.offsets[:n], strict=True)), seen.before)


def sees_later(horizon: Horizon) -> bool:
    """Return whether a value with the axis T sees later tokens; a horizon along other axes proves nothing."""
    return any(axes != (TOKENS,) or seen.ahead for axes, seen in horizon.seen)


@rule("HS101", "future-leak")
def causality(graph: Graph) -> Iterator[Finding]:
    """Yield a finding per first cause of a leak into the logits."""
    if not graph.nest.causal or LOGITS not in graph.outputs:
        return
    reported: set[Step] = set()
    for facts in walk(graph, Causality()):
        logits = facts.outputs[LOGITS]
        if sees_later(logits):
            for chain in logits.chains or (_UNKNOWN,):
                if chain[0] not in reported:
                    reported.add(chain[0])
                    yield _finding(facts, chain)


def _finding(facts: Facts[Horizon], chain: Chain) -> Finding:
    through_state = any("commits" in step.text for step in chain)
    suggestion = (
        "commit what a window wrote after its last pass only (commit: last_pass), and let it live on into the next one "
        "(lifetime: stream, task.loader: contiguous)"
        if through_state
        else "let it see earlier tokens only"
    )
    return Finding(
        chain[0].field or "model",
        f"in pass {facts.index} the logits at token t depend on tokens after t",
        (*(step.text for step in chain), "logits[t] sees input[t+k]"),
        suggestion,
    )
