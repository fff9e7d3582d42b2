"""HS105's bound: it holds of every transition at any parameters, and it proves what it should."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrmsearch.algebra import Complex, Level, Rule, Schedule, Weights, convex, graphs, real_block
from hrmsearch.analyses import validate
from hrmsearch.analyses.interpreter import Interpreter
from hrmsearch.analyses.sizes import Sizes
from hrmsearch.analyses.stability import Bound, bounds
from hrmsearch.analyses.terms import Term, Terms
from hrmsearch.ir import Builder, Context, DType, Graph, Lifetime, Nest, Size, Type, Value, axis, verify
from hrmsearch.runtime import Array, Options, Pass, load_backend

WINDOW, WIDTH = 8, 4
CHANNELS = axis("D", WIDTH)
STREAM = Type(DType.COMPUTE, (axis("B"), axis("T"), CHANNELS))
Entries = Sequence[Sequence[Value]]
Transition = Callable[[Builder, Value], Entries]


def recurrence(transition: Transition) -> Graph:
    """Return a graph with a recurrence over the axis N; its transition is an output too."""
    graph = Graph("drawn", Nest(window=WINDOW))
    b = Builder(graph, Context(WIDTH, WINDOW, 9), graph.main, place="model")
    x = b.input("x", STREAM)
    rows = transition(b, x)
    n = len(rows)
    varies = any("T" in entry.type.names for row in rows for entry in row)
    lead = STREAM.axes if varies else (CHANNELS,)
    wide = [[b.broadcast(e, STREAM.with_axes([*lead, axis("N", 1), axis("M", 1)])) for e in row] for row in rows]
    a = graph.outputs["a"] = b.concat("N", *(b.concat("M", *row) for row in wide))
    start = b.zeros(STREAM.with_axes([axis("B"), CHANNELS, axis("N", n)]))
    drive = b.broadcast(x, STREAM.with_axes([*STREAM.axes, axis("N", n)]))
    states, _ = b.linear_scan(a, drive, start, mix=("N", "M"))
    graph.outputs["logits"] = b.sum(states, "N")
    return verify(graph)


def bound(transition: Transition) -> Bound:
    (found,) = bounds(recurrence(transition)).values()
    return found


def weight(b: Builder, name: str) -> Value:
    return b.param(name, (CHANNELS,), {"normal": 1.0})


def matrices(graph: Graph, seed: int, scale: float) -> Array:
    """Return the transition at parameters and inputs of a scale, [.., N, N]."""
    executable = load_backend("reference").compile(graph, Options())
    rng = np.random.default_rng(seed)
    executable.set_params(
        {path: scale * rng.normal(size=op.result.type.shape({})) for path, op in graph.params.items()}
    )
    outputs, _ = executable.forward(Pass({"x": scale * rng.normal(size=(2, 3, WIDTH))}, 0), {})
    return outputs["a"]


# -- soundness ---------------------------------------------------------------------------------------------------------

UNARY = ["neg", "abs", "exp", "expm1", "sigmoid", "softplus", "tanh", "sin", "cos", "sign", "sqrt"]
BINARY = ["add", "sub", "mul", "div", "minimum", "maximum"]


@st.composite
def programs(draw: st.DrawFn) -> list[tuple[str, int, int, int]]:
    """Draw operations, each on values made before it."""
    kinds = st.sampled_from([*UNARY, *BINARY, *BINARY, "sub from one", "where", "shift"])
    indices = st.integers(0, 2**16)
    return draw(st.lists(st.tuples(kinds, indices, indices, indices), min_size=4, max_size=14))


def run(program: list[tuple[str, int, int, int]], b: Builder, x: Value) -> list[Value]:
    """Build a program's operations over two weights, a stream and a few numbers."""
    made = [b.sigmoid(weight(b, "p")), weight(b, "q"), x, b.full(0.5, STREAM), b.full(1.0, Type(DType.COMPUTE))]
    for kind, *picks in program:
        first, second, third = (made[-1 - pick % len(made)] for pick in picks)
        if kind == "where":
            first = b.broadcast(first, STREAM)
            made.append(b.where(b.op("less", first, 0.1), second, third))
        elif kind == "shift":
            long = b.op("pad", b.broadcast(first, STREAM), axis="T", before=1, size="T+1", value=0.0)
            made.append(b.slice(long, "T", 0, Size.of("T")))
        elif kind == "sub from one":
            made.append(1.0 - first)
        elif kind in UNARY:
            made.append(b.op(kind, b.op("abs", first) if kind == "sqrt" else first))
        else:
            made.append(b.op(kind, first, b.op("abs", second) + 0.5 if kind == "div" else second))
    return made


