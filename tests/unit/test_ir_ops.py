"""Type rules: what each op kind refuses, and that every kind has an example that it accepts."""

from typing import Any

import pytest

from hrmsearch.errors import GraphError
from hrmsearch.ir import text
from hrmsearch.ir.ops import lookup, op_kinds
from hrmsearch.testing.examples import Example, example_graph, examples, structured_graph

X, ROW, IDS = "compute[B, T, D:4]", "compute[D:4]", "i32[B, T]"
MLSTM: dict[str, Any] = {"eps": 1e-6, "chunk": None}


def mlstm(**changed: str) -> tuple[str, ...]:
    """Return operands that the op takes, but for those changed."""
    key, gate = "wide[B, T, K:2]", "wide[B, T]"
    state = {"C": "wide[B, K:2, V:3]", "n": "wide[B, K:2]", "m": "wide[B]"}
    return tuple({"q": key, "k": key, "v": "wide[B, T, V:3]", "i": gate, "f": gate, **state, **changed}.values())


def test_every_op_kind_has_an_example() -> None:
    structured = {op.kind for region in structured_graph().regions() for op in region.walk()}
    assert {row.kind for row in op_kinds()} == structured | {example.kind for example in examples()}


def test_every_primitive_has_a_meaning_and_every_composite_a_definition() -> None:
    bare = {row.kind for row in op_kinds() if row.numpy is None and row.define is None}
    assert bare == {"input", "param", "state", "repeat", "scan", "call"}


def test_work_counts_a_multiply_add_as_two() -> None:
    graph = example_graph(Example("einsum", (X, "compute[D:4, F:3]"), {"spec": "B T D, D F -> B T F"}))
    (work,) = lookup("einsum").contraction(graph.main.ops[-1])
    assert work.evaluate({"B": 2, "T": 5}) == 2 * 2 * 5 * 4 * 3
    assert str(work.symbolic()) == "24*B*T"


