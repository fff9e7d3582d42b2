"""Rows of one map agree with it, and nothing in a row says more of its map than its pairs do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hrmsearch.tasks.base import IGNORE
from hrmsearch.tasks.maps import Maps


@st.composite
def tasks(draw: st.DrawFn) -> Maps:
    symbols = draw(st.integers(1, 9))
    pairs = draw(st.integers(1, symbols))
    return Maps(
        window=2 * pairs + draw(st.integers(0, 3)),
        maps=draw(st.integers(1, 5)),
        symbols=symbols,
        values=draw(st.integers(2, 5)),
        pairs=pairs,
        train_rows=draw(st.integers(1, 20)),
        valid_rows=draw(st.integers(1, 9)),
        test_rows=draw(st.integers(1, 9)),
        fresh=draw(st.booleans()),
        seed=draw(st.integers(0, 99)),
    )


@settings(max_examples=30)
@given(tasks(), st.integers(0, 9))
def test_a_row_is_symbols_and_what_its_map_says_of_them(task: Maps, epoch: int) -> None:
    data = task.load()
    for split in (*data.splits.values(), *data.train(0, epoch)):
        assert split.puzzles is not None
        symbols = split.tokens[:, ::2]
        values = task.symbols + task.table[split.puzzles[:, None], symbols]
        np.testing.assert_array_equal(split.tokens[:, 1::2], values)
        np.testing.assert_array_equal(split.targets[:, ::2], values)
        assert (split.targets[:, 1::2] == IGNORE).all()
        assert all(len(set(row)) == task.pairs for row in symbols.tolist())
        assert split.tokens.max() < task.vocabulary
        assert split.puzzles.max() < task.puzzles


def test_rows_keep_their_maps_over_blocks_and_epochs_differ_where_they_are_fresh() -> None:
    for fresh in (True, False):
        task = Maps(train_rows=9_000, fresh=fresh)
        (first,), (second,) = (task.load().train(0, epoch) for epoch in (0, 1))
        assert first.puzzles is not None
        assert first.puzzles.shape == (9_000,)
        assert set(first.puzzles.tolist()) == set(range(task.maps))
        assert np.array_equal(first.tokens, second.tokens) != fresh


@settings(max_examples=20)
@given(tasks())
def test_the_control_is_what_all_maps_that_fit_a_row_say(task: Maps) -> None:
    split = task.load().splits["test"]
    right = 0.0
    for row in split.tokens.tolist():
        pairs = list(zip(row[::2], row[1::2], strict=True))
        for i, (symbol, _) in enumerate(pairs):
            fits = [m for m in task.table.tolist() if all(m[s] == v - task.symbols for s, v in pairs[:i])]
            says = [m[symbol] for m in fits]
            right += max(says.count(value) for value in says) / len(says)
    control = task.guesses(split)["maps known, row read"]
    assert control["accuracy"] == pytest.approx(right / (len(split) * task.pairs))


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"symbols": 5, "pairs": 6}, "6 pairs need as many symbols"), ({"window": 11}, "more than the window of 11")],
)
def test_rows_that_do_not_fit_are_refused(fields: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Maps.model_validate({"kind": "maps", **fields})
