"""The verifier: every rule of a graph, broken once."""

import re
from collections.abc import Callable

import pytest

from hrmsearch.errors import GraphError
from hrmsearch.ir import Graph, Op, Type, Value, text, verify
from hrmsearch.testing.examples import structured_graph


def named(graph: Graph, kind: str, region: str = "main") -> Op:
    where = graph.main if region == "main" else graph.functions[region].body
    return next(op for op in where.walk() if op.kind == kind)


def swap_order(graph: Graph) -> None:
    graph.main.ops.reverse()


def input_in_function(graph: Graph) -> None:
    graph.functions["cell"].body.ops.insert(0, named(graph, "input"))


def unknown_callee(graph: Graph) -> None:
    named(graph, "call").attrs["callee"] = "sell"


def recursion(graph: Graph) -> None:
    cell = graph.functions["cell"].body
    call = named(graph, "call")
    cell.ops.append(Op("call", tuple(cell.args), dict(call.attrs), results=call.results))


def unknown_attribute(graph: Graph) -> None:
    named(graph, "tanh", "cell").attrs["slope"] = 2


def missing_attribute(graph: Graph) -> None:
    del named(graph, "mean").attrs["axes"]


def wrong_type(graph: Graph) -> None:
    named(graph, "einsum").result.type = Type.parse("compute[B, T, D:5]")


def foreign_output(graph: Graph) -> None:
    graph.outputs["loss"] = Value(Type.parse("wide[]"))


def inner_value_escapes(graph: Graph) -> None:
    graph.outputs["tick"] = named(graph, "repeat").regions[0].results[0]


def foreign_result(graph: Graph) -> None:
    graph.functions["cell"].body.results[0] = named(graph, "einsum").result


def candidate_without_state(graph: Graph) -> None:
    graph.candidates["y"] = graph.candidates["z"]


def state_without_candidate(graph: Graph) -> None:
    del graph.candidates["z"]


def candidate_of_another_type(graph: Graph) -> None:
    graph.candidates["m"] = graph.candidates["z"]


def state_of_a_pass(graph: Graph) -> None:
    named(graph, "state").attrs["lifetime"] = "pass"


def second_input(graph: Graph) -> None:
    named(graph, "input").attrs["name"] = "reset"


def second_state(graph: Graph) -> None:
    named(graph, "state").attrs["path"] = "m"
    graph.candidates.pop("z")


def other_parameter_of_one_path(graph: Graph) -> None:
    named(graph, "param").attrs["path"] = "cell.0.gate"


def free_count(graph: Graph) -> None:
    named(graph, "repeat").attrs["n"] = 0


BROKEN: list[tuple[Callable[[Graph], None], str]] = [
    (swap_order, "before it is defined"),
    (input_in_function, "input stands outside main"),
    (unknown_callee, "@sell is called before it is defined"),
    (recursion, "@cell is called before it is defined"),
    (unknown_attribute, "model.cell.gate: tanh has unknown attributes ['slope']"),
    (missing_attribute, "loss: mean lacks the attribute 'axes'"),
    (wrong_type, "loss: einsum has type compute[B, T, D:5], not compute[B, T, C:5]"),
    (foreign_output, "loss is bound to a value that main does not compute"),
    (inner_value_escapes, "tick is bound to a value that main does not compute"),
    (foreign_result, "is returned but not computed"),
    (candidate_without_state, "candidate 'y' has no state"),
    (state_without_candidate, "model.state: state 'z' has no candidate"),
    (candidate_of_another_type, "candidate 'm' has type"),
    (state_of_a_pass, "state 'z' outlives no pass"),
    (second_input, "input 'reset' occurs twice"),
    (second_state, "state 'm' occurs twice"),
    (other_parameter_of_one_path, "parameter 'cell.0.gate' occurs with another type or initial rule"),
    (free_count, "n is at least 1"),
]


@pytest.mark.parametrize(("damage", "rule"), BROKEN, ids=lambda x: getattr(x, "__name__", ""))
def test_a_broken_rule_is_named(damage: Callable[[Graph], None], rule: str) -> None:
    graph = structured_graph()
    damage(graph)
    with pytest.raises(GraphError, match=re.escape(rule)):
        verify(graph)


def test_a_sound_graph_is_returned_as_it_is() -> None:
    graph = structured_graph()
    before = text(graph)
    assert verify(graph) is graph
    assert text(graph) == before


def test_the_compiler_pass_is_named() -> None:
    graph = structured_graph()
    state_without_candidate(graph)
    with pytest.raises(GraphError, match=r"^after shuffle: model\.state"):
        verify(graph, after="shuffle")
