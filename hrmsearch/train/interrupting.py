"""Signals: SIGINT and SIGTERM end a run after the batch that is under way, with a checkpoint."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Training was told to stop and wrote a checkpoint; the message says how to go on. signal: the number that came."""

    def __init__(self, number: int, run_dir: Path, step: int) -> None:
        super().__init__(f"stopped after step {step}; {run_dir} can go on: give the same command with --resume")
        self.signal = number
        self.run_dir = run_dir
        self.step = step


class Wish:
    """Whether somebody asked to stop: the number of the first signal that came, else None."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal; a second one no longer waits."""
        del frame
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number


@contextmanager
def listening() -> Generator[Wish]:
    """Turn SIGINT and SIGTERM into a wish while the block runs; outside the main thread signals are left alone."""
    wish = Wish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    before = {number: signal.signal(number, wish.hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            # None: the handler was installed outside Python and cannot be put back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
