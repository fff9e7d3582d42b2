"""The graph of one phase of training, with its loss under the name `loss` and without those of the others."""

from dataclasses import replace

from hrmsearch.ir.graph import Graph
from hrmsearch.passes.prune import prune


def phased(graph: Graph, phase: int) -> Graph:
    """Return the graph of a phase, counted from 0; its header has that phase alone."""
    nest, chosen = graph.nest, graph.nest.phases[phase]
    if len(nest.phases) == 1:
        return graph
    others = {one.loss for one in nest.phases}
    outputs = {name: value for name, value in graph.outputs.items() if name not in others}
    only = replace(nest, phases=(replace(chosen, loss="loss"),))
    return prune(replace(graph, nest=only, outputs={"loss": graph.outputs[chosen.loss], **outputs}))
