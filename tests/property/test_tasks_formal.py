"""Formal languages: every answer is found again by reading the string alone, and no string is in two splits."""

import math
from hashlib import sha256
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hrmsearch.errors import DataError
from hrmsearch.tasks.base import IGNORE, Ids, Split
from hrmsearch.tasks.cycle_navigation import CycleNavigation
from hrmsearch.tasks.even_pairs import EvenPairs
from hrmsearch.tasks.formal import Language
from hrmsearch.tasks.modular_arithmetic import ModularArithmetic
from hrmsearch.tasks.parity import Parity

KINDS: list[type[Language]] = [Parity, EvenPairs, CycleNavigation, ModularArithmetic]
SMALL = {"train_rows": 40, "valid_rows": 12, "test_rows": 12}
DIGESTS = {
    "Parity": "12f6a0446321",
    "EvenPairs": "1e2f08adfab8",
    "CycleNavigation": "327ddd748b22",
    "ModularArithmetic": "60473d636f49",
}


def of(kind: type[Language], **fields: Any) -> Language:
    """Return a language with few rows."""
    return kind(**SMALL, **fields)


@st.composite
def languages(draw: st.DrawFn) -> Language:
    kind = draw(st.sampled_from(KINDS))
    low, high, longest = draw(st.integers(2, 8)), draw(st.integers(12, 16)), draw(st.integers(17, 30))
    more: dict[type[Language], dict[str, int]] = {
        Parity: {"base": draw(st.integers(2, 4))},
        CycleNavigation: {"cycle": draw(st.integers(2, 7)), "stride": draw(st.integers(1, 3))},
        ModularArithmetic: {"modulus": draw(st.integers(2, 9))},
    }
    ends = {"train_lengths": (low, high), "test_lengths": (16, longest), "also": {"far": (32, 34)}}
    return of(kind, **ends, **more.get(kind, {}), window=34, seed=draw(st.integers(0, 3)))


def strings(split: Split) -> list[tuple[list[int], int]]:
    """Return the strings of a split with their answers, which stand at their last symbol."""
    found: list[tuple[list[int], int]] = []
    for tokens, targets in zip(split.tokens.tolist(), split.targets.tolist(), strict=True):
        length = sum(token != 0 for token in tokens)
        assert 0 not in tokens[:length]
        assert [t for t in targets if t != IGNORE] == [targets[length - 1]]
        found.append((tokens[:length], targets[length - 1]))
    return found


def read(language: Language, string: list[int]) -> int:
    """Return the answer to a string, read the way a person would."""
    if isinstance(language, Parity):
        return sum(token - 1 for token in string) % language.base + 1
    if isinstance(language, EvenPairs):
        changes = sum(a != b for a, b in pairwise(string))
        return 1 if changes % 2 == 0 else 2
    if isinstance(language, CycleNavigation):
        place = 0
        for token in string:
            place += token - 1 if token <= language.stride + 1 else language.stride + 1 - token
        return 2 * language.stride + 2 + place % language.cycle
    assert isinstance(language, ModularArithmetic)
    signs = {1: "+", 2: "-", 3: "*"}
    assert string[-1] == 4
    text = "".join(signs[token] if token < 4 else str(token - 5) for token in string[:-1])
    return eval(text) % language.modulus + 5


@settings(max_examples=40)
@given(languages())
def test_every_answer_is_the_one_a_reader_finds(language: Language) -> None:
    data = language.load()
    for split in (*data.splits.values(), *data.train(0, 0)):
        for string, answer in strings(split):
            assert answer == read(language, string)
            assert max(*string, answer) < language.vocabulary


@settings(max_examples=20)
@given(languages())
def test_lengths_are_those_asked_for(language: Language) -> None:
    data = language.load()
    ends = {"valid": language.train_lengths, "test": language.test_lengths, **language.also}
    assert list(data.splits) == ["valid", "test", "far"]
    for name, (low, high) in ends.items():
        lengths = {len(string) for string, _ in strings(data.splits[name])}
        assert lengths <= {n for n in range(low, high + 1) if n % language.step == 0}
        assert data.splits[name].window <= high


@settings(max_examples=20)
@given(languages(), st.integers(0, 9), st.integers(0, 9))
def test_no_epoch_of_any_run_trains_on_a_string_of_another_split(language: Language, seed: int, epoch: int) -> None:
    data = language.load()
    held = {name: {tuple(string) for string, _ in strings(split)} for name, split in data.splits.items()}
    train = {tuple(string) for split in data.train(seed, epoch) for string, _ in strings(split)}
    assert not train & (held["valid"] | held["test"] | held["far"])
    assert not held["valid"] & (held["test"] | held["far"])


@settings(max_examples=20)
@given(languages(), st.integers(0, 9), st.integers(0, 9))
def test_data_follow_from_spec_seed_and_epoch(language: Language, seed: int, epoch: int) -> None:
    def rows(run: int, at: int) -> bytes:
        return b"".join(split.tokens.tobytes() for split in language.load().train(run, at))

    assert rows(seed, epoch) == rows(seed, epoch)
    assert len({rows(seed, epoch), rows(seed + 1, epoch), rows(seed, epoch + 1)}) == 3
    fixed = language.model_copy(update={"fresh": False}).load()
    assert np.array_equal(fixed.train(seed, epoch)[0].tokens, fixed.train(seed + 1, epoch + 1)[0].tokens)
    other = language.model_copy(update={"seed": language.seed + 1}).load()
    assert other.provenance["sha256"] != language.load().provenance["sha256"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_strings_of_a_setting_stay_what_they_were(kind: type[Language]) -> None:
    data = of(kind, train_lengths=(2, 12), test_lengths=(12, 30), window=30).load()
    (train,) = data.train(0, 0)
    joint = b"".join(array.tobytes() for array in (train.tokens, data.splits["test"].tokens))
    assert sha256(joint).hexdigest()[:12] == DIGESTS[kind.__name__]


def test_answers_and_lengths_are_spread() -> None:
    split: Split = CycleNavigation(test_rows=4000).load().splits["test"]
    answers = np.bincount(split.targets[split.targets != IGNORE])[4:]
    assert np.abs(answers - 800).max() < 5 * math.sqrt(800)
    lengths: Ids = np.count_nonzero(split.tokens, axis=1)
    assert lengths.min() == 39
    assert lengths.max() == 255


def test_a_language_with_too_few_strings_is_an_error() -> None:
    with pytest.raises(DataError, match="strings of 1 to 1 symbols leave none for"):
        of(Parity, train_lengths=(1, 1), test_lengths=(1, 1)).load()


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (Parity, {"train_lengths": (9, 3)}, "9 to 3 is no range"),
        (Parity, {"test_lengths": (40, 300)}, "300 symbols do not fit the window of 255 tokens"),
        (Parity, {"also": {"far": (40, 300)}}, "300 symbols do not fit"),
        (Parity, {"also": {"valid": (3, 4)}}, "'valid' is a split already"),
        (ModularArithmetic, {"train_lengths": (3, 3)}, "multiples of 2 symbols"),
    ],
)
def test_impossible_lengths_are_errors(kind: type[Language], fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        kind.model_validate(fields)
