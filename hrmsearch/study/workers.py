"""A worker: takes trials until a study has ended, whoever else works on it."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hrmsearch.errors import RunError
from hrmsearch.study.board import Board, Item, join
from hrmsearch.study.leases import GRACE, Beating, Leases
from hrmsearch.study.outcomes import Outcome
from hrmsearch.study.running import Runner
from hrmsearch.study.storage import open_storage
from hrmsearch.study.training import Trains, Work
from hrmsearch.train import Interrupted, RunOptions, Workshop
from hrmsearch.train.interrupting import Wish, listening

#: seconds between looks at a storage that has nothing to do
POLL: Final = 0.5
#: what a wish holds when it was another worker that took the trial
LOST: Final = 0

#: hears of a trial that this worker took, and of what came of it
Heard = Callable[[Item, Outcome | None], None]


class Worker:
    """Takes trials from a board one at a time.

    Abandoned trials come first, then waiting ones of the arm that has most left, then seeds of finalists of arms whose
    search has ended.
    """

    def __init__(self, board: Board, leases: Leases, runner: Runner, wish: Wish, heard: Heard) -> None:
        self._board = board
        self._leases = leases
        self._runner = runner
        self._wish = wish
        self._heard = heard

    def work(self) -> int:
        """Work until every trial of the study has ended; return how many this worker ended."""
        done = 0
        while self._wish.signal is None:
            item = self._next()
            if item is not None:
                done += self._do(item)
            elif self._board.is_finished():
                break
            else:
                time.sleep(POLL)
        return done

    def _do(self, item: Item) -> bool:
        """Run a trial; return whether it ended here, as opposed to in a worker that took it over."""
        self._heard(item, None)
        try:
            with Beating(self._leases, item, self._lose):
                outcome = self._runner.run(item)
        except Interrupted:
            if self._wish.signal == LOST:
                self._wish.signal = None
                return False
            self._leases.release(item)
            raise
        self._heard(item, outcome)
        return True

    def _lose(self) -> None:
        if self._wish.signal is None:
            self._wish.signal = LOST

    def _next(self) -> Item | None:
        return self._abandoned() or self._waiting()

    def _abandoned(self) -> Item | None:
        from optuna.trial import TrialState

        for item, trial in self._board.items(TrialState.RUNNING):
            attempt = self._leases.abandoned(item, trial)
            taken = None if attempt is None else self._leases.take_over(item, attempt)
            if taken is not None:
                return taken
        return None

    def _waiting(self) -> Item | None:
        from optuna.trial import TrialState

        waiting = [item for item, _ in self._board.items(TrialState.WAITING)]
        left = Counter(item.arm for item in waiting if item.kind == "search")
        searches = sorted((i for i in waiting if i.kind == "search"), key=lambda i: (-left[i.arm], i.number))
        searched = {item.arm for item in waiting if item.kind == "final" and not left[item.arm]}
        searched = {arm for arm in searched if self._board.searched(arm)}
        finals = [item for item in waiting if item.kind == "final" and item.arm in searched]
        return next((item for item in (*searches, *finals) if self._board.pop(item)), None)


def work_on(
    name: str,
    url: str,
    *,
    folder: Path | None = None,
    device: str | None = None,
    grace: float = GRACE,
    patience: float = 60.0,
    heard: Heard = lambda item, outcome: None,
    command: tuple[str, ...] = (),
) -> int:
    """Join a study by its name and its storage's URL, and work until it ends; return how many trials ended here.

    folder, device: where runs go and what runs them here, by default as the study says. patience: seconds that a study
    may take to get ready. Raises RunError where there is no such study.
    """
    board = _joined(url, name, patience)
    contract = board.contract
    where = contract.backend, device or contract.device, folder or Path(contract.folder)
    options = RunOptions(*where, resume=True, optimize=contract.optimize, command=command)
    with listening() as wish:
        work: Work = Trains(Workshop(options), wish)
        leases = Leases(board, grace)
        return Worker(board, leases, Runner(board, work, options.out), wish, heard).work()


def _joined(url: str, name: str, patience: float) -> Board:
    storage, begun = open_storage(url), time.monotonic()
    while (board := join(storage, name)) is None:
        if time.monotonic() - begun > patience:
            raise RunError(f"study {name}: was never made whole; go on with it by hrmsearch sweep --resume")
        time.sleep(POLL)
    return board
