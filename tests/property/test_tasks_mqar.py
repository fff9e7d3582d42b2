"""Associative recall: the value at a query is the last one bound to its key, and nothing else is asked."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hrmsearch.tasks.base import IGNORE, Split
from hrmsearch.tasks.mqar import Mqar, Recall

EMPTY = 0


@st.composite
def tasks(draw: st.DrawFn) -> Mqar:
    def part() -> Recall:
        pairs = draw(st.integers(1, 5))
        return Recall(length=4 * pairs + 2 * draw(st.integers(0, 6)), pairs=pairs, rows=draw(st.integers(1, 12)))

    tests = {part.name: part for part in (part() for _ in range(draw(st.integers(1, 3))))}
    return Mqar(
        window=40,
        vocab=draw(st.sampled_from([16, 60])),
        train=tuple(part() for _ in range(draw(st.integers(1, 3)))),
        valid=tuple(part() for _ in range(draw(st.integers(1, 2)))),
        test=tuple(tests.values()),
        fill=draw(st.sampled_from(["zeros", "random"])),
        seed=draw(st.integers(0, 5)),
    )


def rows_of(split: Split) -> list[tuple[list[int], list[int]]]:
    """Return tokens and targets of every row."""
    return [
        (list(map(int, row)), list(map(int, wanted))) for row, wanted in zip(split.tokens, split.targets, strict=True)
    ]


def check_row(task: Mqar, tokens: list[int], targets: list[int], pairs: int) -> None:
    half = task.vocab // 2
    bound = dict(zip(tokens[: 2 * pairs : 2], tokens[1 : 2 * pairs : 2], strict=True))
    assert len(bound) == len(set(bound.values())) == pairs
    assert all(0 < key < half <= value < task.vocab for key, value in bound.items())
    queries = [t for t, target in enumerate(targets) if target != IGNORE]
    assert sorted(tokens[t] for t in queries) == sorted(bound)
    assert all(t >= 2 * pairs and t % 2 == 0 for t in queries)
    assert all(targets[t] == bound[tokens[t]] for t in queries)
    rest = {token for t, token in enumerate(tokens) if t >= 2 * pairs and t not in queries}
    assert rest <= ({EMPTY} if task.fill == "zeros" else set(range(task.vocab)))


@settings(max_examples=50)
@given(tasks(), st.integers(0, 9))
def test_answers_are_what_the_row_bound_to_their_keys(task: Mqar, epoch: int) -> None:
    drawn = zip(task.sections()["train"], task.load().train(0, epoch), strict=True)
    for part, split in drawn:
        assert split.tokens.shape == (part.rows, part.length)
        for tokens, targets in rows_of(split):
            check_row(task, tokens, targets, part.pairs)


@settings(max_examples=30)
@given(tasks())
def test_mixtures_are_padded_in_valid_and_apart_in_test(task: Mqar) -> None:
    data = task.load()
    names = ["test"] if len(task.test) == 1 else [part.name for part in task.test]
    assert list(data.splits) == ["valid", *names]
    valid = data.splits["valid"]
    assert valid.window == max(part.length for part in task.valid)
    rows = iter(rows_of(valid))
    for part in task.valid:
        for _ in range(part.rows):
            tokens, targets = next(rows)
            check_row(task, tokens[: part.length], targets[: part.length], part.pairs)
            assert set(targets[part.length :]) <= {IGNORE}
            assert set(tokens[part.length :]) <= {EMPTY}
    assert data.train_rows == [part.rows for part in task.train]
    assert data.train_window == max(part.length for part in task.train)


@settings(max_examples=20)
@given(tasks(), st.integers(0, 9), st.integers(0, 9))
def test_every_epoch_of_every_run_has_its_own_rows_and_always_the_same(task: Mqar, seed: int, epoch: int) -> None:
    def rows(run: int, at: int) -> list[bytes]:
        return [split.tokens.tobytes() for split in task.load().train(run, at)]

    assert rows(seed, epoch) == rows(seed, epoch)
    assert rows(seed, epoch) != rows(seed + 1, epoch)
    assert rows(seed, epoch) != rows(seed, epoch + 1)


def test_gaps_follow_the_power_law() -> None:
    part = Recall(length=32, pairs=1, rows=20_000)
    for power in (0.01, 1.0):
        task = Mqar(vocab=16, train=(part,), power=power)
        (split,) = task.load().train(0, 0)
        gaps = (split.targets != IGNORE).argmax(axis=1) // 2 - 1
        weights = np.arange(1, 16) ** (power - 1.0)
        expected = part.rows * weights / weights.sum()
        found = np.bincount(gaps, minlength=15)
        assert np.abs(found - expected).max() < 5 * np.sqrt(expected.max())


def test_the_rows_of_a_setting_stay_what_they_were() -> None:
    task = Mqar(vocab=16, train=(Recall(length=12, pairs=2, rows=1),), fill="random")
    (split,) = task.load().train(0, 0)
    assert split.tokens[0].tolist() == [6, 8, 5, 13, 5, 7, 3, 13, 6, 11, 9, 11]


def test_guessing_a_value_of_the_row_is_a_control() -> None:
    data = Mqar.model_validate({"kind": "mqar", **Mqar.presets["small"]}).load()
    constant, guess = data.controls()
    assert guess.metrics["test"] == {"accuracy": 0.25, "exact": 0.25**4}
    assert constant.metrics["test"]["accuracy"] < 0.1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"train": [{"length": 62, "pairs": 16, "rows": 1}]}, "need 64 tokens, more than 62"),
        ({"train": [{"length": 128, "pairs": 4, "rows": 1}]}, "128 tokens do not fit the window of 64"),
        ({"vocab": 8}, "4 pairs need as many keys, and a vocab of 8 has 3"),
        ({"test": [{"length": 64, "pairs": 4, "rows": 1}] * 2}, "64x4 occurs twice"),
        ({"train": [{"length": 63, "pairs": 4, "rows": 1}]}, "multiple of 2"),
    ],
)
def test_impossible_settings_are_errors(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Mqar.model_validate(fields)
