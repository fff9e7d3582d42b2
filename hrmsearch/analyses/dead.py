"""HS108 dead-state: every state of a window or a stream is written, committed before it is restored, and read.

A state of a window is restored at the window's first pass, so a commit after the last pass is lost, as is any commit
where a window has one pass only. A state is read if its value reaches an output, or a candidate of a state that is; the
domain marks every state as itself. A state whose candidate is the value it began with is never written.
"""

from collections.abc import Iterator

from hrmsearch.analyses.diagnostics import Finding, rule
from hrmsearch.analyses.interpreter import Facts, Interpreter
from hrmsearch.analyses.reach import NONE, Marks, Reach
from hrmsearch.analyses.states import effects, label, lifetime, setting
from hrmsearch.ir.graph import Graph, Op
from hrmsearch.ir.types import Lifetime


class Used(Reach):
    """Marks: states by path."""

    def restored(self, state: Op, start: Marks) -> Marks:
        """Mark the state."""
        return start | {state.attrs["path"]}


@rule("HS108", "dead-state", "warning")
def dead(graph: Graph) -> Iterator[Finding]:
    """Yield a finding per state that might as well not be there."""
    facts = Interpreter(graph, Used()).run(Lifetime.SAMPLE, {})
    read = _read(facts)
    told: set[str] = set()
    for path, state in graph.states.items():
        why = _why(graph, state, path in read)
        if why and label(state) not in told:
            told.add(label(state))
            field, reason, suggestion = why
            yield Finding(field, f"{label(state)} has no effect: {reason}", suggestion=suggestion)


def _read(facts: Facts[Marks]) -> Marks:
    """Return the states that reach an output, through other states too."""
    found = NONE.union(*effects(facts.outputs))
    while True:
        more = found.union(*(facts.candidates[path] for path in found if path in facts.candidates))
        if more == found:
            return found
        found = more


def _why(graph: Graph, state: Op, read: bool) -> tuple[str, str, str] | None:
    """Return where, why and what to do, if a state is dead."""
    commit, lives = setting(state, "commit"), setting(state, "lifetime")
    if not read:
        return state.place, "no output reads it", "read it, or drop it"
    if graph.candidates[state.attrs["path"]] is state.result:
        return state.place, "nothing writes it", "write it, or drop it"
    if lifetime(state) >= Lifetime.STREAM:
        return None
    if state.attrs["commit"] == "last_pass":
        return (
            commit,
            "it is committed after the last pass of a window and restored before the next",
            "set lifetime: stream",
        )
    if graph.nest.passes == 1:
        return lives, "a window has one pass, which restores it before reading", "set lifetime: stream, or more passes"
    return None
