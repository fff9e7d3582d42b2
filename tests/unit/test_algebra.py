"""The H/L algebra: schedules as affine maps over numbers, formulas and complex pairs, and what bounds them."""

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
import sympy as _sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hrmsearch.algebra import (
    ARRAYS,
    Affine,
    Level,
    Rule,
    Schedule,
    Weights,
    closed_cycle,
    convex,
    equations,
    jury,
    letters,
    rates,
    real_block,
    row_sums,
)

Array = NDArray[np.float64]

sympy: Any = _sympy
numbers = st.floats(-1.5, 1.5)
levels = st.builds(Level[float], numbers, numbers, numbers)
schedules = st.builds(
    Schedule,
    period=st.integers(1, 8),
    cycles=st.integers(1, 8),
    order=st.sampled_from(["sequential", "simultaneous"]),
    inject=st.sampled_from([("L",), ("H",), ("L", "H")]),
)
rules = st.sampled_from(["zoh", "bilinear"])
anything = st.floats(-30.0, 30.0)


def ticked(schedule: Schedule, low: Level[Any], high: Level[Any], z: tuple[Any, Any], x: Any) -> tuple[Any, Any]:
    """Run a token tick by tick, as the levels' equations say."""
    z_high, z_low = z
    c_low = low.gain if "L" in schedule.inject else 0.0
    c_high = high.gain if "H" in schedule.inject else 0.0
    for tick in range(1, schedule.ticks + 1):
        old = z_low
        z_low = low.keep * z_low + low.read * z_high + c_low * x
        if tick % schedule.period == 0:
            seen = z_low if schedule.order == "sequential" else old
            z_high = high.keep * z_high + high.read * seen + c_high * x
    return z_high, z_low


def applied(affine: Affine[Any], z: tuple[Any, Any], x: Any) -> list[Any]:
    return [row[0] * z[0] + row[1] * z[1] + c * x for row, c in zip(affine.matrix, affine.vector, strict=True)]


@given(schedules, levels, levels, numbers, numbers, numbers)
def test_a_collapsed_token_is_its_ticks(
    schedule: Schedule, low: Level[float], high: Level[float], h: float, z: float, x: float
) -> None:
    expected = ticked(schedule, low, high, (h, z), x)
    # sums of powers cancel, so rounding is that of the largest of them
    sizes = [Level(*map(abs, (one.keep, one.read, one.gain))) for one in (low, high)]
    scale = max(ticked(schedule, sizes[0], sizes[1], (abs(h), abs(z)), abs(x)))
    got = applied(schedule.token(low, high), (h, z), x)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13 * scale)


@settings(max_examples=15)
@given(schedules, st.integers(0, 2**16))
def test_a_collapsed_token_has_the_gradients_of_its_ticks(schedule: Schedule, seed: int) -> None:
    torch: Any = pytest.importorskip("torch")
    drawn = torch.from_numpy(np.random.default_rng(seed).uniform(0.1, 0.9, (9, 5)))

    def gradients(collapsed: bool) -> Any:
        values = [row.clone().requires_grad_() for row in drawn]
        low, high, z, x = Level(*values[:3]), Level(*values[3:6]), (values[6], values[7]), values[8]
        after = applied(schedule.token(low, high), z, x) if collapsed else ticked(schedule, low, high, z, x)
        return torch.autograd.grad((after[0] + 2 * after[1]).sum(), values, materialize_grads=True)

    expected, got = gradients(False), gradients(True)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13 * float(other.abs().max()))


@dataclass
class Counted:
    """A number that counts the multiplications it takes part in."""

    tally: list[int]

    def __add__(self, other: "Counted") -> "Counted":
        return self

    __sub__ = __add__

    def __neg__(self) -> "Counted":
        return self

    def __mul__(self, other: "Counted") -> "Counted":
        self.tally[0] += 1
        return self


def multiplications(period: int, cycles: int) -> int:
    tally = [0]
    one = Counted(tally)
    Schedule(period, cycles, "sequential", ("L", "H")).token(Level(one, one, one), Level(one, one, one))
    return tally[0]


@given(st.integers(1, 4096), st.integers(1, 4096))
def test_the_cost_of_a_token_grows_with_the_logarithm_of_its_ticks(period: int, cycles: int) -> None:
    # a composition takes 12 multiplications, or 6 where z_H is held; a power at most 2 log2(n) compositions
    assert multiplications(period, cycles) <= 12 + 12 * math.log2(period) + 24 * math.log2(cycles)
    assert multiplications(4096, 4096) <= 12 + 12 * 12 + 24 * 12


