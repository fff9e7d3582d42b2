"""What the analyses say of a spec holds of the running model: float64, tiny shapes, weights large enough to show."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import hrmsearch as hs
from hrmsearch.analyses import validate
from hrmsearch.analyses.gradients import reaching
from hrmsearch.ir import Graph
from hrmsearch.ir.init import generator
from hrmsearch.ir.types import Lifetime
from hrmsearch.runtime import Options, Pass, load_backend
from hrmsearch.spec.model import Spec
from tests.strategies import WINDOW, shown, specs

pytest.importorskip("torch")

WINDOWS = 2
# rounding stays below this, leaks that a probe is meant to see above
VISIBLE = 1e-7


def enlarged(graph: Graph, seed: int) -> Any:
    """Return an executable whose weights are drawn alike for every parameter, so that none hides a path."""
    executable: Any = load_backend("torch").compile(graph, Options(dtype="float64"))
    shapes = {path: array.shape for path, array in executable.params.items()}
    executable.set_params({p: generator(seed, p).normal(0.0, 1.0, shape) for p, shape in shapes.items()})
    return executable


def passes(graph: Graph, windows: Sequence[Any]) -> Iterator[Pass]:
    """Yield the passes of consecutive windows of tokens of one stream."""
    for w, tokens in enumerate(windows):
        for index in range(graph.nest.passes):
            reset = Lifetime.NONE if index else Lifetime.WINDOW if w else Lifetime.STREAM
            yield Pass({"tokens": tokens}, int(reset), last=index == graph.nest.passes - 1)


def logits(executable: Any, windows: Sequence[Any]) -> list[Any]:
    """Return the logits of every pass over consecutive windows."""
    carry, found = executable.init_carry(*windows[0].shape), list[Any]()
    for call in passes(executable.graph, windows):
        outputs, carry = executable.forward(call, carry)
        found.append(outputs["logits"])
    return found


def drawn(seed: int, batch: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 97, (batch, WINDOW)).astype(np.int32) for _ in range(WINDOWS)]


def leak(executable: Any, seed: int) -> float:
    """Return how far earlier logits move when one token of the last window changes."""
    before = drawn(seed, 1)
    at = 1 + seed % (WINDOW - 1)
    after = [window.copy() for window in before]
    after[-1][0, at] = (after[-1][0, at] + 1 + seed % 90) % 97
    n = executable.graph.nest.passes
    pairs = zip(logits(executable, before)[-n:], logits(executable, after)[-n:], strict=True)
    return max(float(np.abs(a[:, :at] - b[:, :at]).max()) for a, b in pairs)


@settings(max_examples=30)
@given(spec=specs(), seed=st.integers(0, 2**16))
def test_a_model_called_causal_leaks_nothing(spec: Spec, seed: int) -> None:
    graph = hs.lower(spec)
    assume(not any(found.code == "HS101" for found in validate(graph, spec)))
    assert leak(enlarged(graph, seed), seed) < VISIBLE, shown(spec)


@settings(max_examples=30)
@given(spec=specs(), seed=st.integers(0, 2**16))
def test_gradients_are_absent_exactly_where_the_analysis_says(spec: Spec, seed: int) -> None:
    graph = hs.lower(spec)
    executable = enlarged(graph, seed)
    unit, length = graph.nest.backprop
    size = length if unit == "passes" else length * graph.nest.passes
    tokens = drawn(seed, 1)
    calls = [Pass({**c.inputs, "targets": c.inputs["tokens"]}, c.reset, c.last) for c in passes(graph, tokens)]
    carry, got = executable.init_carry(1, WINDOW), list[frozenset[str]]()
    for start in range(0, len(calls) - size + 1, size):
        result, gradients = executable.loss_and_grads(calls[start : start + size], carry)
        carry = result.carry
        got.append(frozenset(gradients))
    said = [found for facts, found in reaching(graph) if facts.window <= WINDOWS]
    # a stream's second window may stand for all later ones
    said += said[len(said) - graph.nest.passes :] * (len(calls) // graph.nest.passes)
    want = [frozenset[str]().union(*said[i * size : (i + 1) * size]) for i in range(len(got))]
    assert got == want, shown(spec)


@settings(max_examples=20)
@given(spec=specs(), seed=st.integers(0, 2**16))
def test_rows_called_independent_are(spec: Spec, seed: int) -> None:
    graph = hs.lower(spec)
    assume(not any(found.code == "HS104" for found in validate(graph, spec)))
    before = drawn(seed, 2)
    after = [window.copy() for window in before]
    after[0][1] = (after[0][1] + 1) % 97
    executable = enlarged(graph, seed)
    pairs = zip(logits(executable, before), logits(executable, after), strict=True)
    assert max(float(np.abs(a[0] - b[0]).max()) for a, b in pairs) < VISIBLE, shown(spec)
