"""Shares of right answers against their definitions, written out target by target."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hrmsearch.tasks.base import IGNORE, Ids
from hrmsearch.tasks.judging import METRICS, Tally, chosen, is_better, of_loss

CLASSES = 4
shapes = st.tuples(st.integers(1, 5), st.integers(1, 6))


@st.composite
def answers(draw: st.DrawFn) -> tuple[Ids, Ids]:
    """Return predictions and targets, some of them ignored."""
    shape = draw(shapes)
    predicted = draw(hnp.arrays(np.int32, shape, elements=st.integers(0, CLASSES - 1)))
    targets = draw(hnp.arrays(np.int32, shape, elements=st.sampled_from([IGNORE, *range(CLASSES)])))
    return predicted, targets


def values(predicted: Ids, targets: Ids) -> dict[str, float]:
    tally = Tally(CLASSES)
    tally.add(predicted, targets)
    return tally.values()


@given(answers())
def test_accuracy_counts_judged_targets(given_: tuple[Ids, Ids]) -> None:
    predicted, targets = given_
    pairs = [(p, t) for p, t in zip(predicted.flat, targets.flat, strict=True) if t != IGNORE]
    expected = sum(p == t for p, t in pairs) / max(len(pairs), 1)
    assert values(predicted, targets)["accuracy"] == expected


@given(answers())
def test_exact_counts_windows_without_a_wrong_target(given_: tuple[Ids, Ids]) -> None:
    predicted, targets = given_
    rows = [[(p, t) for p, t in zip(*row, strict=True) if t != IGNORE] for row in zip(*given_, strict=True)]
    asked = [row for row in rows if row]
    expected = sum(all(p == t for p, t in row) for row in asked) / max(len(asked), 1)
    assert values(predicted, targets)["exact"] == expected


@given(answers())
def test_macro_is_the_mean_over_classes_that_are_wanted_or_given(given_: tuple[Ids, Ids]) -> None:
    predicted, targets = given_
    pairs = [(p, t) for p, t in zip(predicted.flat, targets.flat, strict=True) if t != IGNORE]
    shares: list[float] = []
    for c in range(CLASSES):
        wanted = [p for p, t in pairs if t == c]
        if wanted or any(p == c for p, _ in pairs):
            shares.append(sum(p == c for p in wanted) / len(wanted) if wanted else 0.0)
    assert math.isclose(values(predicted, targets)["macro"], sum(shares) / len(shares) if shares else 0.0)


@given(answers(), st.integers(0, 5))
def test_batches_add_up(given_: tuple[Ids, Ids], at: int) -> None:
    predicted, targets = given_
    tally = Tally(CLASSES)
    for part in (slice(None, at), slice(at, None)):
        tally.add(predicted[part], targets[part])
    assert tally.values() == values(predicted, targets)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_of_two_values_one_is_better_unless_they_are_equal(first: float, second: float) -> None:
    for name in METRICS:
        assert is_better(name, first, second) + is_better(name, second, first) == (first != second)
    assert is_better("loss", 1.0, 2.0)
    assert is_better("accuracy", 0.9, 0.8)


def test_metrics_are_chosen_in_the_order_of_their_names() -> None:
    assert list(chosen(("bpc", "accuracy", "ppl"), of_loss(1.0))) == ["bpc", "ppl"]
