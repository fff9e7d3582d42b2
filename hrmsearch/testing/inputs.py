"""Random inputs for a graph, whatever it asks for."""

from collections.abc import Callable, Mapping

import numpy as np

from hrmsearch.ir import DType, Graph
from hrmsearch.ir.binding import RESET
from hrmsearch.runtime import Array

_FORMATS: Mapping[DType, type] = {DType.I32: np.int32, DType.BOOL: np.bool_}


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
        below = 2 if value.type.dtype == DType.BOOL else keys.get(name, classes_of(graph))
        whole = rng(name).normal(size=shape) if value.type.dtype.is_float else rng(name).integers(0, below, shape)
        drawn[name] = whole.astype(_FORMATS.get(value.type.dtype, np.float64))
    return drawn


def classes_of(graph: Graph) -> int:
    """Return the number of different tokens; 2 where a graph does not say."""
    logits = graph.outputs.get("logits")
    return 2 if logits is None else logits.type.axes[-1].size.known or 2


def _keys(graph: Graph) -> dict[str, int]:
    """Return how many different keys an input can hold."""
    tables = [op for op in graph.params.values() if "keyed" in op.attrs]
    return {op.attrs["keyed"]: op.result.type.axes[0].size.known or 1 for op in tables}
