"""Compiling beforehand, in several processes: Triton takes seconds per kernel, and keeps what it compiled."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

T = TypeVar("T")


def in_processes(run: Callable[[T], None], work: Sequence[T], seconds: float) -> set[T]:
    """Run something for all of `work` in other processes, for so long at most; return for what it ran to its end."""
    done: set[T] = set()
    # a kernel that fails leaves its process unable to run others
    pool = ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"), max_tasks_per_child=8)
    waiting = {pool.submit(run, one): one for one in work}
    try:
        for future in as_completed(waiting, timeout=seconds):
            if failed := future.exception():
                print(f"{waiting[future]} does not run: {str(failed)[:300]}", flush=True)
            else:
                done.add(waiting[future])
    except TimeoutError:
        print(f"compiled {len(done)} of {len(work)} in time", flush=True)
    pool.shutdown(wait=False, cancel_futures=True)
    return done