@settings(max_examples=150)
@given(programs(), st.integers(0, 2**16), st.sampled_from([0.1, 1.0, 8.0]))
def test_no_transition_exceeds_its_bound(program: list[tuple[str, int, int, int]], seed: int, scale: float) -> None:
    def transition(b: Builder, x: Value) -> Entries:
        p, q, r, s = run(program, b, x)[-4:]
        return [[p, q], [r, s]]

    graph = recurrence(transition)
    (found,) = bounds(graph).values()
    with np.errstate(all="ignore"):
        a = matrices(graph, seed, scale)
    a = a[np.isfinite(a).all((-1, -2))]
    slack = 1e-9 * np.abs(a).max(initial=1.0)
    assert found.entries.low - slack <= a.min(initial=found.entries.low)
    assert a.max(initial=found.entries.high) <= found.entries.high + slack
    assert np.abs(np.linalg.eigvals(a)).max(initial=0.0) <= found.growth + slack
    if found.proves:
        pairs: Array = a @ a[::-1]
        assert np.abs(np.linalg.eigvals(pairs)).max(initial=0.0) <= 1.0 + slack


# sums and products of sizes that lie in [0, 1], where bounds are tight: a wrong one is soon exceeded
TIGHT = st.lists(
    st.tuples(st.sampled_from(["add", "sub", "mul", "neg", "abs", "rest"]), *[st.integers(0, 2**16)] * 2),
    max_size=6,
)
PICKS = st.lists(st.integers(0, 2**16), min_size=1, max_size=4)


def pointwise(kind: str, b: Builder, x: Value, y: Value) -> Value:
    if kind == "rest":
        return 1.0 - x
    return b.op(kind, x) if kind in UNARY else b.op(kind, x, y)


def sums(build: Callable[[Builder], Sequence[Value]], seed: int) -> tuple[list[Term], list[Array]]:
    """Return values as terms, and as arrays at parameters that a seed draws."""
    graph = Graph("drawn", Nest(window=WINDOW))
    b = Builder(graph, Context(WIDTH, WINDOW, 9), graph.main, place="model")
    graph.outputs = {f"{i:02}": value for i, value in enumerate(build(b))}
    facts = Interpreter(verify(graph), Terms()).run(Lifetime.STREAM, {})
    executable = load_backend("reference").compile(graph, Options())
    rng = np.random.default_rng(seed)
    # large weights too, at which sigmoids are 0 or 1
    drawn = {path: 10 ** rng.uniform(-1, 2) * rng.normal(size=MANY) for path in graph.params}
    executable.set_params(drawn)
    outputs, _ = executable.forward(Pass({}, 0), {})
    return list(facts.outputs.values()), list(outputs.values())


MANY = 256


def many(b: Builder, name: str) -> Value:
    return b.param(name, (axis("D", MANY),), "zeros")


@settings(max_examples=200)
@given(TIGHT, PICKS, st.integers(0, 2**16), st.sampled_from([0.0, 1.0]))
def test_no_sum_of_sizes_exceeds_its_bound(
    program: list[tuple[str, int, int]], row: list[int], seed: int, at_least: float
) -> None:
    def build(b: Builder) -> list[Value]:
        made = [b.op("tanh", many(b, "r")), b.sigmoid(many(b, "q")), b.sigmoid(many(b, "p"))]
        for kind, *picks in program:
            made.append(pointwise(kind, b, *(made[-1 - pick % len(made)] for pick in picks)))
        return [made[-1 - pick % len(made)] for pick in row]

    terms, arrays = sums(build, seed)
    sizes = Sizes([terms], at_least)
    most = sizes.total([sizes.size(term) for term in terms])
    assert np.abs(arrays).sum(0).max() <= most * (1 + 1e-12)


