"""Every op's declared flow is held to its meaning: what a result may not see cannot change it, bit for bit."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hrmsearch.ir import Graph, Op
from hrmsearch.ir.ops import Flow, How, lookup, op_kinds
from hrmsearch.runtime import Options, Pass
from hrmsearch.testing.examples import Example, example_graph, example_inputs, examples
from hrmsearch_reference import Backend

Array = NDArray[Any]
EXAMPLES = range(len(examples()))


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, int, int, int]:
    return draw(st.integers(1, 3)), draw(st.integers(1, 5)), 2 * draw(st.integers(1, 3)), draw(st.integers(1, 4))


class Runner:
    """A graph's results by its inputs; compiled once, run often."""

    def __init__(self, graph: Graph) -> None:
        self._executable = Backend().compile(graph, Options())

    def __call__(self, inputs: Mapping[str, Array]) -> list[Array]:
        return list(self._executable.forward(Pass(inputs, reset=0), {})[0].values())


def title(which: int) -> str:
    return str(examples()[which])[:60]


def test_every_composite_has_an_example() -> None:
    kinds = {example.kind for example in examples()}
    assert {row.kind for row in op_kinds() if row.define} <= kinds


@pytest.mark.parametrize("which", EXAMPLES, ids=title)
def test_results_outside_the_declared_flow_do_not_change(which: int) -> None:
    if not examples()[which].operands:
        return  # a constant sees nothing

    @given(shapes(), st.integers(0, 2**31))
    def check(shape: tuple[int, int, int, int], seed: int) -> None:
        batch, tokens, d, f = shape
        rng = np.random.default_rng(seed)
        check_flow(examples(d, f)[which], {"B": batch, "T": tokens}, rng)

    check()


@pytest.mark.parametrize(
    "which", [i for i, example in enumerate(examples()) if lookup(example.kind).recurs is not None], ids=title
)
def test_what_recurs_may_be_cut_anywhere(which: int) -> None:
    @given(shapes(), st.data(), st.integers(0, 2**31))
    def check(shape: tuple[int, int, int, int], data: st.DataObject, seed: int) -> None:
        batch, tokens, d, f = shape
        graph = example_graph(examples(d, f)[which])
        op = graph.main.ops[-1]
        recurs = lookup(op.kind).recurs
        assert recurs is not None
        recurrence, run = recurs(op), Runner(graph)
        inputs = example_inputs(graph, {"B": batch, "T": tokens}, np.random.default_rng(seed))
        types = {f"x{i}": value.type for i, value in enumerate(op.operands)}
        along = {name: type_.index("T") for name, type_ in types.items() if "T" in type_.names}
        cut = data.draw(st.integers(1, max(1, tokens - 1)))
        held, pieces = inputs, list[Array]()
        for piece in (slice(0, cut), slice(cut, tokens)):
            if piece.start < tokens:
                part = {name: np.take(inputs[name], range(tokens)[piece], axis=at) for name, at in along.items()}
                results = run(held | part)
                held = held | {f"x{start}": results[end] for start, end in recurrence.carries.items()}
                pieces.append(results[0])
        whole = run(inputs)
        at = op.results[0].type.index(recurrence.axis)
        np.testing.assert_allclose(np.concatenate(pieces, at), whole[0], rtol=1e-9, atol=1e-9)
        for start, end in recurrence.carries.items():
            np.testing.assert_allclose(held[f"x{start}"], whole[end], rtol=1e-9, atol=1e-9)

    check()


def check_flow(example: Example, sizes: Mapping[str, int], rng: np.random.Generator) -> None:
    graph = example_graph(example)
    op = next(op for op in graph.main.ops if op.kind == example.kind)
    inputs, run = example_inputs(graph, sizes, rng), Runner(graph)
    before = run(inputs)
    for i, flows in enumerate(lookup(op.kind).flow(op)):
        name = f"x{i}"
        for axis, flow in flows.items():
            at = op.operands[i].type.index(axis)
            size: int = inputs[name].shape[at]
            position = int(rng.integers(size))
            moved = inputs[name].copy()
            index = tuple(position if k == at else slice(None) for k in range(moved.ndim))
            moved[index] = _other(moved[index])
            after = run(inputs | {name: moved})
            for value, old, new in zip(op.results, before, after, strict=True):
                hidden = _hidden(op, flow, axis, position, value.type.names, old.shape)
                if hidden is not None:
                    assert np.array_equal(old[hidden], new[hidden]), f"{example}: x{i} axis {axis} at {position}"


def _other(array: Array) -> Array:
    return ~array if array.dtype == np.bool_ else (array + 1) % 3 if array.dtype.kind == "i" else array * 1.25


def _hidden(
    op: Op, flow: Flow, axis: str, position: int, names: tuple[str, ...], shape: tuple[int, ...]
) -> tuple[slice | NDArray[np.bool_], ...] | None:
    """Return the index of results that may not see a position, or None where all may."""
    if flow.how is How.MIXED or not set(flow.to) <= set(names):
        return None
    grids = {name: np.arange(shape[names.index(name)]) for name in flow.to}
    if flow.how is How.SPLIT:
        major, minor = flow.to
        size = len(grids[minor])
        seen = (grids[major][:, None] * size + grids[minor]) == position
        first, second = names.index(major), names.index(minor)
        assert second == first + 1
        return (*(slice(None) for _ in names[:first]), ~seen)
    (to,) = flow.to
    seen = _seen(op, flow, axis, position, grids[to])
    return (*(slice(None) for _ in names[: names.index(to)]), ~seen)


def _seen(op: Op, flow: Flow, axis: str, position: int, results: NDArray[np.int64]) -> NDArray[np.bool_]:
    if flow.how is How.SAME:
        return results + flow.by == position
    if flow.how is How.CAUSAL:
        return results >= position
    major, minor = op.attrs["axes"]
    size = op.operands[0].type.width(minor)
    return results // size == position if axis == major else results % size == position
