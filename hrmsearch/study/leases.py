"""Who runs a trial, whether that process still lives, and how exactly one other takes its place.

A lease is an attribute of the trial: the holder's host and process, and a beat that a thread of the holder moves on. It
lies in the storage, so it works on any storage and without a folder that hosts share. On one host the operating system
knows at once that a process is dead; of another host only the beat tells, and an observer counts on its own clock how
long it stood still, so that no two clocks are compared.

To take a trial over, a process adds a ticket to the study `<study> takeovers`, for the attempt after the one it saw
dead. Storages number trials one after another, so all agree which ticket of an attempt came first: its owner is the new
holder.
"""

import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hrmsearch.study.board import Board, Item

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

#: the attribute of a trial that holds its lease
LEASE: Final = "lease"
#: seconds without a beat after which a holder on another host counts as dead
GRACE: Final = 60.0
#: the beat of a trial that its holder left to others
RELEASED: Final = -1


@dataclass(frozen=True, slots=True)
class Holder:
    """A process: where it runs, and when it started, since numbers of processes are used again."""

    host: str
    pid: int
    started: str
    token: str

    @classmethod
    def this(cls) -> "Holder":
        """Return the process that asks."""
        return cls(_host(), os.getpid(), _started(os.getpid()), uuid.uuid4().hex)

    def lives(self) -> bool | None:
        """Return whether the process lives; None where only its beat can tell, since it runs on another host."""
        if self.host != _host():
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return _started(self.pid) == self.started and not _is_zombie(self.pid)


def _host() -> str:
    """Return what names a host until it restarts; containers of one host are hosts of their own."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    parts = [platform.node(), boot.read_text().strip() if boot.exists() else ""]
    return "/".join([*parts, os.readlink(space) if space.is_symlink() else ""])


def _stat(pid: int) -> list[str]:
    """Return the fields of a process's status behind its name, of which the first is its state; none outside Linux."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _started(pid: int) -> str:
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 else ""


def _is_zombie(pid: int) -> bool:
    return _stat(pid)[:1] == ["Z"]


class Leases:
    """The leases of a study as one process sees them. clock: seconds that only grow."""

    def __init__(
        self, board: Board, grace: float = GRACE, clock: Callable[[], float] = time.monotonic, me: Holder | None = None
    ) -> None:
        self.me = me or Holder.this()
        self.grace = grace
        self._board = board
        self._clock = clock
        self._seen: dict[int, tuple[Any, float]] = {}

    @cached_property
    def _takeovers(self) -> "Study":
        import optuna

        name = f"{self._board.contract.name} takeovers"
        return optuna.create_study(storage=self._board.storage, study_name=name, load_if_exists=True)

    # -- as a holder -------------------------------------------------------------------------------------------------

    def hold(self, item: Item, beat: int = 0) -> None:
        """Write that this process runs a trial; again with the next beat."""
        self._write(item, {**asdict(self.me), "attempt": item.attempt, "beat": beat})

    def release(self, item: Item) -> None:
        """Write that this process stopped before the trial ended, so that any other may go on with it."""
        self._write(item, {**asdict(self.me), "attempt": item.attempt, "beat": RELEASED})

    def is_lost(self, item: Item) -> bool:
        """Return whether another process took a trial over from this one."""
        return self._attempt(item)[0] > item.attempt

    def _write(self, item: Item, lease: dict[str, Any]) -> None:
        self._board.storage.set_trial_user_attr(item.ident, LEASE, lease)

    # -- as an observer ----------------------------------------------------------------------------------------------

    def abandoned(self, item: Item, trial: "FrozenTrial") -> int | None:
        """Return the attempt at a trial whose process is gone; None while it may live."""
        attempt, holder = self._attempt(item)
        lease: dict[str, Any] = trial.user_attrs.get(LEASE, {})
        current = lease if lease.get("attempt") == attempt else {}
        if current.get("beat") == RELEASED:
            return attempt
        holder = holder or (_holder(current) if current else None)
        lives = holder.lives() if holder else None
        if lives is None:
            lives = not self._stands_still(item, (attempt, current.get("beat")))
        return None if lives else attempt

    def _stands_still(self, item: Item, beat: Any) -> bool:
        """Return whether a beat is the one that was seen first a grace period ago."""
        seen, since = self._seen.get(item.ident, (None, 0.0))
        if seen != beat:
            self._seen[item.ident] = (beat, self._clock())
            return False
        return self._clock() - since > self.grace

    def _attempt(self, item: Item) -> tuple[int, Holder | None]:
        """Return the number of the current attempt at a trial, and who made it; None for the first attempt."""
        tickets = [t.user_attrs for t in self._takeovers.get_trials(deepcopy=False) if t.user_attrs["of"] == item.ident]
        if not tickets:
            return 0, None
        attempt = max(ticket["attempt"] for ticket in tickets)
        first = next(ticket for ticket in tickets if ticket["attempt"] == attempt)
        return attempt, _holder(first)

    def take_over(self, item: Item, attempt: int) -> Item | None:
        """Return a trial, whose attempt was seen dead, as this process's own next attempt.

        None where another process was first, or the trial had ended before its process did.
        """
        from optuna.trial import TrialState, create_trial

        ticket = {**asdict(self.me), "of": item.ident, "attempt": attempt + 1}
        self._takeovers.add_trial(create_trial(state=TrialState.COMPLETE, value=0.0, user_attrs=ticket))
        now, holder = self._attempt(item)
        if now != attempt + 1 or holder is None or holder.token != self.me.token:
            return None
        ended = self._board.storage.get_trial(item.ident).state.is_finished()
        return None if ended else replace(item, attempt=now)


def holder_of(attributes: Mapping[str, Any]) -> str:
    """Return in words who holds a trial, by its attributes: host and process; nothing where nobody does."""
    lease: Mapping[str, Any] = attributes.get(LEASE, {})
    if not lease or lease["beat"] == RELEASED:
        return ""
    return f"{lease['host'].partition('/')[0]}, process {lease['pid']}"


def _holder(record: Mapping[str, Any]) -> Holder:
    return Holder(record["host"], record["pid"], record["started"], record["token"])


class Beating:
    """While it is entered, a thread moves the beat of a trial on, and tells `lost` if another process has it now."""

    def __init__(self, leases: Leases, item: Item, lost: Callable[[], None]) -> None:
        self._leases = leases
        self._item = item
        self._lost = lost
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"beat of {item.name}", daemon=True)

    def __enter__(self) -> None:
        self._leases.hold(self._item)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        beat = 0
        while not self._over.wait(self._leases.grace / 4):
            beat += 1
            # a storage that cannot be reached now may be in a moment; until then the beat stands still, as it should
            with suppress(Exception):
                if self._leases.is_lost(self._item):
                    self._lost()
                    return
                self._leases.hold(self._item, beat)
