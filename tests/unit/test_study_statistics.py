"""What a comparison of arms says, and what it does in cases that have no statistics."""

import math

import pytest

from hrmsearch.study.holm import holm
from hrmsearch.study.power import chance, detectable, seeds_needed
from hrmsearch.study.statistics import Difference, compare_arms

CONTROL = (1.0, 2.0, 3.0, 4.0, 5.0)


def only(*arm: float, control: tuple[float, ...] = CONTROL) -> Difference:
    (difference,) = compare_arms("control", {"control": control, "arm": arm}, better="lower").differences
    return difference


def test_a_difference_in_every_seed_is_claimed_with_its_interval() -> None:
    found = only(0.5, 1.6, 2.4, 3.5, 4.3)
    assert found.verdict == "better"
    assert found.interval == pytest.approx((-0.68157, -0.39843), abs=1e-5)
    assert found.p == pytest.approx(0.00045, abs=1e-5)
    assert found.seeds_needed == 3


def test_what_is_lower_is_worse_where_higher_is_better() -> None:
    values = {"control": CONTROL, "arm": (0.5, 1.6, 2.4, 3.5, 4.3)}
    assert compare_arms("control", values, better="higher").differences[0].verdict == "worse"


def test_one_seed_gives_a_difference_and_no_verdict() -> None:
    found = only(2.0, control=(3.0,))
    assert (found.mean, found.interval, found.p, found.verdict) == (-1.0, None, None, None)
    assert found.reason == "one seed has no spread"


def test_equal_values_show_no_difference() -> None:
    found = only(*CONTROL)
    assert (found.mean, found.sd, found.interval, found.p) == (0.0, 0.0, (0.0, 0.0), 1.0)
    assert found.verdict == "no difference shown"
    assert found.seeds_needed is None


def test_rounding_is_no_difference() -> None:
    found = only(0.1 + 0.2, 0.7 + 0.1, control=(0.3, 0.8))
    assert (found.mean, found.verdict) == (0.0, "no difference shown")


def test_the_same_difference_in_every_seed_is_not_judged() -> None:
    found = only(1.5, 2.5, 3.5, 4.5, 5.5)
    assert (found.mean, found.sd, found.interval, found.verdict) == (0.5, 0.0, None, None)
    assert "no spread" in found.reason


@pytest.mark.parametrize("lost", [math.nan, math.inf, -math.inf])
def test_an_arm_with_a_diverged_seed_has_no_mean_and_no_verdict(lost: float) -> None:
    compared = compare_arms("control", {"control": CONTROL, "arm": (1.0, lost, 1.0, lost, 1.0)}, better="lower")
    arm, (found,) = compared.arms[1], compared.differences
    assert (arm.mean, arm.sd, arm.seeds, arm.diverged) == (None, None, 5, (1, 3))
    assert (found.mean, found.p, found.verdict, found.reason) == (None, None, None, "2 of 5 seeds of arm diverged")


def test_a_diverged_control_leaves_no_verdict_on_any_arm() -> None:
    values = {"control": (1.0, math.nan, 3.0), "one": (1.0, 2.0, 3.0), "two": (math.nan, 2.0, 3.0)}
    reasons = [found.reason for found in compare_arms("control", values, better="lower").differences]
    assert reasons == [
        "1 of 3 seeds of control diverged",
        "1 of 3 seeds of two diverged and 1 of 3 seeds of control diverged",
    ]


def test_an_arm_without_a_verdict_still_counts_in_the_family() -> None:
    values = {"control": CONTROL, "arm": (0.5, 1.6, 2.4, 3.5, 4.3), "lost": (1.0, math.nan, 1.0, 1.0, 1.0)}
    found = compare_arms("control", values, better="lower").differences[0]
    assert found.p is not None
    assert found.p_adjusted == 2 * found.p


@pytest.mark.parametrize(
    ("values", "alpha", "message"),
    [
        ({"arm": (1.0,)}, 0.05, "control: 'control' is no arm; the arms are arm"),
        ({}, 0.05, "control: 'control' is no arm; the arms are none"),
        ({"control": ()}, 0.05, "values: control has no seeds; at least one is needed"),
        (
            {"control": (1.0, 2.0), "arm": (1.0,)},
            0.05,
            "values: arm has 1 seeds and control 2; arms are paired seed by seed",
        ),
        ({"control": (1.0,)}, 1.0, "alpha: 1.0 is no error rate; it lies between 0 and 1"),
    ],
)
def test_misuse_is_refused(values: dict[str, tuple[float, ...]], alpha: float, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        compare_arms("control", values, better="lower", alpha=alpha)
    assert str(caught.value) == message


def test_a_permutation_p_is_shown_from_eight_seeds_on() -> None:
    seven = only(*(v - 1 - 0.1 * v for v in range(7)), control=tuple(map(float, range(7))))
    eight = only(*(v - 1 - 0.1 * v for v in range(8)), control=tuple(map(float, range(8))))
    assert (seven.permutation_p, seven.permutation_agrees) == (None, None)
    assert (eight.permutation_p, eight.permutation_agrees) == (2 / 256, True)


def test_holm_follows_a_worked_example() -> None:
    # in rising order 4 * 0.005, 3 * 0.01, 2 * 0.03 and 1 * 0.04, none below its predecessor; the third stops it
    steps = holm([0.04, 0.01, 0.03, 0.005], 0.05)
    assert [step.p_adjusted for step in steps] == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert [step.level for step in steps] == pytest.approx([0.05 / 2, 0.05 / 3, 0.05 / 2, 0.05 / 4])


def test_seeds_needed_are_those_of_another_implementation() -> None:
    # power.t.test(type = "paired") of R says 33.37 and 14.30 pairs
    assert (seeds_needed(0.5), seeds_needed(0.8)) == (34, 15)
    assert chance(2.0, 5) == pytest.approx(0.91, abs=0.01)


def test_what_is_detectable_is_found_in_four_of_five_studies() -> None:
    for seeds in (2, 3, 5, 8, 100):
        assert chance(detectable(seeds), seeds) == pytest.approx(0.8, abs=1e-6)


def test_an_effect_that_a_million_seeds_would_miss_has_no_number() -> None:
    assert seeds_needed(1e-4) is None
