"""Leases: who is dead, who may take over, and that it is never two."""

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, TrialState

from hrmsearch.study.board import Board, Item, join
from hrmsearch.study.leases import Beating, Holder, Leases
from hrmsearch.study.outcomes import outcome_of
from hrmsearch.study.running import MOST_ATTEMPTS
from hrmsearch.study.storage import open_storage
from tests.studying import Pretends, board_of, tiny_study, work_through


def popped(folder: Path) -> tuple[Board, Item]:
    """Return a board and its first trial, taken."""
    board = board_of(tiny_study(folder), folder)
    item = board.items(TrialState.WAITING)[0][0]
    assert board.pop(item)
    return board, item


def trial(board: Board, item: Item) -> FrozenTrial:
    return board.storage.get_trial(item.ident)


def dead() -> Holder:
    """Return a process that was alive and is not."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    holder = replace(Holder.this(), pid=process.pid, token="dead")
    stat = Path(f"/proc/{process.pid}/stat")
    if stat.exists():
        holder = replace(holder, started=stat.read_text().rpartition(")")[2].split()[19])
    process.kill()
    process.wait()
    return holder


def elsewhere(name: str = "elsewhere") -> Holder:
    return Holder(name, 1, "0", name)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_ticket_goes_to_one_taker(tmp_path: Path) -> None:
    _, item = popped(tmp_path)
    other = join(open_storage(str(tmp_path / "journal.log")), "tiny")
    assert other is not None
    assert not other.pop(item)


def test_a_process_knows_itself_and_the_dead() -> None:
    assert Holder.this().lives() is True
    assert dead().lives() is False
    assert elsewhere().lives() is None


def test_a_number_that_another_process_has_now_is_not_the_holder() -> None:
    assert replace(Holder.this(), started="1").lives() is False


def test_a_dead_holder_on_this_host_is_noticed_at_once(tmp_path: Path) -> None:
    board, item = popped(tmp_path)
    Leases(board, me=dead()).hold(item)
    mine = Leases(board)
    assert mine.abandoned(item, trial(board, item)) == 0
    taken = mine.take_over(item, 0)
    assert taken is not None
    assert taken.attempt == 1
    mine.hold(taken)
    assert mine.abandoned(taken, trial(board, item)) is None


def test_a_holder_on_another_host_is_dead_when_its_beat_stands_still(tmp_path: Path) -> None:
    board, item = popped(tmp_path)
    theirs, clock = Leases(board, me=elsewhere()), Clock()
    mine = Leases(board, grace=10.0, clock=clock)
    for beat in range(4):
        theirs.hold(item, beat)
        assert mine.abandoned(item, trial(board, item)) is None
        clock.now += 9.0
        assert mine.abandoned(item, trial(board, item)) is None
    clock.now += 2.0
    assert mine.abandoned(item, trial(board, item)) == 0


def test_a_taker_that_died_before_it_wrote_a_lease_is_waited_out(tmp_path: Path) -> None:
    board, item = popped(tmp_path)
    clock = Clock()
    mine = Leases(board, grace=10.0, clock=clock)
    assert mine.abandoned(item, trial(board, item)) is None
    clock.now += 11.0
    assert mine.abandoned(item, trial(board, item)) == 0


def test_one_that_died_right_after_it_took_over_is_noticed_too(tmp_path: Path) -> None:
    board, item = popped(tmp_path)
    Leases(board, me=dead()).hold(item)
    assert Leases(board, me=dead()).take_over(item, 0) is not None
    mine = Leases(board)
    assert mine.abandoned(item, trial(board, item)) == 1
    taken = mine.take_over(item, 1)
    assert taken is not None
    assert taken.attempt == 2


def test_a_released_trial_may_be_taken_at_once(tmp_path: Path) -> None:
    board, item = popped(tmp_path)
    theirs = Leases(board, me=elsewhere())
    theirs.hold(item)
    theirs.release(item)
    assert Leases(board).abandoned(item, trial(board, item)) == 0


def test_who_saw_an_attempt_dead_that_was_replaced_since_comes_too_late(tmp_path: Path) -> None:
    board, item = popped(tmp_path)
    first, second = Leases(board, me=elsewhere("first")), Leases(board, me=elsewhere("second"))
    assert first.take_over(item, 0) is not None
    assert second.take_over(item, 0) is None
    assert first.is_lost(item), "its first attempt is over"


def test_a_trial_that_ended_before_its_worker_died_is_not_taken(tmp_path: Path) -> None:
    board, item = popped(tmp_path)
    Leases(board, me=dead()).hold(item)
    board.study(item).tell(item.number, 1.0)
    assert Leases(board).take_over(item, 0) is None


def test_of_many_that_see_one_death_exactly_one_takes_over(tmp_path: Path) -> None:
    _, item = popped(tmp_path)
    url, barrier, taken = str(tmp_path / "journal.log"), threading.Barrier(8), list[str]()

    def reap(name: str) -> None:
        mine = join(open_storage(url), "tiny")
        assert mine is not None
        leases = Leases(mine, me=elsewhere(name))
        barrier.wait()
        if leases.take_over(item, 0) is not None:
            taken.append(name)

    threads = [threading.Thread(target=reap, args=(f"host-{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1


def test_a_beat_moves_while_a_trial_runs_and_tells_when_it_was_lost(tmp_path: Path) -> None:
    board, item = popped(tmp_path)
    lost = threading.Event()
    leases = Leases(board, grace=0.1)
    with Beating(leases, item, lost.set):
        assert trial(board, item).user_attrs["lease"]["pid"] == os.getpid()
        Leases(board, me=elsewhere()).take_over(item, 0)
        assert lost.wait(10.0)


def test_an_abandoned_trial_is_finished_by_another_worker_with_its_point(tmp_path: Path) -> None:
    work = Pretends(lambda spec, seed: spec.train.optimizer.lr)
    board = board_of(tiny_study(tmp_path), tmp_path)
    first = next(item for item, _ in board.items() if item.name == "b-1")
    assert board.pop(first)
    # its worker died after the point was sampled
    from optuna import Trial

    Trial(board.searches["b"], first.ident).suggest_float("train.optimizer.lr", 1e-4, 1e-1, log=True)
    sampled = trial(board, first).params["train.optimizer.lr"]
    Leases(board, me=dead()).hold(first)
    ended = work_through(board, work, tmp_path)
    assert sorted(item.name for item, _ in ended) == sorted({item.name for item, _ in ended})
    assert len(ended) == len(board.items())
    assert [spec.train.optimizer.lr for item, _, spec in work.seen if item.name == "b-1"] == [sampled]
    assert [item.attempt for item, _ in ended if item.name == "b-1"] == [1]


def test_a_trial_that_kills_its_workers_is_given_up(tmp_path: Path) -> None:
    board, item = popped(tmp_path)
    for attempt in range(MOST_ATTEMPTS):
        leases = Leases(board, me=dead())
        if attempt:
            assert leases.take_over(item, attempt - 1) is not None
        leases.hold(replace(item, attempt=attempt))
    work_through(board, Pretends(lambda spec, seed: 1.0), tmp_path)
    found = outcome_of(trial(board, item).user_attrs)
    assert found is not None
    assert found.what == "lost"
    assert trial(board, item).state == TrialState.FAIL
    assert board.is_finished()


@pytest.mark.parametrize("url", ["{}/journal.log", pytest.param("sqlite:///{}/study.db", marks=pytest.mark.slow)])
def test_a_study_runs_on_any_storage(tmp_path: Path, url: str) -> None:
    board = board_of(tiny_study(tmp_path, "trials=2", "seeds=1"), tmp_path, url.format(tmp_path))
    Leases(board, me=dead()).hold(board.items()[1][0])
    assert len(work_through(board, Pretends(lambda spec, seed: 1.0), tmp_path)) == 6
    assert board.is_finished()
