"""HS106 same-window re-read: no pass reads from a memory what an earlier pass of the same window wrote there.

A memory is a state without an axis of tokens: it folds its window. If it commits after every pass, the next pass of the
window queries a summary of the tokens that it has in view anyway, later ones included, and not of the past. The domain
marks what comes from the window's inputs; a memory whose committed value has such a mark, read by a later pass of the
window on the way to an output, is re-read. The mark of inputs goes with the window.
"""

from collections.abc import Iterator

from hrmsearch.analyses.diagnostics import Finding, rule
from hrmsearch.analyses.domain import Site
from hrmsearch.analyses.reach import NONE, Marks, Reach
from hrmsearch.analyses.states import TOKENS, effects, is_memory, label, memories, setting
from hrmsearch.analyses.walk import walk
from hrmsearch.ir.graph import Graph, Op

_WINDOW = "inputs of this window"


class Reread(Reach):
    """Marks: the inputs of the window, and each memory by its label where a later pass of the window reads it."""

    def leaf(self, op: Op, site: Site) -> Marks:
        """Mark inputs with tokens."""
        return frozenset({_WINDOW}) if op.kind == "input" and TOKENS in op.result.type.names else NONE

    def read(self, state: Op, value: Marks, index: int) -> Marks:
        """Mark a memory that was written in this window."""
        return value | {label(state)} if _WINDOW in value and is_memory(state) else value

    def window_ended(self, value: Marks) -> Marks:
        """Forget the window."""
        return NONE


@rule("HS106", "same-window-re-read", "warning")
def reread(graph: Graph) -> Iterator[Finding]:
    """Yield a finding per memory that is re-read on the way to an output."""
    seen = NONE.union(*(marks for facts in walk(graph, Reread()) for marks in effects(facts.outputs)))
    for state in memories(graph):
        name = label(state)
        if name in seen:
            yield Finding(
                setting(state, "commit"),
                f"later passes read from {name} what earlier passes of the same window wrote",
                (f"{name} commits {state.attrs['commit']}", f"pass 2 reads {name}"),
                "set commit: last_pass",
            )
