"""What a claim is promised to mean, over thousands of simulated studies that the real functions judge."""

import pytest

from benchmarks.simulated_studies import PROMISED_FALSE, PROMISED_FOUND, Outcome, Setting, page, simulate


@pytest.mark.parametrize("setting", PROMISED_FALSE, ids=lambda setting: f"{setting.comparisons} comparisons")
def test_identical_arms_are_called_different_in_few_of_2000_studies(setting: Setting) -> None:
    assert simulate(setting, 2000).claims <= 0.065


def test_an_effect_of_two_deviations_is_found_by_five_seeds_in_most_of_2000_studies() -> None:
    assert simulate(PROMISED_FOUND, 2000).claims >= 0.85


def test_without_holm_more_studies_of_four_arms_make_a_false_claim() -> None:
    outcome = simulate(Setting(4, 5), 300)
    assert outcome.unadjusted > 2 * outcome.claims


def test_the_page_of_results_shows_a_row_per_setting() -> None:
    rows = page({PROMISED_FOUND: Outcome(0.916, 0.916, None)}, 2000).splitlines()
    assert rows[-1] == "| 2 | normal | 1 | 5 | 91.6% | 90.9% | 91.6% |  |"
