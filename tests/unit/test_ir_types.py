"""Sizes, axes and types: how they are written, added and bound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrmsearch.errors import GraphError
from hrmsearch.ir import Axis, DType, Lifetime, Size, Type, axis
from hrmsearch.ir.types import broadcast, ceil_div

SYMBOLS = {"B": 3, "T": 37}


@st.composite
def sizes(draw: st.DrawFn) -> Size:
    size = Size(draw(st.integers(-5, 50)))
    for symbol in draw(st.sets(st.sampled_from(["B", "T", "ceil(T/16)", "ceil((T+2)/16)"]))):
        size = size + Size(0, ((symbol, 1),)) * draw(st.integers(-3, 3))
    return size


@given(sizes())
def test_a_size_reads_back_as_it_prints(size: Size) -> None:
    assert Size.of(str(size)) == size


@given(sizes(), sizes(), st.integers(-3, 3))
def test_arithmetic_of_sizes_is_arithmetic_of_their_values(a: Size, b: Size, n: int) -> None:
    assert (a + b).evaluate(SYMBOLS) == a.evaluate(SYMBOLS) + b.evaluate(SYMBOLS)
    assert (a - b).evaluate(SYMBOLS) == a.evaluate(SYMBOLS) - b.evaluate(SYMBOLS)
    assert (a * n).evaluate(SYMBOLS) == a.evaluate(SYMBOLS) * n
    assert (a - a).known == 0


@given(sizes())
def test_a_size_means_the_same_in_sympy(size: Size) -> None:
    expression = size.symbolic()
    values = {symbol: SYMBOLS[symbol.name] for symbol in expression.free_symbols}
    assert int(expression.subs(values)) == size.evaluate(SYMBOLS)


@pytest.mark.parametrize(
    ("text", "value"),
    [("T+2", 39), ("16*ceil(T/16)", 48), ("ceil((T+12)/16)-T", -33), ("2*T-B", 71), ("0", 0), ("7", 7)],
)
def test_sizes_are_written_as_sums(text: str, value: int) -> None:
    assert Size.of(text).evaluate(SYMBOLS) == value


@pytest.mark.parametrize("text", ["T*2", "T/2", "2T", "ceil(T)", "T T", "", "T+", "TT(", "ceil(T+2/16)"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(GraphError, match="cannot read the size"):
        Size.of(text)


def test_a_quotient_rounds_up_and_knows_its_symbol() -> None:
    assert ceil_div(Size(33), 16) == Size(3)
    assert ceil_div(Size.of("T"), 16).symbols == {"T"}
    assert ceil_div(Size.of("T+1"), 16) == Size.of("ceil((T+1)/16)")
    with pytest.raises(GraphError, match="cannot divide"):
        ceil_div(Size.of("2*T"), 16)


@pytest.mark.parametrize(
    "text", ["compute[B, T, D:64]", "i32[]", "wide[n:ceil(T/16), S:16]", "bool[B, T:T+2]", "wide[n:ceil((T+2)/16)]"]
)
def test_a_type_reads_back_as_it_prints(text: str) -> None:
    assert str(Type.parse(text)) == text


def test_an_axis_name_occurs_once_in_a_type() -> None:
    with pytest.raises(GraphError, match="twice"):
        Type.parse("compute[D:2, D:2]")


def test_axes_are_found_by_name() -> None:
    type_ = Type.parse("compute[B, T, D:64]")
    assert (type_.width("D"), type_.index("T")) == (64, 1)
    assert type_.without("T").names == ("B", "D")
    assert str(type_.replace("D", axis("A", 4), axis("K", 16))) == "compute[B, T, A:4, K:16]"
    assert type_.insert(1, axis("n", 2)).names == ("B", "n", "T", "D")
    assert type_.shape({"B": 2, "T": 3}) == (2, 3, 64)
    with pytest.raises(GraphError, match="no axis C"):
        type_.size("C")
    with pytest.raises(GraphError, match="no fixed size"):
        type_.width("T")


def test_operands_broadcast_by_name_in_the_order_of_the_longest() -> None:
    x, row, wrong = (Type.parse(text) for text in ("compute[B, T, D:4]", "compute[B, D:4]", "compute[D:4, B]"))
    assert broadcast([row, x]) == x.axes
    with pytest.raises(GraphError, match="must occur there in order"):
        broadcast([x, wrong])
    with pytest.raises(GraphError, match="does not broadcast"):
        broadcast([x, Type(DType.COMPUTE, (Axis("D", Size(5)),))])


def test_lifetimes_are_ordered_by_what_outlives_what() -> None:
    assert Lifetime.NONE < Lifetime.of("pass") < Lifetime.of("window") < Lifetime.of("stream")
