"""Compiler passes: Graph -> Graph, one file each, and the order they run in."""

from collections.abc import Callable, Sequence
from functools import partial, update_wrapper
from inspect import signature

from hrmsearch.ir.graph import Graph
from hrmsearch.ir.verify import verify
from hrmsearch.passes.cse import cse as cse
from hrmsearch.passes.expand import expand as expand
from hrmsearch.passes.fold import fold as fold
from hrmsearch.passes.forms import Target as Target
from hrmsearch.passes.forms import forms as forms
from hrmsearch.passes.fuse import fuse as fuse
from hrmsearch.passes.join import join as join
from hrmsearch.passes.phases import phased as phased
from hrmsearch.passes.prune import prune as prune

CompilerPass = Callable[[Graph], Graph]

#: what simplifies a graph for any backend: folding makes operations equal, merging makes them dead
DEFAULT: tuple[CompilerPass, ...] = (fold, cse, prune)


def pipeline(target: Target) -> tuple[CompilerPass, ...]:
    """Return what a graph goes through on its way to a backend; `expand` is not in it, backends see composites."""
    return (*DEFAULT, aimed(join, target), aimed(fuse, target), aimed(forms, target))


def aimed(step: Callable[..., Graph], target: Target) -> CompilerPass:
    """Return a compiler pass, told what it compiles for if it asks for a `target`."""
    return update_wrapper(partial(step, target=target), step) if "target" in signature(step).parameters else step


def run(graph: Graph, passes: Sequence[CompilerPass] = DEFAULT) -> Graph:
    """Return the graph after compiler passes, each checked by the verifier.

    Raises GraphError that names the compiler pass which broke a rule.
    """
    for step in passes:
        graph = verify(step(graph), after=getattr(step, "__name__", type(step).__name__))
    return graph
