"""What a backend can tell of a spec's train steps before any training."""

import numpy as np

from hrmsearch.ir import Graph, Lifetime
from hrmsearch.ir.binding import RESET
from hrmsearch.runtime import CountsKernels, PrintsKernels, Span, StartCost, capable
from hrmsearch.spec.model import Spec
from hrmsearch.tasks.loaders import Batch
from hrmsearch.train.compiling import options_for, prepared_for
from hrmsearch.train.nest import group_length, spans
from hrmsearch.train.options import RunOptions


def kernels_for(spec: Spec, graph: Graph, options: RunOptions, batch: int, tokens: int) -> str:
    """Return the kernels that run a spec on a device, which need not be here, as one source file.

    Raises BackendError where the backend shows none or cannot write for the device.
    """
    backend = capable(options.backend, PrintsKernels, "print kernels")
    chosen, blank = options_for(spec, graph, options), blank_spans(graph, batch, tokens)
    return backend.kernels(prepared_for(spec, graph, options), chosen, blank)


def start_cost_for(spec: Spec, graph: Graph, options: RunOptions, batch: int, tokens: int) -> StartCost:
    """Compile a spec as `run` does, take its first steps on blank windows, and return what that took.

    Raises BackendError where the backend does not count or the device is missing.
    """
    backend = capable(options.backend, CountsKernels, "count the kernels of a step")
    chosen, blank = options_for(spec, graph, options), blank_spans(graph, batch, tokens)
    return backend.start_cost(prepared_for(spec, graph, options), chosen, blank)


def blank_spans(graph: Graph, batch: int, tokens: int) -> list[Span]:
    """Return the spans of one window, or of as many as gradient crosses, with zeros for inputs."""
    sizes = {"B": batch, "T": tokens}
    types = {name: value.type for name, value in graph.inputs.items() if name != RESET}
    arrays = {name: np.zeros(type_.shape(sizes), np.int32) for name, type_ in types.items()}
    return spans([Batch(arrays, Lifetime.STREAM)] * group_length(graph.nest), graph.nest)
