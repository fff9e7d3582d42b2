"""Every task that models text is held against n-grams, and no other is."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrmsearch.tasks import ngram
from hrmsearch.tasks.base import Split
from hrmsearch.tasks.char_lm import CharLm
from hrmsearch.tasks.controls import controls_of
from hrmsearch.tasks.parity import Parity
from hrmsearch.testing.toy import Toy

GRAMS = ["unigram", "bigram", "trigram", "4-gram", "5-gram"]


@pytest.mark.parametrize("window", [1, 4, 7])
def test_a_text_task_that_brings_no_controls_has_ngrams_on_valid_and_test(window: int) -> None:
    task = Toy(window=window, windows=60)
    found = controls_of(task, task.load())
    assert [one.name for one in found] == GRAMS
    assert all(set(one.metrics) == {"valid", "test"} for one in found)
    assert all(one.metrics["test"].keys() == {"loss", "ppl", "bpc"} for one in found)


def test_ngrams_learn_the_rule_of_a_toy_text() -> None:
    task = Toy(window=8, windows=200, noise=0.0)
    unigram, _, trigram, *_ = controls_of(task, task.load())
    # each token is the sum of the two before it, so three tokens know all but the start of a window
    assert unigram.metrics["test"]["bpc"] > 1.9
    assert trigram.metrics["test"]["bpc"] < 0.6


def test_a_task_keeps_the_controls_it_brings(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("a rose is a rose is a rose\n" * 20)
    text = CharLm(corpus=str(path), train_chars=200, valid_chars=70, test_chars=70)
    parity = Parity(
        train_rows=64, valid_rows=8, test_rows=8, train_lengths=(2, 6), test_lengths=(6, 8), window=8, also={}
    )
    for task in (text, parity):
        data = task.load()
        assert controls_of(task, data) == tuple(data.controls())


@given(st.lists(st.integers(0, 9), min_size=2, max_size=60), st.integers(1, 5))
def test_windows_of_a_text_give_the_text_back(ids: list[int], window: int) -> None:
    text = np.array([*ids, *range(5)], np.int32)
    whole = (len(text) - 1) // window * window + 1
    found = Split.of_text(text, window, "text").text
    assert found is not None
    assert found.tolist() == text[:whole].tolist()


def test_windows_that_do_not_follow_each_other_are_no_text() -> None:
    tokens = np.array([[0, 1, 2], [5, 6, 7]], np.int32)
    assert Split(tokens, tokens + 1).text is None
    assert Split(tokens[:1], tokens[:1] + 1).text is not None
    assert Split(tokens[:1], tokens[:1]).text is None


@pytest.mark.parametrize(("size", "most"), [(1, 5), (97, 5), (6208, 5), (6209, 4), (50_257, 4), (2_200_000, 2)])
def test_grams_are_as_long_as_64_bits_hold(size: int, most: int) -> None:
    assert ngram.most_orders(size) == most


def test_longer_grams_than_64_bits_hold_are_refused() -> None:
    split = Split.of_text(np.arange(9, dtype=np.int32), 4, "text")
    with pytest.raises(ValueError, match="grams of 5 over 50000 symbols exceed 63 bits; at most 4"):
        ngram.controls(np.arange(9, dtype=np.int32), {"test": split}, 50_000)
    ppl = ngram.controls(np.zeros(0, np.int32), {"test": split}, 50_000, orders=4)[3].metrics["test"]["ppl"]
    assert math.isclose(ppl, 50_000, rel_tol=1e-9)
