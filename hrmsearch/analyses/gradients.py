"""HS102 untrained-parameter: every parameter that should train reaches the loss of some pass.

The domain is the set of parameters whose gradient a value hands on: a parameter that trains starts as itself, an
operation unites its operands, and the set is emptied by `detach`, by integers and comparisons, by a free repeat for
what its body changes, and at the end of a span. A state that a pass restores brings its learned start along; one that
is carried brings what the span has put into it. A parameter in no pass's set never moves. Where training has phases
each has a loss and moves what it names, and what one of them moves is trained. Passes differ, fresh and
carried, so each pass's own number is told as a detail; a set without any cuts tells parameters that the loss does not
read at all from those whose gradient is cut on the way.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hrmsearch.analyses.diagnostics import Finding, rule
from hrmsearch.analyses.domain import Domain, Site
from hrmsearch.analyses.interpreter import Facts
from hrmsearch.analyses.states import LOSS, short
from hrmsearch.analyses.walk import walk
from hrmsearch.ir.graph import Graph, Op, Phase, Value
from hrmsearch.ir.ops import lookup

Paths = frozenset[str]
_NONE: Paths = frozenset()


class Gradients(Domain[Paths]):
    """Sets of parameter paths. cuts: whether anything stops a gradient. places: where each parameter stands."""

    def __init__(self, *, cuts: bool = True) -> None:
        self.cuts = cuts
        self.places: dict[str, str] = {}

    def leaf(self, op: Op, site: Site) -> Paths:
        """Return a parameter that trains as itself."""
        if op.kind != "param" or not op.attrs["trainable"]:
            return _NONE
        self.places.setdefault(site.path(op), site.of(op.place))
        return frozenset({site.path(op)})

    def transfer(self, op: Op, result: Value, operands: Sequence[Paths], site: Site) -> Paths:
        """Unite the operands, unless no gradient crosses."""
        crosses = lookup(op.kind).differentiable and result.type.dtype.is_float
        return _NONE.union(*operands) if crosses or not self.cuts else _NONE

    def join(self, first: Paths, second: Paths) -> Paths:
        """Unite."""
        return first | second

    def freed(self, value: Paths) -> Paths:
        """Cut."""
        return _NONE if self.cuts else value

    def span_ended(self, value: Paths) -> Paths:
        """Cut."""
        return _NONE if self.cuts else value


def reaching(graph: Graph) -> list[tuple[Facts[Paths], Paths]]:
    """Return, pass by pass, the parameters whose gradient that pass's loss gives; of the last phase, if all move."""
    return [(facts, facts.outputs.get(LOSS, _NONE)) for facts in walk(graph, Gradients())]


def _moved(phase: Phase, facts: Facts[Paths]) -> Paths:
    """Return the parameters that a phase moves by what a pass's loss gives."""
    return frozenset(filter(phase.trains, facts.outputs.get(phase.loss, _NONE)))


def _trainable(graph: Graph) -> dict[str, Op]:
    """Return the parameters that some phase is to train; those that all leave alone stand still on purpose."""
    phases, params = graph.nest.phases, graph.params.items()
    return {path: op for path, op in params if op.attrs["trainable"] and any(phase.trains(path) for phase in phases)}


def _idle(phases: Sequence[Phase], walked: Sequence[Facts[Paths]]) -> Iterator[Finding]:
    """Yield a finding per phase of several whose loss reaches nothing that it moves."""
    for i, phase in enumerate(phases):
        if len(phases) > 1 and not any(_moved(phase, facts) for facts in walked):
            message = f"the phase {phase.name!r} moves nothing: its loss reaches none of its parameters"
            yield Finding(f"train.phases[{i}]", message, suggestion="train what its loss reads, or drop the phase")


@rule("HS102", "untrained-parameter")
def gradients(graph: Graph) -> Iterator[Finding]:
    """Yield one finding for all parameters that no pass trains."""
    if LOSS not in graph.outputs:
        return
    phases = graph.nest.phases
    sizes = {path: math.prod(op.result.type.shape({})) for path, op in _trainable(graph).items()}
    walked = walk(graph, Gradients())
    passes = [(facts, _NONE.union(*(_moved(phase, facts) for phase in phases))) for facts in walked]
    yield from _idle(phases, walked)
    never = sizes.keys() - _NONE.union(*(found for _, found in passes))
    if not never:
        return
    uncut = Gradients(cuts=False)
    read = _NONE.union(*(facts.outputs[phase.loss] for facts in walk(graph, uncut) for phase in phases))
    groups = _groups(sizes, {path: path in read for path in never}, uncut.places)
    total = sum(sizes[path] for path in never)
    yield Finding(
        groups[0].place,
        f"{total:,} of {sum(sizes.values()):,} parameters never get a gradient",
        suggestion=_suggestion(groups),
        notes=(*(str(group) for group in groups), *_by_pass(sizes, passes)),
    )


@dataclass(frozen=True, slots=True)
class _Group:
    """Untrained parameters below one place. read: whether the loss reads them at all."""

    place: str
    read: bool
    size: int
    only: str  # the path of a lone parameter

    def __str__(self) -> str:
        why = "their gradient is cut on its way from the loss" if self.read else "the loss does not read them"
        name = f" ({self.only})" if self.only else ""
        return f"{self.size:,} at {short(self.place)}{name}: {why}"


def _groups(sizes: Mapping[str, int], never: Mapping[str, bool], places: Mapping[str, str]) -> list[_Group]:
    """Gather untrained parameters below the highest places that hold no others, largest group first."""
    fates: dict[str, set[bool | None]] = {}
    for path in sizes:
        for above in _ancestors(places[path]):
            fates.setdefault(above, set()).add(never.get(path))
    members: dict[tuple[str, bool], list[str]] = {}
    for path, read in never.items():
        place = next((above for above in _ancestors(places[path]) if fates[above] == {read}), places[path])
        members.setdefault((place, read), []).append(path)
    groups = [
        _Group(place, read, sum(sizes[path] for path in paths), paths[0] if len(paths) == 1 else "")
        for (place, read), paths in members.items()
    ]
    return sorted(groups, key=lambda group: (-group.size, group.place))


def _ancestors(place: str) -> list[str]:
    """Return a spec place and what it lies in, outermost first, without the whole model."""
    ends = [i for i, c in enumerate(place) if c in ".["] + [len(place)]
    return [place[:end] for end in ends if place[:end] != "model"]


def _suggestion(groups: Sequence[_Group]) -> str:
    some = {group.read for group in groups}
    cut = "let gradient cross the ticks, passes or spans that use them (core.gradient, core.order, nest.backprop)"
    unread = "drop what no loss reads, or give it a loss"
    return "; ".join(text for text, read in ((cut, True), (unread, False)) if read in some)


def _by_pass(sizes: Mapping[str, int], passes: Sequence[tuple[Facts[Paths], Paths]]) -> Iterator[str]:
    """Yield the number without gradient in each pass of a window, where passes differ."""
    first = [(facts.index, sum(n for path, n in sizes.items() if path not in found)) for facts, found in passes]
    counts = dict(reversed(first))
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{n:,} in pass {index}" for index, n in sorted(counts.items()))
        yield f"without gradient: {told}"
