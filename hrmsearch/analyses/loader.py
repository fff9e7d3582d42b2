"""HS103 carry-outlives-loader: a state that lives as long as a stream is fed consecutive windows.

The nest hands such a state from one window to the next in the order of the loader. Only a contiguous loader gives row
b of window k+1 what continues row b of window k; a shuffled one lets the state carry one text into another. The rule
compares the lifetime of every state with the loader; no values flow.
"""

from collections.abc import Iterator

from hrmsearch.analyses.diagnostics import Finding, rule
from hrmsearch.analyses.states import label, lifetime, setting
from hrmsearch.ir.graph import Graph
from hrmsearch.ir.types import Lifetime


@rule("HS103", "carry-outlives-loader")
def loader(graph: Graph) -> Iterator[Finding]:
    """Yield a finding per place whose states outlive a window that the loader does not continue."""
    if graph.nest.loader == "contiguous":
        return
    told: set[str] = set()
    for state in graph.states.values():
        if lifetime(state) == Lifetime.STREAM and label(state) not in told:
            told.add(label(state))
            yield Finding(
                setting(state, "lifetime"),
                f"{label(state)} is carried between windows that the {graph.nest.loader} loader leaves unrelated",
                (
                    f"{label(state)} lives as long as a stream",
                    f"task.loader is {graph.nest.loader}",
                    f"window k+1 reads {label(state)} of an unrelated window k",
                ),
                "set task.loader: contiguous, or lifetime: window",
            )
