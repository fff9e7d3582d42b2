"""Prune: operations and functions that no output and no candidate needs are dropped.

An operation stays while any of its results is needed: unused results of a multi-result operation are left alone, and
so are signatures of functions. States stay, since each has a candidate; inputs stay unless asked otherwise, since they
are what a caller may pass.
"""

from collections.abc import Collection

from hrmsearch.errors import GraphError
from hrmsearch.ir.graph import Function, Graph, Op, Region
from hrmsearch.passes.rewrite import Rewriter


def prune(graph: Graph, outputs: Collection[str] | None = None, *, drop_inputs: bool = False) -> Graph:
    """Return the graph without dead code.

    outputs: the named outputs to keep, all by default. drop_inputs: whether unused inputs go too. Raises GraphError for
    an output the graph does not have.
    """
    unknown = sorted(set(outputs or ()) - graph.outputs.keys())
    if unknown:
        raise GraphError(f"no output {', '.join(unknown)}; the graph has: {', '.join(graph.outputs)}")
    return _Prune(graph, graph.outputs.keys() if outputs is None else outputs, drop_inputs).run()


class _Prune(Rewriter):
    def __init__(self, source: Graph, outputs: Collection[str], drop_inputs: bool) -> None:
        super().__init__(source)
        self._roots = {"state"} if drop_inputs else {"state", "input"}
        self._needed = {source.outputs[name] for name in outputs} | set(source.candidates.values())
        self._called: set[str] = set()
        self._outputs = outputs
        self._mark(source.main)
        # callees are defined before callers, so backwards every call is seen before its callee
        for function in reversed(source.functions.values()):
            if function.name in self._called:
                self._mark(function.body)

    def _mark(self, region: Region) -> None:
        """Add to `_needed` what a region's results need, walking backwards."""
        self._needed.update(region.results)
        for op in reversed(region.ops):
            if not self._lives(op):
                continue
            self._needed.update(op.operands)
            if op.kind == "call":
                self._called.add(op.attrs["callee"])
            for inner in op.regions:
                self._mark(inner)

    def _lives(self, op: Op) -> bool:
        return op.kind in self._roots or any(value in self._needed for value in op.results)

    def drops(self, op: Op) -> bool:
        return not self._lives(op)

    def keeps(self, function: Function) -> bool:
        return function.name in self._called

    def run(self) -> Graph:
        graph = super().run()
        graph.outputs = {name: value for name, value in graph.outputs.items() if name in self._outputs}
        return graph
