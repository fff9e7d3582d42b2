"""Graph to source: one file that imports torch alone."""

from collections.abc import Collection, Iterator

from hrmsearch.emission import methods, write
from hrmsearch.ir.graph import Graph, Region
from hrmsearch.recurrence import is_titled
from hrmsearch.runtime import expand
from hrmsearch_torch.dialect import Torch


def emit(graph: Graph, define: Collection[str] = ()) -> str:
    """Return the source of a graph; composites in `define` are written as their definitions."""
    return write(_written(graph, define), Torch())


def recurrences(graph: Graph) -> Iterator[tuple[str, str, Region]]:
    """Yield class and method of every function in a graph's source that a kernel may stand for, and its body."""
    written = _written(graph)
    for name, owner, method in methods(written, Torch()):
        if is_titled(name):
            yield owner, method, written.functions[name].body


def _written(graph: Graph, define: Collection[str] = ()) -> Graph:
    return expand(graph, keep=Torch.kinds.keys() - set(define))
