"""Loaders deal every window as promised, whatever the sizes."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hrmsearch.errors import DataError
from hrmsearch.ir import Nest
from hrmsearch.ir.types import Lifetime
from hrmsearch.tasks.base import Ids, Split
from hrmsearch.tasks.loaders import Batch, eval_batches, order, train_batch_rows, train_batches
from hrmsearch.train.nest import updates_per_epoch

counts, rows, seeds = st.integers(1, 60), st.integers(1, 9), st.integers(0, 2**32)
loaders = st.sampled_from(["shuffled", "contiguous"])


def split_of(count: int, window: int = 3) -> Split:
    """Return a split whose token at position i of the document is i."""
    return Split.of_text(np.arange(count * window + 1, dtype=np.int32), window, "text")


def stacked(batches: list[Batch], name: str = "tokens") -> Ids:
    return np.concatenate([batch.arrays[name] for batch in batches])


@given(counts, rows, seeds, st.integers(0, 100))
def test_shuffled_training_deals_every_window_once(count: int, batch: int, seed: int, epoch: int) -> None:
    split = split_of(count)
    batches = list(train_batches([split], "shuffled", batch, seed, epoch))
    assert sorted(stacked(batches)[:, 0]) == split.tokens[:, 0].tolist()
    assert np.array_equal(stacked(batches, "targets"), stacked(batches) + 1)
    assert [len(b.arrays["tokens"]) for b in batches[:-1]] == [batch] * (len(batches) - 1)


@given(counts, rows, seeds)
def test_contiguous_rows_continue_and_keep_their_number(count: int, batch: int, seed: int) -> None:
    assume(count >= batch)
    split = split_of(count)
    batches = list(train_batches([split], "contiguous", batch, seed, 0))
    assert len(batches) == count // batch
    for before, after in pairwise(batches):
        assert np.array_equal(before.arrays["targets"][:, -1], after.arrays["tokens"][:, 0])
    assert [b.reset for b in batches] == [Lifetime.STREAM] + [Lifetime.WINDOW] * (len(batches) - 1)
    assert len(np.unique(stacked(batches))) == batch * (count // batch) * split.window


@given(counts, rows, loaders)
def test_evaluation_scores_every_target_once_in_document_order(count: int, batch: int, loader: str) -> None:
    split = split_of(count)
    batches = list(eval_batches(split, loader, batch))
    assert np.array_equal(stacked(batches, "targets"), split.targets)
    assert np.array_equal(stacked(batches), split.tokens)
    assert {len(b.arrays["tokens"]) for b in batches} == {1} or loader == "shuffled"


@given(counts, rows, loaders, seeds, st.data())
def test_an_epoch_resumed_anywhere_yields_its_tail(
    count: int, batch: int, loader: str, seed: int, data: st.DataObject
) -> None:
    assume(loader == "shuffled" or count >= batch)
    split = split_of(count)
    whole = list(train_batches([split], loader, batch, seed, 7))
    assert len(whole) == len(train_batch_rows([count], loader, batch))
    start = data.draw(st.integers(0, len(whole)))
    tail = list(train_batches([split], loader, batch, seed, 7, start))
    assert [b.reset for b in tail] == [b.reset for b in whole[start:]]
    for got, expected in zip(tail, whole[start:], strict=True):
        assert np.array_equal(got.arrays["tokens"], expected.arrays["tokens"])


@given(counts, rows, seeds)
def test_rows_start_fresh_at_the_epoch_and_where_their_number_changes(count: int, batch: int, seed: int) -> None:
    batches = list(train_batches([split_of(count)], "shuffled", batch, seed, 0))
    sizes = [len(b.arrays["tokens"]) for b in batches]
    for index, dealt in enumerate(batches):
        fresh = index == 0 or sizes[index] != sizes[index - 1]
        assert dealt.reset == (Lifetime.STREAM if fresh else Lifetime.WINDOW)


@given(seeds, st.integers(0, 50))
def test_each_seed_and_epoch_has_its_own_order(seed: int, epoch: int) -> None:
    orders = {tuple(order(s, e, 30)) for s, e in [(seed, epoch), (seed + 1, epoch), (seed, epoch + 1)]}
    assert len(orders) == 3


def test_the_order_of_seed_0_stays_what_it_was() -> None:
    assert order(0, 0, 10).tolist() == [8, 4, 6, 2, 7, 0, 5, 9, 1, 3]


def test_impossible_requests_are_errors() -> None:
    split = split_of(4)
    with pytest.raises(DataError, match="4 windows, fewer than the 5 rows"):
        train_batches([split], "contiguous", 5, 0, 0)
    with pytest.raises(DataError, match="no loader 'rolling'; one of: shuffled, contiguous"):
        eval_batches(split, "rolling", 2)
    with pytest.raises(DataError, match="batch 3 does not exist: the epoch has 2 batches"):
        train_batches([split], "shuffled", 2, 0, 0, start=3)
    with pytest.raises(DataError, match="a batch of 0 rows"):
        train_batches([split], "shuffled", 0, 0, 0)
    with pytest.raises(DataError, match="a batch of 0 rows"):
        train_batches([split], "contiguous", 0, 0, 0)


sections = st.lists(st.integers(1, 20), min_size=2, max_size=4)


def sections_of(rows: list[int]) -> list[Split]:
    """Return sections whose windows differ in length, so that a batch shows its section."""
    return [split_of(count, window=i + 1) for i, count in enumerate(rows)]


@given(sections, rows, seeds, st.integers(0, 9), st.data())
def test_sections_are_mixed_batch_by_batch_and_dealt_whole(
    counted: list[int], batch: int, seed: int, epoch: int, data: st.DataObject
) -> None:
    split = sections_of(counted)
    whole = list(train_batches(split, "shuffled", batch, seed, epoch))
    assert sorted(len(b.arrays["tokens"]) for b in whole) == sorted(train_batch_rows(counted, "shuffled", batch))
    for i, section in enumerate(split):
        dealt = [b.arrays["tokens"] for b in whole if b.arrays["tokens"].shape[1] == i + 1]
        assert np.array_equal(np.sort(np.concatenate(dealt), axis=0), section.tokens)
    for before, after in pairwise(whole):
        same = before.arrays["tokens"].shape == after.arrays["tokens"].shape
        assert after.reset == (Lifetime.WINDOW if same else Lifetime.STREAM)
    start = data.draw(st.integers(0, len(whole)))
    for got, expected in zip(train_batches(split, "shuffled", batch, seed, epoch, start), whole[start:], strict=True):
        assert np.array_equal(got.arrays["tokens"], expected.arrays["tokens"])


def test_sections_come_in_another_order_in_every_epoch() -> None:
    split = sections_of([20, 20, 20])
    widths = {tuple(b.arrays["tokens"].shape[1] for b in train_batches(split, "shuffled", 1, 0, e)) for e in range(5)}
    assert len(widths) == 5


def test_sections_are_no_stream() -> None:
    with pytest.raises(DataError, match="windows of several lengths are no stream; use the loader 'shuffled'"):
        train_batches(sections_of([4, 4]), "contiguous", 2, 0, 0)
    nest = Nest(1, ("windows", 2), "span", "shuffled", True, 4)
    with pytest.raises(DataError, match=r"windows of several lengths cannot share a span; use nest.backprop in passes"):
        updates_per_epoch([4, 4], nest, 2)


@given(st.integers(1, 9), st.integers(1, 6), rows, st.sampled_from(["train", "eval"]))
def test_rows_read_whole_streams_and_forget_between_them(streams: int, stream: int, batch: int, how: str) -> None:
    ids = np.arange(streams * stream * 3, dtype=np.int32).reshape(-1, 3)
    split = Split(ids, ids + 1, stream=stream)
    dealt = (
        train_batches([split], "contiguous", batch, 0, 0)
        if how == "train"
        else eval_batches(split, "contiguous", batch)
    )
    batches = list(dealt)
    assert np.array_equal(np.sort(stacked(batches), axis=0), ids)
    assert [len(b.arrays["tokens"]) for b in batches] == train_batch_rows([len(ids)], "contiguous", batch, stream)
    for i, one in enumerate(batches):
        begins = i % stream == 0
        assert one.reset == (Lifetime.STREAM if begins else Lifetime.WINDOW)
        first = one.arrays["tokens"][:, 0] // 3
        assert begins == bool(np.all(first % stream == 0))
        assert begins or np.array_equal(batches[i - 1].arrays["targets"][:, -1], one.arrays["tokens"][:, 0])


def test_a_part_of_a_stream_is_an_error() -> None:
    ids = np.zeros((5, 3), np.int32)
    with pytest.raises(DataError, match="5 windows make no whole streams of 2"):
        Split(ids, ids, stream=2)