@settings(max_examples=200)
@given(TIGHT, PICKS, st.booleans(), st.integers(0, 2**16))
def test_no_sum_of_complex_sizes_exceeds_its_bound(
    program: list[tuple[str, int, int]], row: list[int], crossed: bool, seed: int
) -> None:
    def build(b: Builder) -> list[Value]:
        made: list[Complex[Value]] = []
        for name in "pqr":
            size, angle = b.sigmoid(many(b, name)), many(b, f"angle_{name}")
            made.append(Complex(size * b.op("cos", angle), size * b.op("sin", angle)))
        for kind, *picks in program:
            x, y = (made[-1 - pick % len(made)] for pick in picks)
            made.append({"add": x + y, "sub": x - y, "mul": x * y}.get(kind, -x))
        numbers = [made[-1 - pick % len(made)] for pick in row]
        others = [*numbers[1:], numbers[0]] if crossed else numbers
        return [cast("Value", part) for x, y in zip(numbers, others, strict=True) for part in (x.re, y.im)]

    terms, arrays = sums(build, seed)
    sizes = Sizes([terms])
    pairs = range(0, len(terms), 2)
    most = sizes.total([sizes.modulus(*terms[i : i + 2]) for i in pairs])
    assert np.sum([np.hypot(arrays[i], arrays[i + 1]) for i in pairs], axis=0).max() <= most * (1 + 1e-12)


def _values(b: Builder, matrix: Sequence[Sequence[Value | int | Complex[Value]]]) -> Entries:
    nothing = Type(DType.COMPUTE)
    return [[e if isinstance(e, Value) else b.full(float(e), nothing) for e in row] for row in real_block(matrix)]


def convex_with(other: Callable[[Builder, Value], Value]) -> Transition:
    """Return rows a, 1 - b, where b should be a but is what `other` makes of it."""

    def transition(b: Builder, x: Value) -> Entries:
        a = b.sigmoid(x * weight(b, "w"))
        return [[a, 1.0 - other(b, a)], [b.full(0.0, STREAM), a]]

    return transition


def shifted(b: Builder, a: Value) -> Value:
    return b.slice(b.op("pad", a, axis="T", before=1, size="T+1", value=0.0), "T", 0, Size.of("T"))


def scanned(b: Builder, a: Value) -> Value:
    """Return, by a scan, the entry of the token before."""
    start = b.full(0.0, a.type.without("T"))

    def step(held: Value, now: Value) -> list[Value]:
        return [now, held]

    return b.scan("T", [start], [a], step, at=1)[1]


def renamed(b: Builder, a: Value) -> Value:
    """Return channels backwards, under the name that they had."""
    parts = [b.slice(a, "D", i, 1) for i in reversed(range(WIDTH))]
    return b.concat("D", *parts)


def dropped(b: Builder, a: Value) -> Value:
    return b.op("dropout", a, rate=0.1)


@pytest.mark.parametrize("other", [shifted, scanned, renamed, dropped])
def test_entries_of_other_places_do_not_cancel(other: Callable[[Builder, Value], Value]) -> None:
    assert bound(convex_with(lambda b, a: a)).proves
    assert not bound(convex_with(other)).proves


def test_two_draws_of_one_dropout_do_not_cancel() -> None:
    def transition(b: Builder, x: Value) -> Entries:
        one, other = (b.op("dropout", b.sigmoid(x), rate=0.1) for _ in range(2))
        return [[one, 1.0 - other], [b.full(0.0, STREAM), one]]

    assert not bound(transition).proves


def test_rows_of_one_step_and_columns_of_another_prove_nothing() -> None:
    """[[1, 0], [1, 0]] and [[1, 1], [0, 0]] have norms of 1 each, but not the same, and their product grows."""

    def transition(b: Builder, x: Value) -> Entries:
        one, zero, chosen = b.full(1.0, STREAM), b.full(0.0, STREAM), b.op("less", x, 0.0)
        return [[one, b.where(chosen, zero, one)], [b.where(chosen, one, zero), zero]]

    assert bound(transition).growth == 2.0


