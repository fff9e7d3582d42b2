"""What the analyses say of a spec holds of the running model; few examples here, thousands in the slow set."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import hrmsearch as hs
from hrmsearch.analyses.gradients import reaching
from hrmsearch.runtime import Pass
from hrmsearch.spec.model import Spec
from hrmsearch.testing import specs
from tests.soundness.probes import VISIBLE, WINDOWS, called, classes, drawn, enlarged, leak, logits, passes

pytest.importorskip("torch")


@settings(max_examples=30)
@given(spec=specs(), seed=st.integers(0, 2**16))
def test_a_model_called_causal_leaks_nothing(spec: Spec, seed: int) -> None:
    graph = hs.lower(spec)
    assume(not called(graph, "HS101"))
    assert leak(enlarged(graph, seed), seed) < VISIBLE


@settings(max_examples=30)
@given(spec=specs(), seed=st.integers(0, 2**16))
def test_gradients_are_absent_exactly_where_the_analysis_says(spec: Spec, seed: int) -> None:
    graph = hs.lower(spec)
    executable = enlarged(graph, seed)
    unit, length = graph.nest.backprop
    size = length if unit == "passes" else length * graph.nest.passes
    tokens = drawn(graph, seed, 1)
    calls = [Pass({**c.inputs, "targets": c.inputs["tokens"]}, c.reset, c.last) for c in passes(graph, tokens)]
    carry, got = executable.init_carry(1, graph.nest.window), list[frozenset[str]]()
    for start in range(0, len(calls) - size + 1, size):
        result, gradients = executable.loss_and_grads(calls[start : start + size], carry)
        carry = result.carry
        got.append(frozenset(gradients))
    said = [found for facts, found in reaching(graph) if facts.window <= WINDOWS]
    # a stream's second window may stand for all later ones
    said += said[len(said) - graph.nest.passes :] * (len(calls) // graph.nest.passes)
    want = [frozenset[str]().union(*said[i * size : (i + 1) * size]) for i in range(len(got))]
    assert got == want


@settings(max_examples=20)
@given(spec=specs(), seed=st.integers(0, 2**16))
def test_rows_called_independent_are(spec: Spec, seed: int) -> None:
    graph = hs.lower(spec)
    assume(not called(graph, "HS104"))
    before = drawn(graph, seed, 2)
    after = [window.copy() for window in before]
    after[0][1] = (after[0][1] + 1) % classes(graph)
    executable = enlarged(graph, seed)
    pairs = zip(logits(executable, before), logits(executable, after), strict=True)
    assert max(float(np.abs(a[0] - b[0]).max()) for a, b in pairs) < VISIBLE
