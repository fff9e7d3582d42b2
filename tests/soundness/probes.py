"""Probes of running models for what the analyses claim: float64, tiny shapes, weights large enough to show."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrmsearch.analyses import validate
from hrmsearch.ir import Graph, generator
from hrmsearch.ir.types import Lifetime
from hrmsearch.runtime import Array, Executable, Options, Pass, load_backend
from hrmsearch.testing.inputs import random_inputs

WINDOWS: Final = 2
# rounding stays below this, leaks that a probe is meant to see above
VISIBLE: Final = 1e-7

Tokens = NDArray[np.int32]


def called(graph: Graph, code: str) -> bool:
    """Return whether the analyses report a code."""
    return any(found.code == code for found in validate(graph))


def enlarged(graph: Graph, seed: int, backend: str = "torch") -> Executable:
    """Return an executable whose weights are drawn alike for every parameter, so that none hides a path."""
    executable = load_backend(backend).compile(graph, Options(dtype="float64"))
    shapes = {path: array.shape for path, array in executable.params.items()}
    executable.set_params({p: generator(seed, p).normal(0.0, 1.0, shape) for p, shape in shapes.items()})
    return executable


def passes(graph: Graph, windows: Sequence[Tokens]) -> Iterator[Pass]:
    """Yield the passes of consecutive windows of tokens of one stream; whatever else a graph reads stays the same."""
    rows, count = windows[0].shape
    others = random_inputs(graph, {"B": rows, "T": count}, lambda name: generator(0, "probe", name))
    for w, tokens in enumerate(windows):
        for index in range(graph.nest.passes):
            reset = Lifetime.NONE if index else Lifetime.WINDOW if w else Lifetime.STREAM
            yield Pass({**others, "tokens": tokens}, int(reset), last=index == graph.nest.passes - 1)


def logits(executable: Executable, windows: Sequence[Tokens]) -> list[Array]:
    """Return the logits of every pass over consecutive windows."""
    carry, found = executable.init_carry(*windows[0].shape), list[Array]()
    for call in passes(executable.graph, windows):
        outputs, carry = executable.forward(call, carry)
        found.append(outputs["logits"])
    return found


def classes(graph: Graph) -> int:
    """Return the size of the vocabulary."""
    return graph.outputs["logits"].type.width("C")


def drawn(graph: Graph, seed: int, batch: int) -> list[Tokens]:
    """Return consecutive windows of random tokens."""
    rng, shape = np.random.default_rng(seed), (batch, graph.nest.window)
    return [rng.integers(0, classes(graph), shape, dtype=np.int32) for _ in range(WINDOWS)]


def leak(executable: Executable, seed: int) -> float:
    """Return how far earlier logits move when one token of the last window changes.

    Weights are large, so a few models overflow; what overflows both times has not moved.
    """
    graph = executable.graph
    before = drawn(graph, seed, 1)
    at = 1 + seed % (graph.nest.window - 1)
    after = [window.copy() for window in before]
    n = classes(graph)
    after[-1][0, at] = (after[-1][0, at] + 1 + seed % (n - 1)) % n
    count = graph.nest.passes
    pairs = zip(logits(executable, before)[-count:], logits(executable, after)[-count:], strict=True)
    return max(moved(a[:, :at], b[:, :at]) for a, b in pairs)


def moved(before: Array, after: Array) -> float:
    """Return the largest difference; infinite where one of two numbers alone is none."""
    same = (before == after) | (np.isnan(before) & np.isnan(after))
    apart = np.abs(np.where(same, 0.0, after - before))
    return float(np.nan_to_num(apart, nan=np.inf, posinf=np.inf).max())