@pytest.mark.parametrize("proven", [True, False])
def test_a_product_of_turns_is_a_turn_and_what_only_looks_like_one_is_not(proven: bool) -> None:
    def transition(b: Builder, x: Value) -> Entries:
        (p, q), (r, s) = ((b.op("cos", w), b.op("sin", w)) for w in (weight(b, "w"), x))
        return _values(b, [[Complex(p * r - q * s, p * s + q * r if proven else q * s + p * r)]])

    assert bound(transition).proves == proven


def test_a_state_may_hold_anything() -> None:
    graph = Graph("stateful", Nest(window=WINDOW, loader="contiguous"))
    b = Builder(graph, Context(WIDTH, WINDOW, 9), graph.main, place="model")
    x, reset = b.input("x", STREAM), b.input("reset", Type(DType.I8, (axis("B"),)))
    rows = Type(DType.COMPUTE, (axis("B"), CHANNELS))
    kept = b.state("kept", rows, b.zeros(rows), reset, lifetime="stream", commit="every_pass")
    graph.outputs["logits"], graph.candidates["kept"] = b.linear_scan(kept, x, b.zeros(rows))
    (found,) = bounds(verify(graph)).values()
    assert not found.proves


# -- completeness ------------------------------------------------------------------------------------------------------


def kernel(
    schedule: Schedule, level: Callable[[Builder, str, Value], Level[Value]], *, gated: bool = False
) -> Transition:
    """Return the transition of a token for levels that are built from their name and a token's length."""

    def transition(b: Builder, x: Value) -> Entries:
        length = b.op("softplus", x) if gated else b.full(1.0, Type(DType.COMPUTE))
        token = schedule.token(*(level(b, name, length) for name in ("L", "H")))
        return _values(b, token.matrix)

    return transition


def stable(rule: Rule, complex_: bool) -> Callable[[Builder, str, Value], Level[Value]]:
    def level(b: Builder, name: str, length: Value) -> Level[Value]:
        drawn = [weight(b, f"{part}_{name}") for part in ("log_tau", "coupling", "turn", "phase")]
        weights = Weights(*drawn) if complex_ else Weights(*drawn[:2])
        return convex(weights, length * b.exp(-weights.log_tau), graphs(b), rule)

    return level


SCHEDULES = [Schedule(1), Schedule(4), Schedule(8, 7, "simultaneous"), Schedule(64, 33), Schedule(4096, 4096)]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize(("rule", "complex_", "gated"), [*product(["zoh", "bilinear"], [False, True], [False, True])])
def test_convex_levels_are_proven_stable_on_any_schedule(
    schedule: Schedule, rule: Rule, complex_: bool, gated: bool
) -> None:
    assert bound(kernel(schedule, stable(rule, complex_), gated=gated)).proves


def by_hand(b: Builder, name: str, length: Value) -> Level[Value]:
    """Write a convex level in other words, with a gain below 1."""
    del length
    a = b.exp(-b.op("softplus", weight(b, f"a_{name}")))
    return Level(0.9 * a, b.op("tanh", weight(b, f"k_{name}")) * (1.0 - a) * 0.5, 1)


def free(b: Builder, name: str, length: Value) -> Level[Value]:
    """Return a level with gains that know nothing of each other."""
    del length
    return Level(b.sigmoid(weight(b, f"a_{name}")), b.op("tanh", weight(b, f"k_{name}")), 1)


def test_convex_rows_are_seen_however_they_are_written() -> None:
    for schedule in SCHEDULES:
        assert bound(kernel(schedule, by_hand)).proves


def test_free_gains_are_an_error_where_they_grow_at_initial_parameters() -> None:
    (found,) = (one for one in validate(recurrence(kernel(Schedule(4, 2), free))) if one.code == "HS105")
    assert found.severity == "error"
    assert found.path[1] == "a step may enlarge a state 35 times"
    assert found.path[2].startswith("its spectral radius is up to 9.4")


def test_a_matrix_with_columns_that_sum_to_one_is_stable() -> None:
    def transition(b: Builder, x: Value) -> Entries:
        p, q = b.sigmoid(x), b.sigmoid(weight(b, "w"))
        return [[p, q], [1.0 - p, 1.0 - q]]

    assert bound(transition).proves
