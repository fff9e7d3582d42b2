"""The journal of a study: neither a lock nor half a line outlives the process that was killed over it."""

import multiprocessing
import os
import signal
import tempfile
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrmsearch.errors import RunError
from hrmsearch.study.journal import Journal, mend, open_journal


@given(st.binary(max_size=30_000))
def test_mending_leaves_whole_lines_only(content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as stream:
        path = Path(stream.name)
        path.write_bytes(content)
        mend(path)
        assert path.read_bytes() == content[: content.rfind(b"\n") + 1]


def test_a_line_that_was_never_finished_is_not_read_and_gone_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    study = optuna.create_study(storage=open_journal(path), study_name="s")
    study.add_trial(optuna.trial.create_trial(value=1.0))
    with open(path, "ab") as stream:
        stream.write(b'{"op_code": 4, "worker_id": "abc", "tri')
    again = optuna.load_study(storage=open_journal(path), study_name="s")
    assert len(again.trials) == 1
    again.add_trial(optuna.trial.create_trial(value=2.0))
    assert [t.value for t in optuna.load_study(storage=open_journal(path), study_name="s").trials] == [1.0, 2.0]


def die_with_the_lock(path: Path) -> None:
    with Journal(path)._locked():  # pyright: ignore[reportPrivateUsage]
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_lock_of_a_killed_writer_is_free_at_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    open_journal(path)
    process = multiprocessing.get_context("forkserver").Process(target=die_with_the_lock, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    study = optuna.create_study(storage=open_journal(path), study_name="s")
    assert study.trials == []


@pytest.mark.parametrize(
    "content", [b"one line of notes", b"two\nlines\n", b'{"a":1}', b'{"a":1}\n', b"[1]\n", b"\x80\x00\xff\n\x00"]
)
def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(RunError) as caught:
        open_journal(path)
    assert str(caught.value) == f"{path}: is no journal of a study; name a new file"
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (content, [path])


@pytest.mark.parametrize("damage", [b"damage", b"\x80\x00", b'{"a":1}', b"7"])
def test_a_damaged_line_within_a_journal_is_named(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "journal.log"
    optuna.create_study(storage=open_journal(path), study_name="s").add_trial(optuna.trial.create_trial(value=1.0))
    first, *later = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([first, damage, *later, b""]))
    with pytest.raises(RunError) as caught:
        open_journal(path)
    assert str(caught.value) == f"{path}: line 2 is damaged; restore the file, or name a new one"


def test_a_change_that_follows_from_nothing_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    path.write_text('{"op_code":99}\n')
    with pytest.raises(RunError, match="has a change that cannot be followed"):
        open_journal(path)


def test_a_folder_is_no_journal_and_a_file_no_folder_of_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(RunError, match=r"^\S+: cannot be read as a journal of a study \(Is a directory\)$"):
        open_journal(tmp_path)
    with pytest.raises(RunError, match=r"^\S+/file: cannot be made \(File exists\)$"):
        open_journal(tmp_path / "file" / "journal.log")
