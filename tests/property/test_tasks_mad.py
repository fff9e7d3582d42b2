"""MAD: every row is read again the way its task is described, and what is asked follows from what was shown."""

from itertools import chain, groupby
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import hrmsearch as hs
from hrmsearch.errors import SpecError
from hrmsearch.tasks.base import IGNORE, Split
from hrmsearch.tasks.mad import Mad
from hrmsearch.tasks.mad_compression import MadCompression
from hrmsearch.tasks.mad_fuzzy_recall import MadFuzzyRecall
from hrmsearch.tasks.mad_memorization import MadMemorization
from hrmsearch.tasks.mad_noisy_recall import MadNoisyRecall
from hrmsearch.tasks.mad_recall import MadRecall
from hrmsearch.tasks.mad_selective_copying import MadSelectiveCopying
from tests.training import tiny

KINDS: list[type[Mad]] = [
    MadRecall,
    MadNoisyRecall,
    MadFuzzyRecall,
    MadSelectiveCopying,
    MadMemorization,
    MadCompression,
]
FEW: dict[str, Any] = {"train_rows": 6, "valid_rows": 3, "test_rows": 6}
seeds = st.integers(0, 1000)
Row = tuple[list[int], list[int]]


def rows_of(split: Split) -> list[Row]:
    """Return tokens and targets of every row."""
    return [
        (list(map(int, row)), list(map(int, wanted))) for row, wanted in zip(split.tokens, split.targets, strict=True)
    ]


def rows(task: Mad) -> tuple[list[Row], list[Row]]:
    """Return the rows of train and of test."""
    data = task.load()
    (train,) = data.train(0, 0)
    return rows_of(train), rows_of(data.splits["test"])


def continued(row: Row, task: Mad) -> list[int]:
    """Return a row with the token that its last target is."""
    tokens, targets = row
    assert len(tokens) == task.tokens
    return [*tokens, targets[-1]]


# --- recall ----------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(seeds, st.sampled_from([4, 10, 30]), st.sampled_from([4, 6, 24]), st.sampled_from([None, 0.2, 0.8]))
def test_recall_asks_for_the_value_of_a_key_shown_before(
    seed: int, symbols: int, window: int, noise: float | None
) -> None:
    more = {"noise": noise, "noise_vocab": 3}
    task = (
        MadRecall(vocab=symbols, window=window, seed=seed, **FEW)
        if noise is None
        else MadNoisyRecall.model_validate({"vocab": symbols + 3, "window": window, "seed": seed, **more, **FEW})
    )
    train, test = rows(task)
    for tokens, targets in train:
        assert targets[:-1] == tokens[1:]
        answers_of(continued((tokens, targets), task), symbols)
    for row in test:
        assert row[1] == answers_of(continued(row, task), symbols)[1:]


def answers_of(tokens: list[int], symbols: int) -> list[int]:
    """Return what a reader can answer: at each value, that value where its key was shown before."""
    bound: dict[int, int] = {}
    answers: list[int] = []
    for key, value in zip(tokens[::2], tokens[1::2], strict=True):
        if key >= symbols:
            assert value >= symbols
            answers += [IGNORE, IGNORE]
            continue
        assert key < symbols // 2 <= value < symbols
        answers += [IGNORE, value if key in bound else IGNORE]
        assert bound.setdefault(key, value) == value
    assert answers[-1] != IGNORE, "the last key was shown before"
    return answers


@settings(max_examples=20)
@given(seeds, st.sampled_from([7, 16, 40]), st.sampled_from([24, 40, 90]))
def test_fuzzy_recall_asks_for_motifs_and_pads_on_the_left(seed: int, vocab: int, window: int) -> None:
    task = MadFuzzyRecall(vocab=vocab, window=window, seed=seed, **FEW)
    train, test = rows(task)
    for tokens, targets in train:
        assert targets[:-1] == tokens[1:]
        motif_answers(continued((tokens, targets), task), vocab - 1, key_sizes={1, 2, 3})
    for row in test:
        assert row[1] == motif_answers(continued(row, task), vocab - 1, key_sizes={3})[1:]


