"""Graph to source: one file that imports tinygrad alone, besides what Python itself brings."""

from collections.abc import Collection

from hrmsearch.emission import write
from hrmsearch.ir.graph import Graph
from hrmsearch.runtime import expand
from hrmsearch_tinygrad.dialect import Tinygrad


def emit(graph: Graph, define: Collection[str] = ()) -> str:
    """Return the source of a graph; composites in `define` are written as their definitions."""
    return write(expand(graph, keep={*Tinygrad.kinds} - set(define)), Tinygrad())
