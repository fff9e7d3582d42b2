"""The rules of the analyses on graphs made by hand: shifts, splits, merges, scans, mixing, recurrences."""

from collections.abc import Callable, Sequence

import pytest

from hrmsearch.analyses import cost, validate
from hrmsearch.analyses.amount import Amount, Term
from hrmsearch.analyses.causality import Causality, Horizon, sees_later
from hrmsearch.analyses.walk import walk
from hrmsearch.ir import Axis, Builder, Context, DType, Graph, Nest, Op, Size, Type, Value, axis, verify
from hrmsearch.ir.types import ceil_div

WINDOW = 12
TOKENS = Type(DType.I32, (axis("B"), axis("T")))
STREAM = Type(DType.COMPUTE, (axis("B"), axis("T"), axis("D", 4)))

Build = Callable[[Builder, Value], Value]


def param(b: Builder, name: str, *axes: str) -> Value:
    sized = [axis(name, int(size)) for name, _, size in (one.partition(":") for one in axes)]
    return b.param(name, sized, {"constant": 1.5})


def graph_of(build: Build) -> Graph:
    """Return the causal graph whose logits are built from a stream of tokens x[B, T, D]."""
    graph = Graph("handmade", Nest(window=WINDOW))
    b = Builder(graph, Context(4, WINDOW, 9), graph.main, place="model")
    x = b.gather(param(b, "table", "C:9", "D:4"), b.input("tokens", TOKENS))
    graph.outputs["logits"] = build(b, x)
    return verify(graph)


def codes(build: Build) -> list[str]:
    return [one.code for one in validate(graph_of(build))]


def horizon(build: Build) -> Horizon:
    (facts,) = walk(graph_of(build), Causality())
    return facts.outputs["logits"]


def offset(build: Build) -> float:
    """Return the largest offset along T at which the logits see the input."""
    ((axes, seen),) = horizon(build).seen
    assert axes == ("T",)
    return seen.offsets[0] - seen.before


def shifted(b: Builder, x: Value, by: int) -> Value:
    """Return x moved `by` tokens into the future, zeros before it."""
    padded = b.op("pad", x, axis="T", before=by, size=f"T+{by}", value=0.0)
    return b.slice(padded, "T", 0, Size.of("T"))


def ahead(b: Builder, x: Value, by: int) -> Value:
    """Return x with token t+by at t."""
    return b.slice(b.op("pad", x, axis="T", before=0, size=f"T+{by}", value=0.0), "T", by, Size.of("T"))


def chunked(b: Builder, x: Value, size: int = 4) -> Value:
    n = Axis("n", ceil_div(x.type.size("T"), size))
    whole = b.op("pad", x, axis="T", before=0, size=str(n.size * size), value=0.0)
    return b.split(whole, "T", n, axis("S", size))


def joined(b: Builder, x: Value, length: Size | None = None) -> Value:
    return b.slice(b.merge(x, "n", "S", "P"), "P", 0, length or Size.of("T"), "T")


def running(b: Builder, x: Value, *, late: bool = False) -> Value:
    """Return the sums of x over earlier tokens, up to and with token t or, `late`, up to the one before."""
    start = b.zeros(x.type.without("T"))

    def step(held: Value, now: Value) -> Sequence[Value]:
        new = held + now
        return [new, held if late else new]

    return b.scan("T", [start], [x], step, at=1)[1]


def add_up(held: Value, now: Value) -> Sequence[Value]:
    new = held + now
    return [new, held]


def double(now: Value) -> Sequence[Value]:
    return [now * 2.0]


def backwards(b: Builder, x: Value) -> Value:
    """Return the sum over all tokens, by a scan's last carry."""
    last = b.scan("T", [b.zeros(x.type.without("T"))], [x], add_up, at=1)[0]
    return b.broadcast(last, x.type)


def chunk_sums(b: Builder, x: Value) -> Value:
    """Return at every token the sum over the chunks before its own."""
    parts = chunked(b, x)
    sums = b.sum(parts, "S")
    before = b.scan("n", [b.zeros(sums.type.without("n"))], [sums], add_up, at=1)[1]
    return joined(b, b.broadcast(before, parts.type), x.type.size("T"))