@pytest.mark.parametrize("period", [1, 2, 3, 7])
@pytest.mark.parametrize("order", ["sequential", "simultaneous"])
@pytest.mark.parametrize("keep", [sympy.Rational(2, 3), 1, -1])
def test_the_closed_form_is_the_composition(period: int, order: Any, keep: Any) -> None:
    low, high = letters()
    schedule = Schedule(period, 1, order, ("L", "H"))
    symbol: Any = sympy.Symbol("P", positive=True, integer=True)
    composed = schedule.cycle(low, high)
    for closed in (closed_cycle(schedule, low, high), closed_cycle(schedule, low, high, symbol)):
        written = closed.written_out()
        pairs = zip((*written.matrix, written.vector), (*composed.matrix, composed.vector), strict=True)
        for one, other in ((one, other) for row in pairs for one, other in zip(*row, strict=True)):
            at: dict[Any, Any] = {low.keep: keep, symbol: period}
            assert sympy.expand(sympy.sympify(one).subs(at) - sympy.sympify(other).subs(at)) == 0


@given(st.integers(0, 2**32 - 1))
def test_the_jury_criterion_agrees_with_eigenvalues(seed: int) -> None:
    matrices = np.random.default_rng(seed).uniform(-1.6, 1.6, (400, 2, 2))
    margins = np.array([jury(matrix) for matrix in matrices])
    radius = np.abs(np.linalg.eigvals(matrices)).max(-1)
    clear = np.abs(radius - 1.0) > 1e-9
    assert (((margins > 0).all(-1)) == (radius < 1.0))[clear].all()


def test_the_jury_margins_of_a_cycle_factor() -> None:
    """For a_L other than 1 the first margin is (1 - p) ((1 - a_H)(1 - a_L) - b d) / (1 - a_L)."""
    low, high = letters()
    written = closed_cycle(Schedule(5), low, high).written_out()
    a, d, h, b = low.keep, low.read, high.keep, high.read
    expected = (1 - a**5) * ((1 - h) * (1 - a) - b * d) / (1 - a)
    first: Any = jury(written.matrix)[0]
    assert sympy.cancel(first.subs(sympy.Eq(a, 1), False) - expected) == 0


@given(st.integers(0, 2**16))
def test_rows_that_sum_to_at_most_one_compose_to_such_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def drawn() -> Affine[float]:
        rows = rng.uniform(-1, 1, (2, 2))
        (p, q), (r, s) = (rows / np.maximum(np.abs(rows).sum(-1, keepdims=True), 1.0)).tolist()
        return Affine(((p, q), (r, s)), (0.0, 0.0))

    product = drawn()
    for _ in range(6):
        product = product @ drawn()
        assert max(row_sums(product, abs)) <= 1.0 + 1e-15


def stable(rule: Rule, complex_: bool, numbers: list[float], step: float | None) -> tuple[Level[Any], Level[Any]]:
    """Return the levels that drawn parameters give; each level takes four numbers."""
    (tau, k, q, phase), (tau_h, k_h, q_h, phase_h) = numbers[:4], numbers[4:8]
    turning = ((q, phase), (q_h, phase_h)) if complex_ else ((None, None), (None, None))
    low, high = Weights(tau, k, *turning[0]), Weights(tau_h, k_h, *turning[1])
    fast, slow = rates(Schedule(3, 2), low.log_tau, high.log_tau, ARRAYS, step)
    return convex(low, fast, ARRAYS, rule), convex(high, slow, ARRAYS, rule)


def size(entry: Any) -> float:
    return abs(entry) if isinstance(entry, float) else math.hypot(entry.re, entry.im)


@given(schedules, rules, st.booleans(), st.lists(anything, min_size=8, max_size=8))
def test_no_parameters_of_the_stable_levels_grow(
    schedule: Schedule, rule: Rule, complex_: bool, drawn: list[float]
) -> None:
    low, high = stable(rule, complex_, drawn, None)
    for level in (low, high):
        assert size(level.keep) + size(level.read) <= 1.0 + 1e-15
    matrix = np.array(real_block(schedule.token(low, high).matrix), dtype=np.float64)
    assert np.abs(np.linalg.eigvals(matrix)).max() <= 1.0 + 1e-12


@given(
    schedules,
    rules,
    st.booleans(),
    st.lists(anything, min_size=8, max_size=8),
    st.lists(st.floats(0.0, 50.0), min_size=3),
)
def test_no_gates_make_a_product_of_tokens_grow(
    schedule: Schedule, rule: Rule, complex_: bool, drawn: list[float], steps: list[float]
) -> None:
    product = np.eye(4 if complex_ else 2)
    for step in steps:
        token = schedule.token(*stable(rule, complex_, drawn, step))
        product = np.array(real_block(token.matrix), dtype=np.float64) @ product
        assert np.abs(np.linalg.eigvals(product)).max() <= 1.0 + 1e-12


