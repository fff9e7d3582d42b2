"""The char_lm task: its fields, how it cuts a text, and what it records."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from hrmsearch.errors import DataError
from hrmsearch.spec.registry import kinds
from hrmsearch.tasks.char_lm import CharLm

TEXT = "".join(chr(97 + i % 26) for i in range(100))


def task(path: Path, text: str = TEXT, **fields: Any) -> CharLm:
    path = path / "text.txt"
    path.write_bytes(text.encode())
    sizes = {"train_chars": 50, "valid_chars": 20, "test_chars": 30, "window": 4}
    return CharLm.model_validate({"corpus": str(path), **sizes, **fields})


def test_importing_the_package_registers_the_kind() -> None:
    assert kinds("task")["char_lm"] is CharLm


def test_lowering_needs_no_data() -> None:
    char_lm = CharLm(corpus="./nowhere.txt", window=32)
    assert (char_lm.window, char_lm.vocabulary, char_lm.causal, char_lm.loader) == (32, 97, True, "shuffled")
    assert CharLm(alphabet="bytes").vocabulary == 256


def test_a_single_file_is_cut_into_train_valid_and_test(tmp_path: Path) -> None:
    data = task(tmp_path).load()
    cut = {"train": TEXT[:50], "valid": TEXT[50:70], "test": TEXT[70:]}
    for name, text in cut.items():
        split = data.splits[name]
        assert data.decode(split.tokens.ravel()) == text[: split.tokens.size]
        assert data.decode(split.targets.ravel()) == text[1 : split.tokens.size + 1]
        assert len(split) == (len(text) - 1) // 4


def test_none_takes_what_the_other_splits_leave(tmp_path: Path) -> None:
    data = task(tmp_path, train_chars="none").load()
    assert data.provenance["splits"]["train"]["characters"] == 50
    data = task(tmp_path, train_chars=20, valid_chars="none").load()
    assert data.provenance["splits"]["valid"]["characters"] == 50
    assert data.provenance["splits"]["test"]["sha256"] == sha256(TEXT[70:].encode()).hexdigest()


def test_none_is_printed_as_none_and_read_back() -> None:
    char_lm = CharLm(train_chars=None)
    assert char_lm.model_dump()["train_chars"] == "none"
    assert CharLm.model_validate(char_lm.model_dump()) == char_lm
    assert {"const": "none"} in CharLm.model_json_schema()["properties"]["train_chars"]["anyOf"]


def test_bytes_count_bytes(tmp_path: Path) -> None:
    data = task(tmp_path, "\u00e9" * 50, alphabet="bytes").load()
    assert data.provenance["splits"]["train"]["bytes"] == 50
    assert data.splits["train"].tokens[0].tolist() == [0xC3, 0xA9, 0xC3, 0xA9]


def test_the_provenance_says_what_was_used_and_is_json(tmp_path: Path) -> None:
    data = task(tmp_path, "\u00e9" + TEXT[1:]).load()
    record = data.provenance["splits"]["train"]
    assert json.loads(json.dumps(data.provenance)) == data.provenance
    assert record["unknown"] == 1
    assert record["sha256"] == sha256(("\u00e9" + TEXT[1:50]).encode()).hexdigest()
    assert (record["windows"], record["targets"]) == (12, 48)
    assert data.headline.startswith("corpus ")


def test_the_hash_changes_with_any_split(tmp_path: Path) -> None:
    hashes = [task(tmp_path, TEXT[:at] + "#" + TEXT[at + 1 :]).load().provenance["sha256"] for at in (3, 55, 75)]
    assert len({*hashes, task(tmp_path).load().provenance["sha256"]}) == 4


def test_windows_cannot_be_written_to(tmp_path: Path) -> None:
    split = task(tmp_path).load().splits["train"]
    with pytest.raises(ValueError, match="read-only"):
        split.tokens[0, 0] = 1


def test_encode_counts_unknown_characters(tmp_path: Path) -> None:
    ids, unknown = task(tmp_path).load().encode("a\u00e9")
    assert (ids.tolist(), ids.dtype, unknown) == ([65, 0], np.int32, 1)


def test_controls_score_valid_and_test_only(tmp_path: Path) -> None:
    controls = task(tmp_path).load().controls()
    assert len(controls) == 5
    assert set(controls[0].metrics) == {"valid", "test"}


def test_pydoc_needs_nothing_but_python() -> None:
    data = CharLm(corpus="pydoc").load()
    assert [len(data.splits[name]) for name in ("train", "valid", "test")] == [312, 78, 234]
    assert "Python" in data.provenance["notes"][0]


def test_wikitext2_is_the_published_protocol(data_root: Path) -> None:
    del data_root
    splits = CharLm().load().provenance["splits"]
    assert CharLm().load().provenance["corpus"] == "wikitext2"
    assert {name: (s["unknown"], s["windows"]) for name, s in splits.items()} == {
        "train": (13, 312),
        "valid": (10, 78),
        "test": (13, 234),
    }


def test_a_corpus_shorter_than_asked_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"text.txt: has 90 characters, but .* ask for 100; ask for less"):
        task(tmp_path, TEXT[:90]).load()
    with pytest.raises(DataError, match=r"has 51 characters, but .* ask for 50 and a window of 4"):
        task(tmp_path, TEXT[:51], train_chars="none").load()


def test_two_open_splits_of_one_text_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="only one of them can be none"):
        task(tmp_path, train_chars="none", valid_chars="none").load()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"train_chars": 64}, "64 characters hold no window of 64; at least 65 are needed"),
        ({"test_chars": 10}, "10 characters hold"),
        ({"valid_chars": "none", "test_chars": "none"}, "only one of them can be none"),
        ({"train_chars": 0}, "greater than 0"),
        ({"train_chars": "all"}, "valid integer"),
        ({"window": 0}, "greater than 0"),
        ({"corpus": "wikitxt2"}, "did you mean 'wikitext2'"),
        ({"corpus": ["pydoc", "mine"]}, r"a file in this folder is \./mine"),
        ({"corpus": []}, "names no corpus"),
        ({"corpus": ""}, "corpus"),
        ({"loader": "rolling"}, "loader"),
    ],
)
def test_impossible_fields_are_found_before_any_data_are_read(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CharLm.model_validate(fields)
