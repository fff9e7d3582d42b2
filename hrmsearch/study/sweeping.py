"""Running a study from its contract to its results: workers do the trials, and this process watches."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hrmsearch.errors import RunError
from hrmsearch.runtime import SpreadsOut, load_backend
from hrmsearch.study.board import Board, create
from hrmsearch.study.contract import Contract
from hrmsearch.study.crew import Crew
from hrmsearch.study.progress import Progress, progress
from hrmsearch.study.results import StudyResults, Trial, gather, trials_of, write_begun, write_results
from hrmsearch.study.storage import JOURNAL, open_storage
from hrmsearch.train.files import RunFolder
from hrmsearch.train.interrupting import listening

#: seconds between looks at the storage
POLL = 0.5


class Stopped(KeyboardInterrupt):
    """A study was told to stop; the message says how to go on. signal: the number that came."""

    def __init__(self, number: int, folder: Path) -> None:
        super().__init__(f"stopped; {folder} can go on: give the same command with --resume")
        self.signal = number


class Observer(Protocol):
    """Hears how a study goes on."""

    def note(self, text: str) -> None:
        """Hear a sentence that a person should read."""
        ...

    def ended(self, trial: Trial, progress: Progress) -> None:
        """Hear of a trial that ended."""
        ...

    def progress(self, progress: Progress) -> None:
        """Hear how far the study is, every now and then."""
        ...


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """How a study is run here.

    folder: of the study's files and runs. storage: a URL; by default a journal in the folder. workers: processes on
    this host. resume: go on with a study that was begun.
    """

    folder: Path
    storage: str | None = None
    workers: int = 1
    resume: bool = False

    @property
    def url(self) -> str:
        """The storage's URL."""
        return self.storage or str(self.folder / JOURNAL)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sweep(contract: Contract, options: SweepOptions, observer: Observer) -> StudyResults:
    """Run a study, or go on with it, until every trial has ended; write its files and return what it came to.

    Raises RunError where the folder cannot be made, the storage has another study of that name or cannot be reached, or
    a worker failed; Stopped after SIGINT or SIGTERM, with a checkpoint of every trial that was under way.
    """
    RunFolder(options.folder).make()
    board = create(open_storage(options.url), contract, resume=options.resume)
    write_begun(contract, options.folder)
    if not board.is_finished():
        _run(board, options, observer)
    results = gather(board)
    write_results(results, options.folder)
    return results


def _run(board: Board, options: SweepOptions, observer: Observer) -> None:
    contract = board.contract
    crew = Crew(contract.name, options.url, options.folder, options.folder / "workers", options.workers)
    backend = load_backend(contract.backend)
    if isinstance(backend, SpreadsOut):
        crew.places = backend.places(contract.device)
    watch = _Watch(board, options.workers, observer)
    with listening() as wish:
        crew.start()
        try:
            while not watch.look() and wish.signal is None:
                for note in crew.tend():
                    observer.note(note)
                if not crew.alive and not board.is_finished():
                    raise RunError(f"study {contract.name}: its workers here left it; go on with it by --resume")
                time.sleep(POLL)
            if wish.signal is None:
                crew.wait()
        finally:
            crew.stop()
    if wish.signal is not None:
        raise Stopped(wish.signal, options.folder)


class _Watch:
    """Tells an observer what changed since the last look."""

    def __init__(self, board: Board, workers: int, observer: Observer) -> None:
        self._board = board
        self._workers = workers
        self._observer = observer
        self._over = {trial.item.ident for trial in trials_of(board) if trial.is_over}

    def look(self) -> bool:
        """Look at the storage; return whether the study is finished."""
        trials = trials_of(self._board)
        far = progress(self._board.contract, trials, self._workers)
        for trial in trials:
            if trial.is_over and trial.item.ident not in self._over:
                self._over.add(trial.item.ident)
                self._observer.ended(trial, far)
        self._observer.progress(far)
        return far.is_finished
