"""Files are written whole or not at all."""

import os
from pathlib import Path

import pytest

from hrmsearch.errors import RunError
from hrmsearch.files import write


def test_a_write_that_fails_leaves_the_old_content_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.json"
    write(path, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"a\.json: cannot be written \(No space left on device\)"):
        write(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_made_only_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.bin"
    with pytest.raises(RunError, match="cannot be written"):
        write(path, b"\0")
    write(path, b"\0", parents=True)
    assert path.read_bytes() == b"\0"


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(RunError, match="cannot be written"):
        write(tmp_path / "file" / "a", "", parents=True)
