"""The builder: numbers become constants, blocks become functions, prefixes say what is shared."""

import pytest

from hrmsearch.errors import GraphError
from hrmsearch.ir import Builder, DType, Graph, Nest, Type, Value, axis, verify
from hrmsearch.passes.rewrite import OPS_ONLY

X = Type.parse("compute[B, T, D:4]")


def start(type_: Type = X) -> tuple[Builder, Value]:
    graph = Graph("built", Nest())
    b = Builder(graph, OPS_ONLY, graph.main)
    return b, b.input("x", type_)


def kinds(b: Builder) -> list[str]:
    return [op.kind for op in b.region.ops]


def block(b: Builder, x: Value) -> Value:
    return x * b.param("gain", [axis("D", 4)], "ones")


def test_arithmetic_on_values_appends_operations() -> None:
    b, x = start()
    y = 1.0 - x / 2.0 + -x
    assert kinds(b) == ["input", "const", "div", "const", "sub", "neg", "add"]
    assert y.type == X


def test_a_number_takes_its_neighbours_dtype() -> None:
    b, ids = start(Type.parse("i32[B, T]"))
    b.op("equal", ids, 3)
    assert b.region.ops[1].result.type == Type(DType.I32)
    wide = b.cast(b.cast(ids, DType.COMPUTE), DType.WIDE)
    b.where(b.op("less", ids, 2), 0.0, wide)
    assert b.region.ops[-2].result.type == Type(DType.WIDE)


def test_a_cast_to_the_dtype_at_hand_is_nothing() -> None:
    b, x = start()
    assert b.cast(x, DType.COMPUTE) is x


def test_a_leaf_needs_its_type() -> None:
    b, _ = start()
    with pytest.raises(GraphError, match="const needs a declared type"):
        b.op("const", rule="full", value=0.0)


def test_equal_keys_and_types_share_one_function() -> None:
    b, x = start()
    for prefix in ("l.0", "l.1"):
        (x,) = b.call(prefix, block, x, title="block", key="k")
    b.call("wide", block, b.op("slice", x, axis="T", start=0, size="T-1", into="T"), title="block", key="k")
    b.call("other", block, x, title="block", key="other")
    assert list(b.graph.functions) == ["block", "block_2", "block_3"]
    assert list(b.graph.params) == ["l.0.gain", "l.1.gain", "wide.gain", "other.gain"]
    verify(b.graph)


def test_equal_prefixes_share_parameters() -> None:
    b, x = start()
    for _ in range(2):
        (x,) = b.call("shared", block, x, title="block", key="k")
    assert list(b.graph.params) == ["shared.gain"]


def test_places_are_stamped_inside_and_restored_after() -> None:
    b, x = start()
    with b.at("model.core"):
        y = b.exp(x)
    z = b.exp(y)
    del z
    assert [op.place for op in b.region.ops] == ["", "model.core", ""]


def test_a_repeat_returns_what_it_carries() -> None:
    b, x = start()

    def tick(u: Value, v: Value) -> list[Value]:
        return [u + v, v]

    def shrink(u: Value) -> list[Value]:
        return [b.mean(u, "T")]

    y, same = b.repeat(3, [x, x], tick, free=True)
    assert (y.type, same.type) == (X, X)
    assert kinds(b) == ["input", "repeat"]
    with pytest.raises(GraphError, match="returns what it takes"):
        b.repeat(2, [x], shrink)


def test_a_scan_stacks_what_its_body_yields() -> None:
    b, x = start()
    carry = b.zeros(X.without("T"))

    def step(h: Value, x_t: Value) -> list[Value]:
        return [h + x_t, b.mean(x_t, "D")]

    def swapped(h: Value, x_t: Value) -> list[Value]:
        return step(h, x_t)[::-1]

    last, stacked = b.scan("T", [carry], [x], step, at=1)
    assert str(last.type) == "compute[B, D:4]"
    assert str(stacked.type) == "compute[B, T]"
    with pytest.raises(GraphError, match="carries first"):
        b.scan("T", [carry], [x], swapped, at=1)


def test_values_of_a_finished_graph_have_no_arithmetic() -> None:
    with pytest.raises(AssertionError, match="finished"):
        _ = Value(X) + 1.0


def test_a_state_needs_rows_a_lifetime_and_a_commit() -> None:
    b, _ = start()
    reset, zero = b.input("reset", Type.parse("i8[B]")), b.zeros(Type.parse("compute[D:4]"))
    memory = Type.parse("compute[B, D:4]")
    b.state("m", memory, zero, reset, lifetime="stream", commit="last_pass")
    with pytest.raises(GraphError, match="unknown lifetime 'forever'; one of: none, pass, window, stream"):
        b.state("n", memory, zero, reset, lifetime="forever", commit="last_pass")
    with pytest.raises(GraphError, match="every_pass or last_pass"):
        b.state("n", memory, zero, reset, lifetime="stream", commit="never")
    with pytest.raises(GraphError, match="row axis first"):
        b.state("n", Type.parse("compute[D:4]"), zero, reset, lifetime="stream", commit="last_pass")
    with pytest.raises(GraphError, match="one entry per row"):
        b.state("n", memory, zero, zero, lifetime="stream", commit="last_pass")


def test_a_parameter_has_no_symbolic_axis() -> None:
    b, _ = start()
    with pytest.raises(GraphError, match="no symbolic axis"):
        b.param("w", [axis("T")])
