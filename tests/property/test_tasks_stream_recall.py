"""Recall across windows: a stream answers what its own windows ask, and a window alone never does."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hrmsearch.tasks.base import IGNORE, Split
from hrmsearch.tasks.loaders import train_batches
from hrmsearch.tasks.stream_recall import StreamRecall


@st.composite
def tasks(draw: st.DrawFn) -> StreamRecall:
    pairs = draw(st.integers(1, 5))
    return StreamRecall(
        window=2 * (pairs + draw(st.integers(0, 4))),
        windows=draw(st.integers(2, 4)),
        keys=pairs + draw(st.integers(0, 4)),
        values=draw(st.integers(2, 6)),
        pairs=pairs,
        asked=draw(st.integers(1, pairs)),
        seed=draw(st.integers(0, 5)),
        train_streams=draw(st.integers(1, 9)),
        valid_streams=draw(st.integers(1, 9)),
        test_streams=draw(st.integers(1, 9)),
    )


def streams_of(task: StreamRecall, split: Split) -> list[tuple[Any, Any]]:
    """Return tokens and targets of every stream, [windows, W] each."""
    shape = (-1, task.windows, task.window)
    return list(zip(split.tokens.reshape(shape), split.targets.reshape(shape), strict=True))


def check_stream(task: StreamRecall, tokens: Any, targets: Any) -> None:
    told = tokens[0].reshape(-1, 2)
    bound = {int(k): int(v) for k, v in told if k}
    assert len(bound) == task.pairs
    assert all(0 < k <= task.keys < v < task.vocabulary for k, v in bound.items())
    assert np.all((told[:, 0] > 0) == (told[:, 1] > 0)), "a key and its value share a place"
    assert np.all(targets[0] == IGNORE), "nothing is asked where it is told"
    for seen, wanted in zip(tokens[1:], targets[1:], strict=True):
        places = np.flatnonzero(seen)
        assert len(places) == task.asked == len(set(seen[places]))
        assert [bound[int(key)] for key in seen[places]] == wanted[places].tolist()
        assert np.array_equal(places, np.flatnonzero(wanted != IGNORE))


@settings(max_examples=50)
@given(tasks(), st.integers(0, 9))
def test_the_first_window_of_a_stream_answers_the_others(task: StreamRecall, epoch: int) -> None:
    data = task.load()
    (train,) = data.train(0, epoch)
    for split, count in ((train, task.train_streams), (data.splits["test"], task.test_streams)):
        streams = streams_of(task, split)
        assert len(streams) == count
        for tokens, targets in streams:
            check_stream(task, tokens, targets)


@settings(max_examples=30)
@given(tasks(), st.integers(0, 9), st.integers(0, 9))
def test_every_epoch_of_every_run_has_its_own_streams_and_always_the_same(
    task: StreamRecall, seed: int, epoch: int
) -> None:
    def drawn(run: int, at: int) -> list[bytes]:
        return [split.tokens.tobytes() + split.targets.tobytes() for split in task.load().train(run, at)]

    task = task.model_copy(update={"train_streams": 12, "window": 20})
    assert drawn(seed, epoch) == drawn(seed, epoch)
    assert drawn(seed, epoch) != drawn(seed + 1, epoch)
    assert drawn(seed, epoch) != drawn(seed, epoch + 1)


def test_in_a_window_alone_every_value_of_a_key_is_equally_likely() -> None:
    task = StreamRecall(window=8, windows=2, keys=2, values=4, pairs=2, asked=2, train_streams=20_000)
    (split,) = task.load().train(0, 0)
    asking = split.targets != IGNORE
    found = Counter(zip(split.tokens[asking].tolist(), split.targets[asking].tolist(), strict=True))
    expected = int(asking.sum()) / (task.keys * task.values)
    assert len(found) == task.keys * task.values
    assert max(abs(count - expected) for count in found.values()) < 5 * np.sqrt(expected)


def test_rows_of_a_batch_read_whole_streams() -> None:
    task = StreamRecall(window=16, windows=3, train_streams=5)
    data = task.load()
    batches = list(train_batches(data.train(0, 0), task.loader, 2, 0, 0))
    assert [len(one.arrays["tokens"]) for one in batches] == [2, 2, 2, 2, 2, 2, 1, 1, 1]
    for i in range(0, 9, 3):
        tokens, targets = (
            np.stack([one.arrays[name] for one in batches[i : i + 3]], 1) for name in ("tokens", "targets")
        )
        for row in zip(tokens, targets, strict=True):
            check_stream(task, *row)


def test_the_best_that_a_window_alone_can_do_is_a_control() -> None:
    data = StreamRecall.model_validate({"kind": "stream_recall", **StreamRecall.presets["small"]}).load()
    _, alone = data.controls()
    assert alone.name == "window alone"
    assert alone.metrics["test"] == {"accuracy": 1 / 16, "exact": 1 / 16**4}


def test_the_rows_of_a_setting_stay_what_they_were() -> None:
    task = StreamRecall(window=8, windows=2, keys=3, values=3, pairs=2, asked=2, train_streams=1)
    (split,) = task.load().train(0, 0)
    assert split.tokens.tolist() == [[0, 0, 3, 4, 0, 0, 1, 4], [0, 0, 1, 0, 0, 0, 3, 0]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pairs": 17, "window": 64}, "17 pairs need as many keys, and there are 16"),
        ({"pairs": 8, "window": 14}, "8 pairs do not fit the 7 places of a window"),
        ({"pairs": 4, "asked": 5}, "5 keys cannot be asked for, since 4 are told"),
        ({"window": 15}, "multiple of 2"),
        ({"windows": 1}, "greater than or equal to 2"),
    ],
)
def test_impossible_settings_are_errors(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        StreamRecall.model_validate(fields)
