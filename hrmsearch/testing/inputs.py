"""Random inputs for a graph, whatever it asks for."""

from collections.abc import Callable, Mapping

import numpy as np

from hrmsearch.ir import DType, Graph
from hrmsearch.ir.binding import RESET
from hrmsearch.runtime import Array


def random_inputs(
    graph: Graph, sizes: Mapping[str, int], rng: Callable[[str], np.random.Generator]
) -> dict[str, Array]:
    """Return inputs by name: tokens and targets below the number of classes, keys of tables, normal numbers elsewhere.

    rng: gives the generator of an input.
    """
    drawn: dict[str, Array] = {}
    keys = _keys(graph)
    for name, value in graph.inputs.items():
        if name == RESET:
            continue
        shape = value.type.shape(sizes)
        whole = value.type.dtype == DType.I32
        below = keys.get(name, classes_of(graph))
        drawn[name] = rng(name).integers(0, below, shape, np.int32) if whole else rng(name).normal(size=shape)
    return drawn


def classes_of(graph: Graph) -> int:
    """Return the number of different tokens; 2 where a graph does not say."""
    logits = graph.outputs.get("logits")
    return 2 if logits is None else logits.type.axes[-1].size.known or 2


def _keys(graph: Graph) -> dict[str, int]:
    """Return how many different keys an input can hold."""
    tables = [op for op in graph.params.values() if "keyed" in op.attrs]
    return {op.attrs["keyed"]: op.result.type.axes[0].size.known or 1 for op in tables}
