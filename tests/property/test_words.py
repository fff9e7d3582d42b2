"""Random words: what is drawn from them is in range, evenly spread, and the same for ever."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hrmsearch.tasks.words import Words

keys = st.text(max_size=5)
counts = st.integers(1, 30)


@given(keys, counts, st.data())
def test_distinct_draws_are_in_range_and_differ(key: str, n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    found = Words(key).distinct(n, 20, k)
    assert found.shape == (20, k)
    assert ((found >= 0) & (found < n)).all()
    assert all(len(set(row)) == k for row in found.tolist())


def test_distinct_draws_are_arrangements_with_equal_chances() -> None:
    found = Words("arrangements").distinct(4, 24_000, 3) @ np.array([100, 10, 1])
    _, times = np.unique(found, return_counts=True)
    assert len(times) == 24
    assert np.abs(times - 1_000).max() < 5 * np.sqrt(1_000)


@given(keys, counts)
def test_weighted_draws_differ_and_all_of_them_are_everything(key: str, n: int) -> None:
    found = Words(key).weighted(np.arange(1, n + 1, dtype=np.float64), 10, n)
    assert np.array_equal(np.sort(found, axis=1), np.tile(np.arange(n), (10, 1)))


def test_the_first_weighted_draw_follows_the_weights() -> None:
    weights = np.array([1.0, 2.0, 5.0])
    found = np.bincount(Words("weights").weighted(weights, 8_000, 2)[:, 0], minlength=3)
    assert np.abs(found - 1_000 * weights).max() < 5 * np.sqrt(5_000)


def test_the_second_weighted_draw_follows_the_weights_that_are_left() -> None:
    found = Words("weights").weighted(np.array([1.0, 2.0, 5.0]), 24_000, 2)
    after = np.bincount(found[found[:, 0] == 2, 1], minlength=3)
    assert abs(after[0] - after.sum() / 3) < 5 * np.sqrt(after.sum() / 3)


@given(keys, st.integers(1, 1_000))
def test_integers_and_numbers_are_in_range(key: str, n: int) -> None:
    words = Words(key)
    integers, numbers = words.below(n, 50), words.uniform(50)
    assert ((integers >= 0) & (integers < n)).all()
    assert ((numbers > 0.0) & (numbers < 1.0)).all()


def test_a_key_has_its_own_words_and_they_stay_what_they_were() -> None:
    assert Words("a", 1).raw(2).tolist() == [12100088058179327416, 5170796255665330153]
    assert Words("a", 2).raw(2).tolist() != Words("a", 1).raw(2).tolist()
    assert np.array_equal(Words("a").raw(3, 2).ravel(), Words("a").raw(6))