def motif_answers(tokens: list[int], pad: int, key_sizes: set[int]) -> list[int]:
    """Return what a reader can answer: at the tokens of each value, the value where its key was shown before."""
    padding = next(i for i, token in enumerate(tokens) if token != pad)
    runs = [list(run) for _, run in groupby(tokens[padding:], key=lambda token: token < pad // 2)]
    bound: dict[tuple[int, ...], list[int]] = {}
    answers = [IGNORE] * padding
    for key, value in zip(runs[::2], runs[1::2], strict=True):
        assert len(key) in key_sizes
        assert 1 <= len(value) <= 3
        assert len(set(key)) == len(key)
        assert len(set(value)) == len(value)
        assert max(key) < pad // 2 <= min(value) <= max(value) < pad
        answers += [IGNORE] * len(key) + (value if tuple(key) in bound else [IGNORE] * len(value))
        assert bound.setdefault(tuple(key), value) == value
    assert answers[-1] != IGNORE, "the last key was shown before"
    return answers


def test_a_fuzzy_key_has_every_size_in_training() -> None:
    train, _ = rows(MadFuzzyRecall(train_rows=200))
    sizes: set[int] = set()
    for tokens, _ in train:
        sizes |= {len(list(run)) for low, run in groupby(tokens[10:-6], key=lambda token: token < 7) if low}
    assert sizes == {1, 2, 3}


# --- the others ------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(seeds, st.integers(1, 6), st.integers(0, 8), st.integers(3, 9))
def test_copying_asks_for_the_tokens_among_the_blanks(seed: int, copied: int, more: int, vocab: int) -> None:
    window = 2 * copied + 2 + more
    task = MadSelectiveCopying(vocab=vocab, window=window, copied=copied, seed=seed, **FEW)
    blank, copy = vocab - 2, vocab - 1
    for tokens, targets in chain(*rows(task)):
        first, rest = tokens[: -copied - 1], tokens[-copied - 1 :]
        assert rest == [copy] + [blank] * copied
        assert first[-1] != blank
        assert targets == [IGNORE] * (window - copied) + [token for token in first if token != blank]


@settings(max_examples=20)
@given(seeds, st.integers(3, 40))
def test_memorization_has_one_value_per_key_everywhere(seed: int, vocab: int) -> None:
    task = MadMemorization(vocab=vocab, window=8, seed=seed, **FEW)
    keys = (vocab - 1) // 2
    bound: dict[int, int] = {}
    for tokens, targets in chain(*rows(task)):
        assert set(tokens[1::2]) == {vocab - 1}
        assert set(targets[::2]) == {IGNORE}
        for key, value in zip(tokens[::2], targets[1::2], strict=True):
            assert key < keys <= value < vocab - 1
            assert bound.setdefault(key, value) == value
    assert len(set(bound.values())) == len(bound)


def test_memorization_has_as_many_keys_as_the_source() -> None:
    values = MadMemorization().values
    assert (len(values), values.min() >= 127, values.max() <= 254) == (127, True, True)


@given(seeds)
def test_compression_wants_its_input_back(seed: int) -> None:
    for tokens, targets in chain(*rows(MadCompression(seed=seed, window=6, **FEW))):
        assert tokens == targets
        assert tokens[-1] == 15
        assert max(tokens[:-1]) < 15


# --- all -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_training_set_is_the_same_for_every_run_and_epoch_and_no_split_repeats_another(kind: type[Mad]) -> None:
    data = kind.model_validate({"train_rows": 50, "valid_rows": 50, "test_rows": 50}).load()
    (train,) = data.train(0, 0)
    assert data.train(3, 7)[0] is train
    every = [tuple(tokens) for split in (train, *data.splits.values()) for tokens, _ in rows_of(split)]
    assert len(set(every)) == 150


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_of_a_setting_stay_what_they_were(kind: type[Mad]) -> None:
    assert kind.model_validate(FEW).load().provenance["splits"]["test"]["sha256"][:12] == DIGESTS[kind.__name__]


DIGESTS = {
    "MadRecall": "cf469c3ef34c",
    "MadNoisyRecall": "626f98426e6b",
    "MadFuzzyRecall": "46e2da25eba1",
    "MadSelectiveCopying": "55278cf2dbca",
    "MadMemorization": "ffcd5af00a04",
    "MadCompression": "84a6611e36f3",
}


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (MadRecall, {"window": 7}, "multiple of 2"),
        (MadNoisyRecall, {"noise_vocab": 31}, "31 noise tokens of 32 leave no key and value"),
        (MadFuzzyRecall, {"vocab": 6}, "greater than or equal to 7"),
        (MadSelectiveCopying, {"copied": 128}, "leave no blank in 256 tokens"),
    ],
)
def test_impossible_settings_are_errors(kind: type[Mad], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        kind.model_validate(fields)


def test_compression_refuses_a_head_that_could_copy() -> None:
    with pytest.raises(SpecError, match=r"model.head.kind: the task mad_compression takes a head that reads one posi"):
        hs.lower(tiny("task=mad_compression/baseline"))
    assert (
        hs.lower(tiny("task=mad_compression/baseline", "model.head={kind: autoencoder, read: H}")).nest.causal is False
    )
