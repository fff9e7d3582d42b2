"""Printer and parser: what prints reads back, and what does not read says in which line."""

import pytest

from hrmsearch.errors import GraphError
from hrmsearch.ir import Graph, Nest, parse, text
from hrmsearch.testing.examples import example_graph, examples, structured_graph


def title(which: int) -> str:
    return str(examples()[which])[:50]


@pytest.mark.parametrize("which", range(len(examples())), ids=title)
def test_an_op_prints_and_reads_back(which: int) -> None:
    printed = text(example_graph(examples()[which]))
    assert text(parse(printed)) == printed


def test_functions_regions_places_and_the_nest_read_back() -> None:
    graph = structured_graph()
    again = parse(text(graph))
    assert text(again) == text(graph)
    assert again.nest == graph.nest == Nest(2, ("passes", 2), "window", "contiguous", True, 8)
    assert list(again.params) == ["embed", "start", "cell.0.gate"]
    places = [op.place for region in again.regions() for op in region.walk()]
    assert places == [op.place for region in graph.regions() for op in region.walk()]
    assert "model.core" in places


def test_attributes_may_hold_any_json() -> None:
    source = _one('%x = param() {path="a } : b", init={"uniform": [-1, 1e-3]}, trainable=false} : compute[D:2]')
    op = parse(source).main.ops[0]
    assert op.attrs == {"path": "a } : b", "init": {"uniform": [-1, 1e-3]}, "trainable": False}
    assert text(parse(text(parse(source)))) == text(parse(source))


def test_an_infinite_constant_reads_back() -> None:
    source = _one('%x = const() {rule="full", value=-Infinity} : compute[]')
    assert parse(text(parse(source))).main.ops[0].attrs["value"] == float("-inf")


def test_equal_hints_get_numbers() -> None:
    graph = structured_graph()
    assert "%z.2" in text(graph)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("%x = softmux() : compute[]", r"line 4: unknown op 'softmux'"),
        ("%x = const() : compute[", r"line 4: cannot read"),
        ('%x = const() {rule="full", value=1} : half[]', r"line 4: 'half' is not a valid DType"),
        ("%x = exp(%y) : compute[]", r"line 4: '%y'"),
        ("what is this", r"line 4: cannot read 'what is this'"),
    ],
)
def test_what_does_not_read_names_its_line(line: str, reason: str) -> None:
    with pytest.raises(GraphError, match=reason):
        parse(_one(line))


def test_a_stated_type_must_be_the_inferred_one() -> None:
    lines = '%x = const() {rule="full", value=1} : compute[]\n%y = exp(%x) : wide[]'
    with pytest.raises(GraphError, match="line 5: exp has another type"):
        parse(_one(lines))


def test_a_cut_text_is_refused() -> None:
    with pytest.raises(GraphError, match="ends inside the graph"):
        parse("\n".join(text(structured_graph()).splitlines()[:-3]))


def test_an_empty_graph_reads_back() -> None:
    assert parse(text(Graph("nothing", Nest()))).main.ops == []


def _one(line: str) -> str:
    return f'graph "g" {{\n  nest passes=1 backprop=passes:1 step=span loader=shuffled causal=true window=1\n  main {{\n{line}\n  }}\n}}\n'  # noqa: E501


@pytest.mark.parametrize("end", ["", "}\nmore\n"])
def test_a_graph_ends_with_its_closing_brace(end: str) -> None:
    whole = text(structured_graph())
    with pytest.raises(GraphError, match="line "):
        parse(whole.removesuffix("}\n") + end)
