"""Trials per hour of a persistent worker against one fresh process per trial, interleaved.

    python benchmarks/sweep_workers.py [--spec hl_kernel] [--rounds 5]

Both train the same candidates by the same code on one thread; the worker has torch imported, the data loaded and the
model compiled from the trial before. Every round times one trial of each kind in turn. Prints median seconds by the
clock and of CPU, and the ratios of medians, for trials of 300 and of 60 steps. On a busy machine look at CPU.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hrmsearch.spec.load import load
from hrmsearch.study.board import Item
from hrmsearch.study.crew import one_thread
from hrmsearch.study.training import Candidate, Trains
from hrmsearch.train import RunOptions, Workshop
from hrmsearch.train.interrupting import Wish

#: epochs of 20 steps
EPOCHS = (15, 3)


def train(work: Trains, spec: str, epochs: int, number: int) -> None:
    """Train one candidate; every one has a rate of its own, as in a search."""
    overrides = [f"train.epochs={epochs}", "train.patience=none", f"train.optimizer.lr={1e-3 + 1e-5 * number}"]
    with tempfile.TemporaryDirectory() as folder:
        candidate = Candidate(lambda: load(spec, overrides), 0, Path(folder) / "run")
        outcome = work(Item("search", spec, number, number), candidate)
    assert outcome.what == "trained", outcome.why


def serve(spec: str) -> None:
    """Train what is asked for on stdin, a line each: epochs and a number."""
    work = Trains(Workshop(RunOptions(resume=True)), Wish())
    for line in sys.stdin:
        epochs, number = map(int, line.split())
        train(work, spec, epochs, number)
        print(time.process_time(), flush=True)


class Persistent:
    """A worker process that stays."""

    def __init__(self, spec: str) -> None:
        command = [sys.executable, __file__, "--spec", spec, "--serve"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=one_thread(), text=True
        )
        self._cpu = 0.0

    def __call__(self, epochs: int, number: int) -> float:
        """Wait for one trial; return the seconds of CPU that the worker took for it."""
        assert self._process.stdin
        assert self._process.stdout
        print(epochs, number, file=self._process.stdin, flush=True)
        before, self._cpu = self._cpu, float(self._process.stdout.readline())
        return self._cpu - before

    def end(self) -> None:
        """Let the process go."""
        self._process.communicate()


def fresh(spec: str, epochs: int, number: int) -> float:
    """Train one candidate in a process of its own; return its seconds of CPU, the start included."""
    command = [sys.executable, __file__, "--spec", spec, "--serve"]
    done = subprocess.run(
        command, input=f"{epochs} {number}\n", env=one_thread(), text=True, check=True, capture_output=True
    )
    return float(done.stdout)


def main() -> None:
    """Time both in turn and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--spec", default="hl_kernel")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.spec)
        return
    persistent = Persistent(args.spec)
    persistent(1, 0)
    for epochs in EPOCHS:
        times: dict[str, list[tuple[float, float]]] = {"persistent": [], "fresh": []}
        for number in range(args.rounds):
            for name in sorted(times, reverse=bool(number % 2)):
                begin = time.perf_counter()
                cpu = persistent(epochs, number) if name == "persistent" else fresh(args.spec, epochs, number)
                times[name].append((time.perf_counter() - begin, cpu))
        print(f"{args.spec}, {20 * epochs} steps, {args.rounds} rounds", flush=True)
        for i, what in enumerate(("clock", "CPU")):
            stay, new = (statistics.median(pair[i] for pair in times[name]) for name in ("persistent", "fresh"))
            print(f"  {what:5}  persistent {stay:6.2f} s  fresh process {new:6.2f} s  {new / stay:.2f}x", flush=True)
    persistent.end()


if __name__ == "__main__":
    main()
