"""HS109 no-past: a memory can hold tokens that its window does not.

A memory is a state without an axis of tokens. If it is restored at every window, all it can ever hold is the window
that every pass has in view anyway: as memory it remembers nothing. The rule reads lifetimes; whether what a longer-
lived memory holds belongs to the same text is HS103's question.
"""

from collections.abc import Iterator

from hrmsearch.analyses.diagnostics import Finding, rule
from hrmsearch.analyses.states import label, lifetime, memories, setting
from hrmsearch.ir.graph import Graph
from hrmsearch.ir.types import Lifetime


@rule("HS109", "no-past", "warning")
def past(graph: Graph) -> Iterator[Finding]:
    """Yield a finding per memory that never outlives its window."""
    for state in memories(graph):
        if lifetime(state) < Lifetime.STREAM:
            yield Finding(
                setting(state, "lifetime"),
                f"{label(state)} never holds a token from before its window",
                (f"{label(state)} lives as long as a {state.attrs['lifetime']}", "every window begins with it empty"),
                "set lifetime: stream and task.loader: contiguous",
            )
