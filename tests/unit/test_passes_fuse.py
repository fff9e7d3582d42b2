"""The compiler pass `fuse`: what it takes into a recurrence's function, and what it leaves."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrmsearch.ir import Builder, DType, Function, Graph, Nest, Type, Value, text, verify
from hrmsearch.ir.definition import OPS_ONLY
from hrmsearch.passes import fuse
from hrmsearch.recurrence import describe
from hrmsearch.runtime import Options, Pass
from hrmsearch.testing.examples import structured_graph
from hrmsearch_reference import Backend
from tests.recurrences import CELLS, Cell, arrays

REAL = Type.parse("compute[B, T, D:32]")
Outputs = dict[str, Value]


def graph_of(build: Callable[[Builder, Value, Value, Value], Outputs]) -> Graph:
    """Return a graph over x, y (B, T, D) and a start value h (B, D)."""
    graph = Graph("fused", Nest(window=8))
    b = Builder(graph, OPS_ONLY, graph.main)
    x, y = (b.input(name, REAL) for name in "xy")
    graph.outputs = build(b, x, y, b.input("h", REAL.without("T")))
    return verify(graph)


def fused(graph: Graph) -> tuple[Graph, Function]:
    """Return a graph after the compiler pass, and the one function that it made."""
    after = verify(fuse(graph))
    (name,) = after.functions.keys() - graph.functions.keys()
    describe(after.functions[name].body)
    return after, after.functions[name]


def kinds(function: Function) -> list[str]:
    return sorted(op.kind for op in function.body.ops if op.kind != "const")


def held(graph: Graph) -> Graph:
    """Hold a graph after the compiler pass to the one before; returns it."""
    after, sizes = verify(fuse(graph)), {"B": 2, "T": 5}
    inputs = arrays(graph, sizes, 0)
    before, now = (Backend().compile(g, Options()).forward(Pass(inputs, reset=0), {})[0] for g in (graph, after))
    assert before.keys() == now.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(now[name], value, err_msg=name)
    return after


def scanned(b: Builder, a: Value, x: Value, h: Value, form: str | None = None) -> tuple[Value, Value]:
    return b.linear_scan(a, x, h, form=form)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_function_that_is_a_recurrence_stays_as_it_is(cell: Cell) -> None:
    graph = cell.graph(32)
    assert text(fuse(graph)) == text(graph)


def test_gates_and_readout_go_into_the_function_and_projections_do_not() -> None:
    def build(b: Builder, x: Value, y: Value, h: Value) -> Outputs:
        w = b.param("w", [*REAL.axes[2:], *Type.parse("compute[F:32]").axes], {"normal": 0.1})
        gate = b.rename(b.linear(y, w), "F", "D")
        keep = b.sigmoid(gate)
        states, last = scanned(b, keep, (1.0 - keep) * x, h)
        out = b.op("silu", gate) * states
        return {"y": b.rename(b.linear(out, w), "F", "D"), "h": last}

    after, function = fused(held(graph_of(build)) and graph_of(build))
    assert kinds(function) == ["linear_scan", "mul", "mul", "sigmoid", "silu", "sub"]
    assert [op.kind for op in after.main.ops if op.kind in ("einsum", "call")] == ["einsum", "call", "einsum"]
    # the gate, x and the start value go in; what is read out and the last state come out
    assert [str(value.type) for value in function.body.results] == ["compute[B, D:32]", "compute[B, T, D:32]"]


def test_what_somebody_else_reads_too_is_a_result() -> None:
    def build(b: Builder, x: Value, y: Value, h: Value) -> Outputs:
        states, _ = scanned(b, b.sigmoid(y), x, h)
        return {"y": b.op("tanh", states), "mean": b.mean(states, "T")}

    after, function = fused(graph_of(build))
    assert kinds(function) == ["linear_scan", "sigmoid", "tanh"]
    assert len(function.body.results) == 2
    held(after)


def test_a_reader_that_waits_for_the_recurrence_by_another_way_stays_outside() -> None:
    def build(b: Builder, x: Value, y: Value, h: Value) -> Outputs:
        states, last = scanned(b, b.sigmoid(y), x, h)
        late = b.broadcast(b.mean(states, "T"), REAL)
        return {"y": b.op("tanh", states * late), "z": states + b.broadcast(last, REAL), "w": states * x}

    graph = graph_of(build)
    after, function = fused(graph)
    assert kinds(function) == ["linear_scan", "mul", "sigmoid"]
    held(graph)
    assert text(fuse(after)) == text(after)


def test_what_a_gate_shares_with_others_is_made_outside() -> None:
    def build(b: Builder, x: Value, y: Value, h: Value) -> Outputs:
        keep = b.sigmoid(y)
        states, _ = scanned(b, keep, x, h)
        return {"y": states, "keep": keep}

    graph = graph_of(build)
    _, function = (held(graph), fused(graph))[1]
    assert kinds(function) == ["linear_scan"]


def test_two_recurrences_in_a_row_become_two_functions() -> None:
    def build(b: Builder, x: Value, y: Value, h: Value) -> Outputs:
        first, _ = scanned(b, b.sigmoid(y), x, h)
        second, _ = scanned(b, b.sigmoid(x), b.op("tanh", first), h)
        return {"y": second * first}

    after = held(graph_of(build))
    assert list(after.functions) == ["Recurrence", "Recurrence_2"]


def test_a_recurrence_inside_a_repeat_is_found() -> None:
    def build(b: Builder, x: Value, y: Value, h: Value) -> Outputs:
        def tick(x: Value, h: Value) -> list[Value]:
            return [*scanned(b, b.sigmoid(y), b.op("tanh", x), h)]

        states, _ = b.repeat(3, [x, h], tick)
        return {"y": states}

    after = held(graph_of(build))
    assert [op.kind for op in after.main.walk() if op.kind in ("repeat", "call")] == ["repeat", "call"]


def test_a_start_value_that_is_read_elsewhere_is_an_argument_of_its_own() -> None:
    def build(b: Builder, x: Value, y: Value, h: Value) -> Outputs:
        states, _ = scanned(b, b.sigmoid(y), x, h)
        return {"y": states * h}

    _, function = fused(graph_of(build))
    assert len([arg for arg in function.body.args if str(arg.type) == "compute[B, D:32]"]) == 2


def test_a_form_that_a_spec_names_is_kept() -> None:
    graph = graph_of(lambda b, x, y, h: {"y": scanned(b, b.sigmoid(y), x, h, form="step")[0]})
    assert text(fuse(graph)) == text(graph)


def test_a_recurrence_that_mixes_lanes_is_left_alone() -> None:
    def build(b: Builder, x: Value, y: Value, h: Value) -> Outputs:
        w = b.param("w", [*REAL.axes[2:], *Type.parse("compute[F:32]").axes], {"normal": 0.1})

        def step(h: Value, x: Value) -> list[Value]:
            new = b.op("tanh", b.rename(b.einsum("B D, D F -> B F", h, w), "F", "D") + x)
            return [new, new]

        return {"y": b.scan("T", [h], [x], step, at=1)[1] * y}

    graph = graph_of(build)
    assert text(fuse(graph)) == text(graph)


def test_whole_numbers_stay_outside() -> None:
    def build(b: Builder, x: Value, y: Value, h: Value) -> Outputs:
        ids = b.input("ids", Type(DType.I32, REAL.axes[:2]))
        states, _ = scanned(b, b.sigmoid(y), b.where(b.op("equal", ids, 1), x, 0.0), h)
        return {"y": states}

    _, function = fused(graph_of(build))
    assert kinds(function) == ["linear_scan", "sigmoid", "where"]


def test_structured_graphs_keep_their_meaning() -> None:
    graph = structured_graph()
    after = verify(fuse(graph))
    inputs = {name: np.array([[1, 2, 3], [0, 4, 2]], np.int32) for name in ("tokens", "targets")}
    found = [Backend().compile(g, Options()) for g in (graph, after)]
    before, now = (e.forward(Pass(inputs, reset=3), e.init_carry(2, 3))[0] for e in found)
    assert all(np.array_equal(before[name], now[name]) for name in before)


@given(st.permutations(range(6)), st.integers(0, 2**16))
def test_a_chain_in_any_order_keeps_its_meaning(order: list[int], seed: int) -> None:
    """Operations around a recurrence, drawn: each takes what came before it."""

    def build(b: Builder, x: Value, y: Value, h: Value) -> Outputs:
        rng = np.random.default_rng(seed)
        pool = [x, y]
        for step in order:
            one, other = (pool[rng.integers(len(pool))] for _ in range(2))
            match step:
                case 0 | 1:
                    states, last = scanned(b, b.sigmoid(one), other, h)
                    pool += [states, b.broadcast(last, REAL)]
                case 2:
                    pool.append(one - b.broadcast(b.mean(other, "D"), REAL))
                case 3:
                    pool.append(b.op("cumsum", one, axis="T"))
                case _:
                    pool.append(b.op("tanh", one * other))
        return {"y": pool[-1], "z": pool[int(rng.integers(len(pool)))]}

    held(graph_of(build))
