"""Worker processes of one host: started, watched, and replaced where one dies over a trial."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hrmsearch.errors import RunError
from hrmsearch.study.storage import STORAGE

#: dead workers that are replaced; a trial that kills its worker is given up before that
MOST_REPLACED: Final = 12
#: seconds that a worker has to write its checkpoint
PATIENCE: Final = 60.0
#: exit codes of a worker that a person stopped
_ASKED: Final = {128 + signal.SIGINT, 128 + signal.SIGTERM}
#: lines of a worker's log that an error shows
_SHOWN: Final = 12


@dataclass
class Crew:
    """So many workers that join a study. log: the folder that takes what they print.

    places: environments that workers share out, in each of which one of several devices is seen.
    """

    study: str
    storage: str
    folder: Path
    log: Path
    size: int
    device: str | None = None
    grace: float | None = None
    places: Sequence[Mapping[str, str]] = ({},)
    replaced: int = 0
    _running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict[int, subprocess.Popen[bytes]])

    def start(self) -> None:
        """Start the workers."""
        self.log.mkdir(parents=True, exist_ok=True)
        for number in range(self.size):
            self._running[number] = self._spawn(number)

    @property
    def alive(self) -> int:
        """How many workers run."""
        return sum(process.poll() is None for process in self._running.values())

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [process.pid for process in self._running.values() if process.poll() is None]

    def tend(self) -> list[str]:
        """Replace workers that were killed, and return a line about each; raises RunError for one that failed."""
        notes: list[str] = []
        for number, process in list(self._running.items()):
            code = process.poll()
            if code is None or code == 0:
                continue
            if code in _ASKED:
                del self._running[number]
                notes.append(f"worker {number} was told to stop, and left")
            else:
                notes.append(self._replace(number, code))
        return notes

    def _replace(self, number: int, code: int) -> str:
        """Start another worker in the place of one that a signal killed; raises RunError where it was no signal."""
        if code > 0 or self.replaced == MOST_REPLACED:
            what = f"failed with exit code {code}" if code > 0 else f"was killed, after {self.replaced} others"
            raise RunError(f"worker {number} {what}; {self._log(number)} ends with\n{self._tail(number)}")
        self.replaced += 1
        self._running[number] = self._spawn(number)
        return f"worker {number} was killed by {signal.Signals(-code).name}; another one takes its place"

    def stop(self) -> None:
        """End all workers; each writes the checkpoint of its trial first, and is killed where that takes too long."""
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        for process in self._running.values():
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait(self) -> None:
        """Wait until the workers have seen that nothing is left."""
        for process in self._running.values():
            process.wait()

    def _spawn(self, number: int) -> subprocess.Popen[bytes]:
        options = ["--out", str(self.folder)]
        options += ["--device", self.device] if self.device else []
        options += ["--grace", str(self.grace)] if self.grace else []
        command = [sys.executable, "-m", "hrmsearch", "worker", self.study, *options]
        # not among the arguments, which every user of the host can read: a URL may hold a password
        environment = {**one_thread(), **self.places[number % len(self.places)], STORAGE: self.storage}
        with open(self._log(number), "ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)

    def _log(self, number: int) -> Path:
        return self.log / f"worker-{number}.log"

    def _tail(self, number: int) -> str:
        return "\n".join(self._log(number).read_text(errors="replace").splitlines()[-_SHOWN:])


def one_thread() -> dict[str, str]:
    """Return the environment of a process that computes in one thread, unless it says otherwise itself.

    Workers share the cores, and sums of one thread are the same on any number of cores.
    """
    return {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **os.environ}