def behind(b: Builder, x: Value, rows: int, inner: Build) -> Value:
    """Return what `inner` makes of x with a prefix of so many rows, without the prefix."""
    length = Size.of("T") + rows
    long = b.op("pad", x, axis="T", before=rows, size=str(length), value=0.0)
    return b.slice(inner(b, long), "T", rows, Size.of("T"))


HORIZONS: list[tuple[Build, float]] = [
    (lambda b, x: x * 2.0, 0),
    (lambda b, x: shifted(b, x, 2), -2),
    (lambda b, x: ahead(b, x, 3), 3),
    (lambda b, x: shifted(b, ahead(b, x, 3), 3), 0),
    (lambda b, x: joined(b, chunked(b, x)), 0),
    (lambda b, x: joined(b, chunked(b, shifted(b, x, 1))), -1),
    (lambda b, x: b.op("cumsum", x, axis="T"), 0),
    (lambda b, x: b.op("cumsum", shifted(b, x, 1), axis="T"), -1),
    (lambda b, x: running(b, x), 0),
    (lambda b, x: running(b, x, late=True), -1),
    (chunk_sums, -1),
    (lambda b, x: behind(b, x, 3, chunk_sums), -1),
    (lambda b, x: behind(b, x, 4, lambda b, y: joined(b, chunked(b, y), y.type.size("T"))), 0),
    (lambda b, x: behind(b, x, 2, lambda b, y: y + chunk_sums(b, y)), 0),
    (lambda b, x: shifted(b, behind(b, x, 5, chunk_sums), 2), -3),
]


@pytest.mark.parametrize(
    ("build", "want"),
    HORIZONS,
)
def test_horizons_follow_shifts_splits_merges_and_scans(build: Build, want: float) -> None:
    assert offset(build) == want


LEAKS: list[Build] = [
    lambda b, x: ahead(b, x, 1),
    lambda b, x: x + b.broadcast(b.mean(x, "T"), x.type),
    lambda b, x: b.op("softmax", x, axis="T"),
    lambda b, x: joined(b, b.broadcast(b.sum(chunked(b, x), "S"), chunked(b, x).type)),
    lambda b, x: joined(b, b.op("softmax", chunked(b, x), axis="S")),
    backwards,
]


@pytest.mark.parametrize(
    "build",
    LEAKS,
)
def test_what_sees_later_tokens_is_a_leak(build: Build) -> None:
    assert sees_later(horizon(build))
    assert "HS101" in codes(build)


def test_a_chunk_cannot_pose_as_a_token() -> None:
    def build(b: Builder, x: Value) -> Value:
        sums = b.sum(chunked(b, x), "S")
        long = b.op("pad", sums, axis="n", before=0, size="T", value=0.0)
        return b.rename(long, "n", "T")

    assert sees_later(horizon(build))


def test_reversed_axes_of_chunks_lose_the_order_of_tokens() -> None:
    def build(b: Builder, x: Value) -> Value:
        parts = b.split(b.slice(x, "T", 0, 8), "T", axis("n", 2), axis("S", 4))
        whole = b.merge(b.transpose(parts, "B", "S", "n", "D"), "S", "n", "P")
        return b.op("pad", b.rename(whole, "P", "T"), axis="T", before=0, size="T", value=0.0)

    assert sees_later(horizon(build))


def test_logits_made_from_targets_are_a_leak() -> None:
    def build(b: Builder, x: Value) -> Value:
        targets = b.input("targets", TOKENS)
        return x + b.gather(param(b, "other", "C:9", "D:4"), targets)

    (leak,) = (one for one in validate(graph_of(build)) if one.code == "HS101")
    assert leak.path[0] == "the targets hold the next tokens"


MIXING: list[tuple[Build, bool]] = [
    (lambda b, x: x - b.broadcast(b.mean(x, "T", "D"), x.type), False),
    (lambda b, x: x - b.broadcast(b.mean(x, "B"), x.type), True),
    (lambda b, x: b.op("cumsum", x, axis="B"), True),
    (lambda b, x: b.op("softmax", x, axis="B"), True),
    (lambda b, x: b.scan("B", [], [x], double, at=0)[0], False),
    (lambda b, x: b.scan("B", [b.zeros(x.type.without("B"))], [x], add_up, at=0)[1], True),
]


@pytest.mark.parametrize(
    ("build", "mixes"),
    MIXING,
)
def test_rows_are_mixed_by_reductions_and_recurrences_over_them(build: Build, mixes: bool) -> None:
    assert ("HS104" in codes(build)) == mixes


