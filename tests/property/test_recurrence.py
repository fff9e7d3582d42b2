"""Recurrences over lanes: a step's gradient is its gradient, and what is no such recurrence is told apart."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hrmsearch.ir import Builder, DType, Graph, Nest, Region, Type, Value
from hrmsearch.ir.definition import OPS_ONLY
from hrmsearch.ir.ops import elementwise, lookup
from hrmsearch.recurrence import NoRecurrence, Role, describe, needed, pullback
from tests.recurrences import CELLS, Cell, Results

REAL, TRUTH = Type(DType.COMPUTE), Type(DType.BOOL)
# within their domains for arguments of any size, and smooth at almost every point
UNARY = ("neg", "exp", "tanh", "sigmoid", "softplus", "sin", "cos", "abs", "expm1", "sign", "erf")
BINARY = ("add", "sub", "mul", "maximum", "minimum")


def evaluate(region: Region, args: Sequence[float | np.float64]) -> list[np.float64]:
    """Return the results of a region over scalars."""
    env: dict[Value, NDArray[np.float64]] = {v: np.asarray(a) for v, a in zip(region.args, args, strict=True)}
    for op in region.ops:
        meaning = lookup(op.kind).numpy
        assert meaning is not None
        env[op.result] = np.asarray(meaning(op, [env[value] for value in op.operands], {}))
    return [np.float64(env[value]) for value in region.results]


@st.composite
def lines(draw: st.DrawFn) -> Region:
    """Return regions of random operations over two reals and a truth value."""
    b = Builder(Graph("", Nest()), OPS_ONLY)
    b.region.args = [Value(REAL, "x", b), Value(REAL, "y", b), Value(TRUTH, "w", b)]
    pool = [*b.region.args[:2], b.full(0.75, REAL)]
    for _ in range(draw(st.integers(1, 12))):
        one, other = draw(st.sampled_from(pool)), draw(st.sampled_from(pool))
        match draw(st.integers(0, 5)):
            case 0:
                made = b.op(draw(st.sampled_from(UNARY)), one)
            case 1:
                made = b.op(draw(st.sampled_from(BINARY)), one, other)
            case 2:
                made = b.where(b.region.args[2], one, other)
            case 3:
                made = b.where(b.op("less", one, other), one * other, 0.5)
            case 4:
                made = b.op(draw(st.sampled_from(("log", "sqrt", "rsqrt", "log1p"))), 1.0 + b.exp(b.op("sin", one)))
            case _:
                made = one / (1.0 + other * other)
        pool.append(b.op("tanh", made))
    b.region.results = [pool[-1], draw(st.sampled_from(pool))]
    return b.region


@given(lines(), st.lists(st.floats(-2, 2), min_size=4, max_size=4), st.booleans())
def test_a_pullback_is_the_gradient(region: Region, numbers: list[float], write: bool) -> None:
    x, y, *gradients = numbers
    held_to_differences(region, [x + 0.0123, y - 0.0456, write], gradients)


@pytest.mark.parametrize("cell", CELLS, ids=str)
@given(seed=st.integers(0, 2**31))
def test_the_gradient_of_a_step_is_that_of_its_cell(cell: Cell, seed: int) -> None:
    step = describe(cell.graph(3).functions["Recurrence"].body).step
    rng = np.random.default_rng(seed)
    # positive, for a cell may divide by what it carries
    args = [rng.uniform(0.5, 1.5) if value.type == REAL else bool(rng.integers(2)) for value in step.args]
    held_to_differences(step, args, list(rng.normal(size=len(step.results))))


def held_to_differences(region: Region, args: Sequence[float], gradients: Sequence[float]) -> None:
    back = pullback(region)
    ops, _ = needed(region.ops, back.saved)
    saved = evaluate(Region(region.args, ops, list(back.saved)), args)
    found = evaluate(back.region, [*args, *saved, *gradients])
    real = [i for i, value in enumerate(region.args) if value.type == REAL]
    assert [region.args[i] for i in real] == list(back.inputs)

    def at(i: int, by: float) -> float:
        moved = [arg + by if i == j else arg for j, arg in enumerate(args)]
        return float(np.dot(evaluate(region, moved), gradients))

    for i, gradient in zip(real, found, strict=True):
        sides = [(at(i, h) - at(i, -h)) / (2 * h) for h in (1e-6, 1e-5)]
        if abs(sides[0] - sides[1]) < 1e-4:  # no kink nearby
            assert abs(gradient - sides[0]) < 1e-4 * max(1.0, abs(gradient)), (region.args[i].name, gradient, sides)


def test_a_maximum_of_equals_gives_each_half_and_one_with_a_number_gives_all() -> None:
    b = Builder(Graph("", Nest()), OPS_ONLY)
    x, y = b.region.args = [Value(REAL, name, b) for name in "xy"]
    b.region.results = [b.op("maximum", x, y), b.op("minimum", x, 0.5), b.op("maximum", 0.5, y)]
    region = pullback(b.region).region
    assert evaluate(region, [0.5, 0.5, 1.0, 0.0, 0.0]) == [0.5, 0.5]
    assert evaluate(region, [0.5, 0.5, 0.0, 1.0, 0.0]) == [1.0, 0.0]
    assert evaluate(region, [0.5, 0.5, 0.0, 0.0, 1.0]) == [0.0, 1.0]


@pytest.mark.parametrize("kind", sorted({*elementwise.UNARY, *elementwise.BINARY}))
def test_every_elementwise_function_has_a_derivative(kind: str) -> None:
    b = Builder(Graph("", Nest()), OPS_ONLY)
    b.region.args = [Value(REAL, name, b) for name in ("xy" if kind in elementwise.BINARY else "x")]
    b.region.results = [b.op(kind, *b.region.args)]
    held_to_differences(b.region, [0.7, 1.3][: len(b.region.args)], [1.0])


def test_no_gradient_crosses_a_detach() -> None:
    b = Builder(Graph("", Nest()), OPS_ONLY)
    (x,) = b.region.args = [Value(REAL, "x", b)]
    b.region.results = [x * b.op("detach", x)]
    assert evaluate(pullback(b.region).region, [3.0, 1.0]) == [3.0]


# -- what is described -------------------------------------------------------------------------------------------------


def test_a_recurrence_knows_what_varies_with_what() -> None:
    cells = {cell.name: describe(cell.graph(3).functions["Recurrence"].body) for cell in CELLS}
    roles = [port.role for port in cells["levels"].operands]
    assert roles == [Role.ALONG, Role.SHARED, Role.SHARED, Role.SHARED, Role.SHARED, Role.ROW]
    assert [port.parts for port in cells["levels"].operands] == [1, 4, 2, 2, 1, 2]
    assert cells["varying"].operands[3].lanes == ()  # one truth value for all lanes
    assert (len(cells["heads"].rows), len(cells["heads"].lanes)) == (2, 1)


REAL3, REAL2 = "compute[B, T, D:32]", "compute[B, D:32]"
One = Callable[[Builder, Value, Value], Results]
Two = Callable[[Builder, Value, Value, Value], Results]


def body(build: One | Two, **types: str) -> Region:
    """Return the body of a function over x, others and a start value h."""
    cell = Cell("cell", {"x": REAL3, **types, "h": REAL2}, build)
    return cell.graph(32).functions["Recurrence"].body


def of(x: Callable[[Builder, Value], Value]) -> Region:
    """Return the body of a recurrence over what is made of x."""
    return body(lambda b, given, h: scanned(b, x(b, given), h))


def scanned(b: Builder, x: Value, h: Value) -> Results:
    return b.linear_scan(b.full(0.5, REAL), x, h)


def multiplied(b: Builder, x: Value, w: Value, h: Value) -> Results:
    return scanned(b, b.rename(b.linear(x, w), "F", "D"), h)


def repeated(b: Builder, x: Value) -> Value:
    def body(x: Value) -> list[Value]:
        return [x + x]

    return b.repeat(2, [x], body)[0]


def counted(b: Builder, x: Value, n: Value, h: Value) -> Results:
    return scanned(b, b.where(b.op("equal", n, 1), x, 0.0), h)


REFUSED: dict[str, tuple[Region, str]] = {
    "nothing recurs": (body(lambda _b, x, _h: (x + x,)), "nothing recurs"),
    "lanes meet": (body(multiplied, w="compute[D:32, F:32]"), "at most"),
    "steps meet": (of(lambda b, x: x - b.broadcast(b.mean(x, "T"), x.type)), "steps are mixed"),
    "a running sum": (of(lambda b, x: b.op("cumsum", x, axis="T")), "cumsum"),
    "a start from inside": (body(lambda b, x, h: scanned(b, x, b.exp(h))), "start"),
    "a repeat": (of(repeated), "repeat"),
    "the last state is read": (body(lambda b, x, h: (b.broadcast(scanned(b, x, h)[1], x.type) + x,)), "not known"),
    "dropout": (of(lambda b, x: b.op("dropout", x, rate=0.5)), "dropout"),
    "whole numbers": (body(counted, n="i32[B, T]"), "i32"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=list(REFUSED))
def test_what_is_no_recurrence_over_lanes_is_told_apart(case: tuple[Region, str]) -> None:
    region, reason = case
    with pytest.raises(NoRecurrence, match=reason):
        describe(region)
