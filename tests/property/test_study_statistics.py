"""What holds of every comparison of arms, whatever the values."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hrmsearch.study.holm import holm
from hrmsearch.study.permutation import sign_flip_p, smallest_p
from hrmsearch.study.power import chance, detectable, seeds_needed
from hrmsearch.study.statistics import Comparison, Difference, compare_arms

ALPHA = 0.05
ARMS = ("control", "one", "two", "three")
SWAPPED = {"better": "worse", "worse": "better", "no difference shown": "no difference shown", None: None}
Arms = Mapping[str, Sequence[float]]

# multiples of 1/64: their sums and differences are exact, and ties and constant differences occur
values = st.integers(-640, 640).map(lambda n: n / 64)
p_values = st.lists(st.one_of(st.sampled_from([0.0, 0.01, 0.025, 1.0]), st.floats(0, 1)), min_size=1, max_size=6)
# scipy has no types of its own
stats: Any = import_module("scipy.stats")


@st.composite
def arms(draw: st.DrawFn, most: int = 4, seeds: tuple[int, int] = (1, 12)) -> Arms:
    """Draw a control and up to three arms, some far from it, so that all verdicts occur."""
    count, names = draw(st.integers(*seeds)), ARMS[: draw(st.integers(2, most))]
    offsets = {name: draw(st.sampled_from([0.0, 0.0, 5.0, -20.0])) for name in names}
    rows = {name: draw(st.lists(values, min_size=count, max_size=count)) for name in names}
    return {name: tuple(value + offsets[name] for value in row) for name, row in rows.items()}


def compared(values: Arms, control: str = "control") -> Comparison:
    return compare_arms(control, values, better="lower", alpha=ALPHA)


def close(a: object, b: object) -> bool:
    return a is b is None or a == pytest.approx(b, rel=1e-9, abs=1e-12)


def alike(a: Difference, b: Difference, scale: float = 1.0) -> bool:
    """Whether two differences say the same, where the second is of values so many times as large."""
    low, high = (None, None) if a.interval is None else sorted(scale * end for end in a.interval)
    same = [
        (None if a.mean is None else scale * a.mean, b.mean),
        (None if a.sd is None else abs(scale) * a.sd, b.sd),
        (low, None if b.interval is None else b.interval[0]),
        (high, None if b.interval is None else b.interval[1]),
        (a.p, b.p),
        (a.p_adjusted, b.p_adjusted),
        (a.permutation_p, b.permutation_p),
    ]
    verdict = a.verdict if scale > 0 else SWAPPED[a.verdict]
    return all(close(one, other) for one, other in same) and (verdict, a.reason) == (b.verdict, b.reason)


@given(arms(most=2))
def test_swapping_the_arms_swaps_the_verdict(values: Arms) -> None:
    (forth,), (back,) = compared(values).differences, compared(values, "one").differences
    assert alike(forth, back, scale=-1.0)


@given(arms(), st.data())
def test_what_a_seed_adds_to_every_arm_changes_nothing(values: Arms, data: st.DataObject) -> None:
    count = len(values["control"])
    shifts = data.draw(st.lists(st.integers(-100, 100), min_size=count, max_size=count))
    shifted = {name: [v + s for v, s in zip(row, shifts, strict=True)] for name, row in values.items()}
    pairs = zip(compared(values).differences, compared(shifted).differences, strict=True)
    assert all(alike(*pair) for pair in pairs)


@given(arms(), st.sampled_from([0.125, 3.0, 1e6, -1.0, -0.3]))
def test_another_unit_changes_the_unit_only(values: Arms, scale: float) -> None:
    scaled = {name: [v * scale for v in row] for name, row in values.items()}
    pairs = zip(compared(values).differences, compared(scaled).differences, strict=True)
    assert all(alike(*pair, scale=scale) for pair in pairs)


@given(arms(), st.randoms(use_true_random=False))
def test_the_order_of_seeds_and_of_arms_is_irrelevant(values: Arms, random: Any) -> None:
    order = list(range(len(values["control"])))
    names = list(values)
    random.shuffle(order)
    random.shuffle(names)
    after = {one.arm: one for one in compared({name: [values[name][i] for i in order] for name in names}).differences}
    assert all(alike(one, after[one.arm]) for one in compared(values).differences)


@given(arms())
def test_the_interval_spans_zero_exactly_where_no_difference_is_shown(values: Arms) -> None:
    for one in compared(values).differences:
        if one.interval is None:
            assert one.verdict is None
            assert one.reason
        else:
            assert (one.interval[0] <= 0 <= one.interval[1]) == (one.verdict == "no difference shown")
            assert not one.reason


@given(arms())
def test_a_verdict_has_the_sign_of_the_difference(values: Arms) -> None:
    for one in compared(values).differences:
        if one.verdict in ("better", "worse"):
            assert one.mean is not None
            assert (one.mean < 0) == (one.verdict == "better")


@given(arms(most=2, seeds=(2, 12)))
def test_one_arm_is_tested_as_scipy_tests_it(values: Arms) -> None:
    (found,) = compared(values).differences
    assume(found.p is not None and found.sd)
    result = stats.ttest_rel(values["one"], values["control"])
    assert found.p == pytest.approx(result.pvalue)
    assert found.interval == pytest.approx(tuple(result.confidence_interval(1 - ALPHA)))


@given(p_values)
def test_holm_is_the_closure_of_bonferroni(p: list[float]) -> None:
    every = [subset for size in range(1, len(p) + 1) for subset in combinations(range(len(p)), size)]
    for index, step in enumerate(holm(p, ALPHA)):
        family = [min(1.0, len(subset) * min(p[i] for i in subset)) for subset in every if index in subset]
        assert step.p_adjusted == pytest.approx(max(family))


@given(p_values)
def test_holm_lies_between_no_adjustment_and_bonferroni(p: list[float]) -> None:
    for value, step in zip(p, holm(p, ALPHA), strict=True):
        assert value <= step.p_adjusted <= min(1.0, len(p) * value)
        assert ALPHA / len(p) <= step.level <= ALPHA


@given(p_values)
def test_holm_keeps_the_order_of_p_and_its_levels_decide_the_same(p: list[float]) -> None:
    steps = holm(p, ALPHA)
    ordered = [step.p_adjusted for _, step in sorted(zip(p, steps, strict=True), key=lambda pair: pair[0])]
    assert ordered == sorted(ordered)
    assert all((value <= s.level) == (s.p_adjusted <= ALPHA) for value, s in zip(p, steps, strict=True))


@given(st.lists(st.one_of(values, st.just(0.0)), min_size=8, max_size=10))
def test_the_permutation_p_is_that_of_all_signings(differences: list[float]) -> None:
    signed = np.array(list(product((-1, 1), repeat=len(differences)))) @ np.array(differences)
    assert sign_flip_p(differences) == np.mean(np.abs(signed) >= abs(sum(differences)))


@given(st.lists(st.floats(0.01, 1), min_size=8, max_size=40))
def test_the_permutation_p_of_one_sided_differences_is_the_smallest_there_is(differences: list[float]) -> None:
    assert sign_flip_p(differences) == pytest.approx(smallest_p(len(differences)))


@given(st.floats(0.02, 5), st.floats(1, 3), st.sampled_from([0.05, 0.0125]))
def test_a_larger_effect_needs_no_more_seeds(effect: float, factor: float, alpha: float) -> None:
    small, large = seeds_needed(effect, alpha=alpha), seeds_needed(effect * factor, alpha=alpha)
    assert small is not None
    assert large is not None
    assert large <= small


@given(st.floats(0.02, 5), st.sampled_from([0.05, 0.0125]))
def test_seeds_needed_are_the_fewest_that_suffice(effect: float, alpha: float) -> None:
    needed = seeds_needed(effect, alpha=alpha)
    assert needed is not None
    assert chance(effect, needed, alpha=alpha) >= 0.8
    assert needed == 2 or chance(effect, needed - 1, alpha=alpha) < 0.8
    assert detectable(needed, alpha=alpha) <= effect * (1 + 1e-6)


@pytest.mark.parametrize(("effect", "seeds"), [(0.0, 5), (1.0, 5), (2.0, 5), (0.5, 34)])
def test_the_chance_of_finding_an_effect_is_that_of_simulated_studies(effect: float, seeds: int) -> None:
    differences = np.random.default_rng(0).normal(effect, 1.0, (20_000, seeds))
    t = differences.mean(axis=1) / (differences.std(axis=1, ddof=1) / np.sqrt(seeds))
    critical = stats.t.isf(0.025, seeds - 1)
    # four standard errors of a share of 20,000
    assert np.mean(t > critical) == pytest.approx(chance(effect, seeds), abs=0.015)
