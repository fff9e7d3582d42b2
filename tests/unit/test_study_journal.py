"""The journal of a study: neither a lock nor half a line outlives the process that was killed over it."""

import multiprocessing
import os
import signal
import tempfile
from pathlib import Path

import optuna
from hypothesis import given
from hypothesis import strategies as st

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
