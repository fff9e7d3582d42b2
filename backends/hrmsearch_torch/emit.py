"""Graph to source: one file that imports torch alone."""

from collections.abc import Collection

from hrmsearch.emission import write
from hrmsearch.ir.graph import Graph
from hrmsearch.runtime import expand
from hrmsearch_torch.dialect import Torch


def emit(graph: Graph, define: Collection[str] = ()) -> str:
    """Return the source of a graph; composites in `define` are written as their definitions."""
    return write(expand(graph, keep=_forms(graph) - set(define)), Torch())


def _forms(graph: Graph) -> set[str]:
    """Return the kinds that torch has a form for; a scan by matrices has none."""
    mixing = any(op.kind == "linear_scan" and op.attrs["mix"] for region in graph.regions() for op in region.walk())
    return {*Torch.kinds} - {"linear_scan"} if mixing else {*Torch.kinds}
