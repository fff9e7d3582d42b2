"""The n-gram controls: against the definition, and against the numbers known of WikiText-2."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrmsearch.tasks import ngram
from hrmsearch.tasks.base import Split
from hrmsearch.tasks.char_lm import CharLm


def witten_bell(train: Sequence[int], history: Sequence[int], symbol: int, size: int) -> float:
    """Return p(symbol | history) straight from the recursion."""
    lower = witten_bell(train, history[1:], symbol, size) if history else 1 / size
    n = len(history)
    after = Counter(train[i + n] for i in range(len(train) - n) if list(train[i : i + n]) == list(history))
    if not after:
        return lower
    return (after[symbol] + len(after) * lower) / (after.total() + len(after))


@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=25),
    st.lists(st.integers(0, 2), min_size=5, max_size=17),
    st.integers(1, 4),
)
def test_every_order_equals_the_recursion_within_each_window(train: list[int], text: list[int], window: int) -> None:
    split = Split.of_text(np.array(text, np.int32), window, "text")
    got = ngram.controls(np.array(train, np.int32), {"valid": split}, 3, orders=4)
    for order, control in enumerate(got, 1):
        logs = [
            math.log(witten_bell(train, split.tokens[row, max(t + 2 - order, 0) : t + 1].tolist(), int(target), 3))
            for row in range(len(split))
            for t, target in enumerate(split.targets[row])
        ]
        assert control.metrics["valid"]["loss"] == pytest.approx(-sum(logs) / len(logs), rel=1e-12)


def test_orders_one_to_five_have_their_known_perplexities_on_wikitext2(data_root: Path) -> None:
    del data_root
    controls = CharLm(corpus="wikitext2").load().controls()
    assert [control.name for control in controls] == ["unigram", "bigram", "trigram", "4-gram", "5-gram"]
    ppl = [control.metrics["valid"]["ppl"] for control in controls]
    assert ppl == pytest.approx([23.13, 12.46, 10.41, 10.17, 11.10], abs=0.005)


def test_loss_perplexity_and_bits_say_the_same() -> None:
    split = Split.of_text(np.arange(9, dtype=np.int32) % 4, 4, "text")
    metrics = ngram.controls(np.zeros(0, np.int32), {"test": split}, 4)[4].metrics["test"]
    assert metrics == pytest.approx({"loss": math.log(4), "ppl": 4.0, "bpc": 2.0})
