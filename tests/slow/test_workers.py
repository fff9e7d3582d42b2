"""Real workers on real storages: one that is killed in mid-trial loses nothing, and nothing is done twice."""

import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from hrmsearch.spec.load import load
from hrmsearch.study.board import Board
from hrmsearch.study.crew import Crew
from hrmsearch.study.results import Trial, gather, trials_of
from tests.postgres import server
from tests.studying import board_of, tiny_study
from tests.training import outcome, train

pytest.importorskip("torch")
pytestmark = pytest.mark.slow

#: a trial of a second or two that writes a checkpoint after every step
CHANGES = ("trials=3", "seeds=2", "task.train_chars=1500", "train.epochs=4", "train.checkpoint=0")
LINES = "metrics.jsonl"
#: how a worker tells of a trial
TOLD = re.compile(r"[ab]-(\d|seed-\d): ")
#: seconds that a study may take on a busy machine
PATIENCE = 400.0


@pytest.fixture(params=["journal", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    if request.param == "journal":
        yield str(tmp_path / "journal.log")
    else:
        with server() as address:
            yield address
            assert connections(address) == 0, "nothing holds a connection between two talks to the storage"


def test_a_killed_worker_loses_nothing(tmp_path: Path, url: str) -> None:
    board = board_of(tiny_study(tmp_path, *CHANGES), tmp_path, url)
    crew = Crew("tiny", url, tmp_path, tmp_path / "workers", 2)
    crew.start()
    try:
        first = until_under_way(board, tmp_path)
        pid = holder(first)
        assert pid in crew.pids
        os.kill(pid, signal.SIGKILL)
        until_finished(board, crew, replace=False)
    finally:
        crew.stop()
    check(board, tmp_path, killed=[first.item.name])


def test_a_study_whose_workers_were_all_killed_goes_on(tmp_path: Path, url: str) -> None:
    board = board_of(tiny_study(tmp_path, *CHANGES), tmp_path, url)
    crew = Crew("tiny", url, tmp_path, tmp_path / "workers", 2)
    crew.start()
    try:
        until_under_way(board, tmp_path)
        killed = [trial.item.name for trial in trials_of(board) if trial.state == "running"]
        for pid in crew.pids:
            os.kill(pid, signal.SIGKILL)
        while crew.alive:
            time.sleep(0.05)
        killed = [trial.item.name for trial in trials_of(board) if trial.state == "running"]
        assert killed
        notes = crew.tend()
        assert [note.endswith("was killed by SIGKILL; another one takes its place") for note in notes] == [True] * 2
        until_finished(board, crew, replace=True)
    finally:
        crew.stop()
    check(board, tmp_path, killed=killed)


def test_a_worker_that_is_asked_to_stop_hands_its_trial_on(tmp_path: Path) -> None:
    url = str(tmp_path / "journal.log")
    board = board_of(tiny_study(tmp_path, *CHANGES), tmp_path, url)
    crew = Crew("tiny", url, tmp_path, tmp_path / "workers", 1)
    crew.start()
    first = until_under_way(board, tmp_path)
    crew.stop()
    left = next(trial for trial in trials_of(board) if trial.item.ident == first.item.ident)
    assert left.state == "running"
    again = Crew("tiny", url, tmp_path, tmp_path / "workers", 1)
    again.start()
    try:
        until_finished(board, again, replace=False)
    finally:
        again.stop()
    check(board, tmp_path, killed=[first.item.name])


def connections(url: str) -> int:
    """Return how many clients a server has besides the one that asks."""
    import psycopg

    # leaving the block closes it
    with psycopg.connect(url.replace("+psycopg", "")) as asking:
        row = asking.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row
    return row[0]


def until_under_way(board: Board, folder: Path) -> Trial:
    """Wait until a trial has trained for a while, and return it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for trial in trials_of(board):
            run = folder / "trials" / trial.item.name
            if (
                trial.state == "running"
                and (run / "checkpoint.safetensors").exists()
                and (run / "metrics.jsonl").exists()
            ):
                return trial
        time.sleep(0.02)
    raise AssertionError("no trial came under way")


def until_finished(board: Board, crew: Crew, *, replace: bool) -> None:
    end = time.monotonic() + PATIENCE
    while not board.is_finished():
        assert time.monotonic() < end, [trial.record() for trial in trials_of(board)]
        assert crew.alive
        if replace:
            crew.tend()
        time.sleep(0.2)


def holder(trial: Trial) -> int:
    found = re.search(r"process (\d+)", trial.holder)
    assert found
    return int(found[1])


def check(board: Board, folder: Path, killed: list[str]) -> None:
    """Assert that every trial ended once, the killed ones from where they were, and that totals are right."""
    trials = trials_of(board)
    assert len(trials) == 2 * 3 + 2 * 2
    assert {trial.state for trial in trials} == {"complete"}
    ends, attempts = told(folder)
    assert ends == Counter(trial.item.name for trial in trials), "each trial ended in one worker, once"
    assert {name for name, count in attempts.items() if count > 1} == set(killed)
    for trial in trials:
        assert trial.outcome is not None
        assert epochs(folder / trial.outcome.folder) == [1, 2, 3, 4]
    results = gather(board)
    assert results.comparison is not None
    assert list(results.comparison.seeds) == [1, 2]
    for name in killed:
        run = folder / "trials" / name
        spec = load(run / "spec.resolved.yaml")
        alone = train(spec, folder / "alone" / name)
        assert outcome(run) == outcome(alone.run_dir), (
            "a trial that was broken off ends with the bits of one that was not"
        )


def told(folder: Path) -> tuple[Counter[str], Counter[str]]:
    """Return how often each trial ended, and how often it began, by what the workers printed."""
    lines = [line for log in (folder / "workers").glob("*.log") for line in log.read_text().splitlines()]
    pairs = [line.split(": ", 1) for line in lines if TOLD.match(line)]
    begins = Counter(name for name, what in pairs if what.startswith("begins"))
    return Counter(name for name, what in pairs if not what.startswith("begins")), begins


def epochs(run: Path) -> list[int]:
    lines: list[dict[str, Any]] = [json.loads(line) for line in (run / LINES).read_text().splitlines()]
    return [line["epoch"] for line in lines if line["split"] == "valid"]