@given(st.floats(0.1, 5.0), numbers, numbers, numbers)
def test_zoh_is_the_solution_of_the_held_equation(tau: float, k: float, other: float, z: float) -> None:
    """Over a tick, tau z' = -z + tanh(k) other + x with other and x held."""
    held = math.tanh(k) * other + 0.3
    (made, _) = stable("zoh", False, [math.log(tau / 6), k, 0, 0, 0, 0, 0, 0], None)
    # six ticks of L to a token, so the time constant above is tau ticks
    solved = held + (z - held) * math.exp(-1 / tau)
    assert made.keep * z + made.read * other + made.gain * 0.3 == pytest.approx(solved, rel=1e-13, abs=1e-13)


@given(st.floats(0.5, 50.0), numbers, numbers, numbers)
def test_bilinear_is_the_trapezoid_rule(tau: float, k: float, other: float, z: float) -> None:
    (made, _) = stable("bilinear", False, [math.log(tau / 6), k, 0, 0, 0, 0, 0, 0], None)
    after = made.keep * z + made.read * other + made.gain * 0.3
    change = (math.tanh(k) * other + 0.3 - (z + after) / 2) / tau
    assert after - z == pytest.approx(change, rel=1e-12, abs=1e-12)


@given(st.floats(0.1, 3.0), st.floats(-3.0, 3.0), rules)
def test_complex_channels_have_their_pole(rate: float, turn: float, rule: Rule) -> None:
    """By zoh the pole of a tick is exp((-1 + i q) r), as of S4D with A = (-1 + i q) / tau."""
    a: Any = convex(Weights(0.0, 0.0, turn, 0.0), rate, ARRAYS, rule).keep
    decay = math.exp(-rate) if rule == "zoh" else (1 - rate / 2) / (1 + rate / 2)
    expected = decay * np.exp(1j * turn * rate)
    np.testing.assert_allclose(complex(a.re, a.im), expected, rtol=1e-13)


def told(schedule: Schedule, rule: Rule, turning: bool, gated: bool) -> dict[str, Any]:
    """Return the right-hand side of every printed equation by its left-hand side; the first that defines a name."""
    sections = equations(schedule, rule, turning=turning, gated=gated)
    lines = [line for section in sections for line in section.lines if line.sign == "="]
    return {str(line.left): line.right for line in reversed(lines)}


@settings(max_examples=12)
@given(schedules, rules, st.booleans(), st.booleans(), st.integers(0, 2**16))
def test_the_printed_equations_give_the_numbers(
    schedule: Schedule, rule: Rule, turning: bool, gated: bool, seed: int
) -> None:
    printed, rng = told(schedule, rule, turning, gated), np.random.default_rng(seed)
    drawn = {f"{name}_{level}": rng.uniform(0.2, 2.0) for name in ("tau", "k", "q", "phi") for level in "LH"}
    step = rng.uniform(0.5, 2.0) if gated else None
    known: dict[str, complex] = {**drawn, "Delta_t": step or 1.0}

    def value(name: str) -> complex:
        """Return what a name stands for, its equation evaluated."""
        if name not in known:
            right = printed[name]
            known[name] = complex(right.subs({symbol: value(str(symbol)) for symbol in right.free_symbols}))
        return known[name]

    def evaluated(matrix: Any) -> Array:
        return np.array([complex(sympy.sympify(e).subs({s: value(str(s)) for s in e.free_symbols})) for e in matrix])

    low, high = (
        Weights(
            np.log(drawn[f"tau_{level}"]),
            drawn[f"k_{level}"],
            *([drawn[f"q_{level}"], drawn[f"phi_{level}"]] * turning),
        )
        for level in "LH"
    )
    fast, slow = rates(schedule, low.log_tau, high.log_tau, ARRAYS, step)
    cycle = schedule.cycle(convex(low, fast, ARRAYS, rule), convex(high, slow, ARRAYS, rule))
    plain = "A" if schedule.cycles == 1 else "A_1", "B" if schedule.cycles == 1 else "B_1"
    for name, entries in zip(plain, ([e for row in cycle.matrix for e in row], cycle.vector), strict=True):
        expected = [complex(e.re, e.im) if hasattr(e, "re") else complex(e) for e in cast("list[Any]", entries)]
        np.testing.assert_allclose(evaluated(printed[name]), expected, rtol=1e-10, atol=1e-12)
