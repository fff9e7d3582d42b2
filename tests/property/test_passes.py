"""Random straight-line graphs: texts read back, and compiler passes keep values and have nothing left to do."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hrmsearch.ir import Graph, parse, text, verify
from hrmsearch.passes import DEFAULT, expand, run
from hrmsearch.runtime import Options, Pass
from hrmsearch.testing.examples import structured_graph
from hrmsearch.testing.graphs import straight_graphs
from hrmsearch_reference import Backend


def values(graph: Graph, batch: int = 2, tokens: int = 3) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    inputs = {name: rng.normal(size=(batch, tokens, 4)) for name in ("x", "y")}
    declared = {op.attrs["path"]: op for op in graph.main.ops if op.kind == "param"}
    executable = Backend().compile(graph, Options())
    executable.set_params({path: executable.params[path] for path in declared})
    return executable.forward(Pass(inputs, reset=0), {})[0]


@given(straight_graphs())
def test_a_printed_graph_reads_back(graph: Graph) -> None:
    assert text(parse(text(graph))) == text(graph)


@given(straight_graphs())
def test_the_pipeline_preserves_every_output(graph: Graph) -> None:
    before, after = values(graph), values(run(graph))
    assert before.keys() == after.keys()
    for name, array in before.items():
        assert np.array_equal(array, after[name], equal_nan=True), name


@given(straight_graphs())
def test_the_pipeline_is_idempotent(graph: Graph) -> None:
    once = run(graph)
    assert text(run(once)) == text(once)


@given(straight_graphs(), st.sampled_from([*DEFAULT, expand]))
def test_every_compiler_pass_preserves_every_output_alone(graph: Graph, compiler_pass: type) -> None:
    before, after = values(graph), values(verify(compiler_pass(graph)))
    for name, array in before.items():
        assert np.array_equal(array, after[name], equal_nan=True), name


@given(straight_graphs())
def test_the_pipeline_never_adds_operations(graph: Graph) -> None:
    detached = sum(op.kind == "detach" for op in run(graph).main.walk())
    assert len(list(run(graph).main.walk())) - detached <= len(list(graph.main.walk()))


def test_the_pipeline_is_idempotent_on_structured_graphs() -> None:
    once = run(structured_graph())
    assert text(run(once)) == text(once)
