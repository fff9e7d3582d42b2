"""Compiler passes: Graph -> Graph, one file each, and the order they run in."""

from collections.abc import Callable, Sequence

from hrmsearch.ir.graph import Graph
from hrmsearch.ir.verify import verify
from hrmsearch.passes.cse import cse as cse
from hrmsearch.passes.expand import expand as expand
from hrmsearch.passes.fold import fold as fold
from hrmsearch.passes.prune import prune as prune

CompilerPass = Callable[[Graph], Graph]

#: the pipeline: folding makes operations equal, merging makes them dead; `expand` is not in it, backends see composites
DEFAULT: tuple[CompilerPass, ...] = (fold, cse, prune)


def run(graph: Graph, passes: Sequence[CompilerPass] = DEFAULT) -> Graph:
    """Return the graph after compiler passes, each checked by the verifier.

    Raises GraphError that names the compiler pass which broke a rule.
    """
    for step in passes:
        graph = verify(step(graph), after=getattr(step, "__name__", type(step).__name__))
    return graph
