"""Arms held against controls that need no neural model."""

import math

from hrmsearch.study.floors import floors
from hrmsearch.study.statistics import Better, compare_arms

CONTROLS = {"unigram": 4.5, "bigram": 3.6, "trigram": 3.6, "4-gram": 3.3}


def told(better: Better = "lower", **arms: float) -> list[str]:
    return floors(compare_arms("hrm", {name: [mean, mean] for name, mean in arms.items()}, better=better), CONTROLS)


def test_controls_are_grouped_by_the_arms_they_are_as_good_as() -> None:
    assert told(hrm=3.5, hl=3.6, slstm=3.7) == [
        "Every arm is on average better than unigram.",
        "hl and slstm are on average no better than bigram and trigram.",
        "No arm is on average better than 4-gram.",
    ]


def test_what_is_better_follows_the_metric() -> None:
    assert told("higher", hrm=5.0, hl=4.0) == [
        "hl is on average no better than unigram.",
        "Every arm is on average better than bigram, trigram and 4-gram.",
    ]


def test_an_arm_that_diverged_is_better_than_no_control() -> None:
    assert told(hrm=1.0, hl=math.inf) == ["hl is on average no better than unigram, bigram, trigram and 4-gram."]