REFUSED: list[tuple[str, tuple[str, ...], dict[str, Any], str]] = [
    ("add", (X, "wide[D:4]"), {}, "floats of one dtype"),
    ("add", (IDS, IDS), {}, "floats of one dtype"),
    ("exp", (IDS,), {}, "floats of one dtype"),
    ("mul", (X, "compute[D:5]"), {}, "does not broadcast"),
    ("less", (X, IDS), {}, "one dtype"),
    ("and", (X, X), {}, "operands are bool"),
    ("where", (X, X, X), {}, "condition is bool"),
    ("where", ("bool[B, T]", X, "wide[D:4]"), {}, "one dtype"),
    ("einsum", (X, "compute[F:3]"), {"spec": "B T D -> B T D"}, "one word list per operand"),
    ("einsum", (X,), {"spec": "B T -> B"}, "does not name the axes"),
    ("einsum", (X, "compute[F:3]"), {"spec": "B T D, D -> B T"}, "D is both 4 and 3"),
    ("einsum", (X,), {"spec": "B T T -> B"}, "twice"),
    ("einsum", (X,), {"spec": "B T D -> B C"}, "occurs in no operand"),
    ("sum", (X,), {"axes": ["C"]}, "no axis C"),
    ("sum", (IDS,), {"axes": ["T"]}, "is a float"),
    ("cumsum", (X,), {"axis": "C"}, "no axis C"),
    ("gather", (X, X), {}, "indices are i32"),
    ("split", (X,), {"axis": "D", "into": [["A", 3], ["K", 2]]}, "is not 4"),
    ("split", (X,), {"axis": "T", "into": [["n", "ceil(T/2)"], ["S", 2]]}, "is not T"),
    ("merge", (X,), {"axes": ["B", "D"], "into": "N"}, "not neighbours"),
    ("merge", (X,), {"axes": ["B", "T"], "into": "N"}, "no fixed size"),
    ("transpose", (X,), {"order": ["B", "T"]}, "every axis once"),
    ("slice", (X,), {"axis": "D", "start": 2, "size": 3, "into": "D"}, "past the end"),
    ("slice", (X,), {"axis": "D", "start": -1, "size": 3, "into": "D"}, "past the end"),
    ("slice", (X,), {"axis": "T", "start": -1, "size": 3, "into": "K"}, "past the end"),
    ("slice", (X,), {"axis": "D", "start": -5, "size": 1, "into": "D"}, "begins before D does"),
    ("concat", (X, "compute[B, T, F:4]"), {"axis": "D"}, "no axis D"),
    ("concat", (X, "compute[B, D:4, T]"), {"axis": "D"}, "differ beyond D|different places"),
    ("pad", (X,), {"axis": "C", "before": 0, "size": 4, "value": 0}, "no axis C"),
    ("rename", (X,), {"axis": "D", "into": "T"}, "twice"),
    ("attention", (X, X, "compute[B, U:T, D:4]"), {"causal": True, "scale": 1.0}, "k and v share U"),
    ("attention", (X, "compute[B, U:3, D:4]", "compute[B, U:3, D:4]"), {"causal": True, "scale": 1.0}, "as many keys"),
    ("softmax", (IDS,), {"axis": "T"}, "is a float"),
    ("argmax", (IDS,), {"axis": "T"}, "is a float"),
    ("rms_norm", (X, "compute[T]"), {"eps": 1e-6}, "the gain and the bias have the last axis"),
    ("layer_norm", (X, ROW, "compute[T]"), {"eps": 1e-6}, "the gain and the bias have the last axis"),
    ("causal_conv", (X, "compute[B, J:3, F:4]", "compute[J:4, D:4]", ROW), {}, "a fixed number of inputs"),
    ("causal_conv", (X, "compute[B, J, D:4]", "compute[J:4, D:4]", ROW), {}, "a fixed number of inputs"),
    ("causal_conv", (X, "compute[B, J:3, D:4]", "compute[J:3, D:4]", ROW), {}, "the weight has a row more"),
    ("causal_conv", (X, "compute[B, J:3, D:4]", "compute[J:4, D:4]", "compute[J:4]"), {}, "an entry per channel"),
    ("causal_conv", (X, "wide[B, J:3, D:4]", "compute[J:4, D:4]", ROW), {}, "floats of one dtype"),
    ("mlstm", mlstm(k="wide[B, T, K:3]"), MLSTM, "share all axes but the last"),
    ("mlstm", mlstm(q="compute[B, T, K:2]"), MLSTM, "operands are wide"),
    ("mlstm", mlstm(f="wide[T]"), MLSTM, "an entry per token"),
    ("mlstm", mlstm(n="wide[B, V:3]"), MLSTM, "the state is"),
    ("rope", (X, ROW, ROW), {}, "last two axes"),
    ("rope", ("compute[T, K:3]",) * 3, {}, "even"),
    ("cross_entropy", (X, "i32[B]"), {"ignore": -100}, "one per row"),
    ("cross_entropy", (X, "i8[B, T]"), {"ignore": -100}, "targets are i32"),
    ("linear_scan", (ROW, X, ROW), {"axis": "T", "mix": None, "form": None}, "start value has the axes"),
    (
        "linear_scan",
        ("compute[F:4]", X, "compute[B, D:4]"),
        {"axis": "T", "mix": None, "form": None},
        "a broadcasts to b",
    ),
    (
        "linear_scan",
        ("compute[D:4, N:3]", X, "compute[B, D:4]"),
        {"axis": "T", "mix": ["D", "N"], "form": None},
        "square",
    ),
    (
        "linear_scan",
        ("compute[A:2, D:4, N:4]", X, "compute[B, D:4]"),
        {"axis": "T", "mix": ["D", "N"], "form": None},
        "a broadcasts to b but for N",
    ),
    (
        "linear_scan",
        (ROW, X, "compute[B, D:4]"),
        {"axis": "T", "mix": None, "form": "fast"},
        "null or one of step, chunk, fft, scan",
    ),
    (
        "linear_scan",
        (X, X, "compute[B, D:4]"),
        {"axis": "T", "mix": None, "form": "fft"},
        "the same at every step",
    ),
]


@pytest.mark.parametrize(("kind", "operands", "attrs", "reason"), REFUSED)
def test_a_type_rule_refuses(kind: str, operands: tuple[str, ...], attrs: dict[str, Any], reason: str) -> None:
    with pytest.raises(GraphError, match=reason):
        example_graph(Example(kind, operands, attrs))


@pytest.mark.parametrize(
    ("result", "attrs", "reason"),
    [
        ("compute[T]", {"rule": "pi"}, "the rule of a constant is one of full"),
        ("compute[B, T]", {"rule": "iota"}, "iota counts along one axis"),
    ],
)
def test_a_constant_has_a_known_rule(result: str, attrs: dict[str, Any], reason: str) -> None:
    with pytest.raises(GraphError, match=reason):
        example_graph(Example("const", (), attrs, result))


def test_an_unknown_op_lists_the_known_ones() -> None:
    with pytest.raises(GraphError, match=r"unknown op 'softmux'; one of: abs, add, .*softmax"):
        lookup("softmux")


def test_examples_cover_what_a_graph_can_print() -> None:
    for example in examples():
        assert example.kind in text(example_graph(example))