def recurrence(transition: Build) -> Build:
    """Return h_t = a h_(t-1) + x_t for a transition built from a parameter w[D]."""

    def build(b: Builder, x: Value) -> Value:
        a = transition(b, param(b, "w", "D:4"))
        start = b.zeros(x.type.without("T"))
        return b.append(
            Op("linear_scan", (a, x, start), {"axis": "T", "mix": None, "form": None}, place=b.place)
        ).results[0]

    return build


TRANSITIONS: list[tuple[Build, str | None]] = [
    (lambda b, w: b.exp(-b.op("softplus", w)), None),
    (lambda b, w: b.sigmoid(w), None),
    (lambda b, w: b.op("tanh", w) * 0.9, None),
    (lambda b, w: b.op("minimum", b.op("maximum", w, -1.0), 1.0), None),
    (lambda b, w: w, "error"),
    (lambda b, w: w * 0.5, "warning"),
]


@pytest.mark.parametrize(
    ("transition", "severity"),
    TRANSITIONS,
)
def test_recurrences_are_stable_by_construction_or_told(transition: Build, severity: str | None) -> None:
    told = [one.severity for one in validate(graph_of(recurrence(transition))) if one.code == "HS105"]
    assert told == ([severity] if severity else [])


DAMPINGS: list[tuple[Build, str | None]] = [
    (lambda b, w: b.exp(w), None),
    (lambda b, w: w * w, None),
    (lambda b, w: w, "warning"),
    (lambda b, w: -b.exp(w), "error"),
]


@pytest.mark.parametrize(("damping", "severity"), DAMPINGS)
def test_a_bilinear_oscillator_is_stable_where_it_is_damped(damping: Build, severity: str | None) -> None:
    """(1 + z) / (1 - z) for z = -p + iq as [[re, -im], [im, re]]: at most 1 in size for p >= 0, whatever q."""

    def build(b: Builder, x: Value) -> Value:
        w = param(b, "w", "D:4")
        p, q = damping(b, w), param(b, "q", "D:4")
        d = (1.0 + p) * (1.0 + p) + q * q
        re, im = (1.0 - p * p - q * q) / d, 2.0 * q / d
        one = w.type.with_axes([*w.type.axes, axis("N", 1), axis("M", 1)])
        rows = [b.concat("M", *(b.broadcast(entry, one) for entry in row)) for row in ((re, -im), (im, re))]
        drive = b.broadcast(x, x.type.with_axes([*x.type.axes, axis("N", 2)]))
        states, _ = b.linear_scan(b.concat("N", *rows), drive, b.zeros(drive.type.without("T")), mix=("N", "M"))
        return b.sum(states, "N")

    told = [one.severity for one in validate(graph_of(build)) if one.code == "HS105"]
    assert told == ([severity] if severity else [])


def test_a_scan_costs_its_body_at_every_position() -> None:
    def build(b: Builder, x: Value) -> Value:
        w = param(b, "w", "I:4", "D:4")

        def step(held: Value, now: Value) -> Sequence[Value]:
            return [b.linear(held, w) + now] * 2

        return b.scan("T", [b.zeros(x.type.without("T"))], [x], step, at=1)[1]

    graph = graph_of(build)
    graph.outputs["loss"] = graph.outputs["logits"]
    price = cost(graph).fresh
    forward = 2 * 3 * 4 * 4
    assert price.forward.at({"B": 3, "T": 5}) == 5 * forward
    # the weight's gradient at every position; the carry's at all but the first, whose carry is a constant
    assert price.backward.at({"B": 3, "T": 5}) == (5 + 4) * forward
    assert price.backward.at({"B": 3, "T": 1}) == forward


def test_amounts_add_like_terms_and_clip_lengths() -> None:
    t = Size.of("T")
    total = Amount.of([Term(2, (t, Size(3))), Term(4, (t,)), Term(1, (t - 2,)), Term(5, (), (t - 1,))])
    assert total == Amount.of([Term(10, (t,)), Term(1, (t - 2,)), Term(5, (), (t - 1,))])
    assert [total.at({"T": n}) for n in (1, 2, 5)] == [10, 25, 58]
    assert total.symbolic().free_symbols == t.symbolic().free_symbols
