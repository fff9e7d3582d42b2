"""Verdicts in sentences."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hrmsearch.study.statistics import compare_arms
from hrmsearch.study.verdicts import Measure, markdown, sentences

SHIFTS = np.array([0.3, -0.1, 0.2, 0.4, -0.2, 0.1, 0.0, -0.3])
NOISE = np.array([0.02, -0.03, 0.01, 0.0, 0.03, -0.01, 0.02, -0.04])
BPC = Measure("test bpc")
Arms = Mapping[str, NDArray[np.float64] | float]


def said(
    seeds: int, measure: Measure = BPC, arms: Arms | None = None, **named: NDArray[np.float64] | float
) -> list[str]:
    """Return the sentences on arms given as their differences from a control named hrm."""
    control = 3.5 + SHIFTS[:seeds]
    values = {
        "hrm": control,
        **{name: control + np.broadcast_to(one, (8,))[:seeds] for name, one in (arms or named).items()},
    }
    return sentences(compare_arms("hrm", {k: v.tolist() for k, v in values.items()}, better="lower"), measure)


def test_a_claim_names_its_size_its_interval_its_p_and_its_seeds() -> None:
    assert said(5, hl=NOISE - 0.1) == [
        "hl is better than hrm: test bpc is 0.094 lower (95 % interval -0.123 to -0.065), p = 0.001, 5 paired seeds."
    ]


def test_several_arms_are_told_with_the_rule_that_adjusts_them() -> None:
    hl, flat = said(5, hl=NOISE - 0.1, flat=NOISE)
    assert "(97.5 % interval -0.130 to -0.058), p = 0.002 after Holm's rule over 2 arms" in hl
    assert flat == (
        "No difference between flat and hrm is shown: test bpc is 0.006 higher (95 % interval -0.023 to 0.035), "
        "p = 0.591 after Holm's rule over 2 arms, 5 paired seeds. "
        "In four of five studies 5 seeds show a difference of 0.047; one as small as this takes 143 seeds."
    )


def test_shares_differ_by_percentage_points() -> None:
    assert "test accuracy is 9.4 points lower (95 % interval -12.3 to -6.5 points)" in " ".join(
        said(5, Measure("test accuracy", share=True), hl=NOISE - 0.1)
    )


def test_the_sign_flip_test_speaks_from_eight_seeds_on() -> None:
    assert said(8, hl=NOISE - 0.1)[0].endswith("8 paired seeds. The sign-flip test agrees (p = 0.008).")
    outlier = np.array([0.1, 0.05, -0.01, 0.03, 0.05, 0.06, 0.0, -0.01])
    assert said(8, hl=outlier)[0].endswith(
        "The sign-flip test does not agree (p = 0.062): the claim holds only if differences are nearly normal."
    )


def test_too_many_arms_for_the_sign_flip_test_are_said() -> None:
    arms = {f"arm{index}": NOISE - 0.1 for index in range(7)}
    assert said(8, arms=arms)[0].endswith(
        "The sign-flip test (p = 0.055) cannot decide: that takes more seeds with 7 arms."
    )


def test_no_verdict_says_why() -> None:
    lost = np.where(np.arange(8) == 2, math.nan, 0.0)
    assert said(5, lost=lost, flat=0.0, far=0.5) == [
        "No verdict on lost against hrm: 1 of 5 seeds of lost diverged.",
        "No difference between flat and hrm is shown: test bpc is the same in all 5 paired seeds.",
        "No verdict on far against hrm: every seed differs by the same amount, which leaves no spread to judge it by; "
        "test bpc is 0.50 higher.",
    ]
    assert said(1, hl=-0.1) == ["No verdict on hl against hrm: one seed has no spread; test bpc is 0.10 lower."]


def test_markdown_is_a_list() -> None:
    comparison = compare_arms("a", {"a": [1.0], "b": [2.0], "c": [3.0]}, better="lower")
    assert markdown(comparison, BPC) == (
        "- No verdict on b against a: one seed has no spread; test bpc is 1.0 higher.\n"
        "- No verdict on c against a: one seed has no spread; test bpc is 2.0 higher.\n"
    )
