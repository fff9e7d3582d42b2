"""What the machinery of a study costs: trials of an objective that trains nothing, through everything else.

    python benchmarks/sweep_overhead.py [--trials 1000] [--storage URL]

A trial is taken from the storage, sampled by TPE among all that ended before, made into a validated spec, leased, and
told; only training is left out. Prints milliseconds per trial, by the clock and of this process's CPU, the storage's
creation included.
"""

import argparse
import math
import tempfile
import time
from pathlib import Path

from hrmsearch.study.board import Item, create
from hrmsearch.study.contract import contract
from hrmsearch.study.leases import Leases
from hrmsearch.study.load import loads_study
from hrmsearch.study.outcomes import Outcome
from hrmsearch.study.running import Runner
from hrmsearch.study.storage import open_storage
from hrmsearch.study.training import Candidate
from hrmsearch.study.workers import Worker
from hrmsearch.train.interrupting import Wish

STUDY = """
study: overhead
arms: {transformer: transformer}
control: transformer
search:
  train.optimizer.lr: {log: [1.0e-4, 1.0e-1]}
  train.optimizer.weight_decay: {uniform: [0.0, 0.1]}
  train.batch: [4, 8, 16, 32]
objectives: {valid.bpc: min}
seeds: 1
"""


def dummy(item: Item, candidate: Candidate) -> Outcome:
    """Make the candidate's spec, and say how good it is without training it."""
    spec = candidate.make()
    value = abs(math.log10(spec.train.optimizer.lr) + 2.5) + spec.train.batch / 64
    return Outcome(what="trained", valid={"bpc": value}, epochs=1, sizes={"params": 1.0})


def main() -> None:
    """Run the trials and print what one takes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--storage")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clock, cpu = time.perf_counter(), time.process_time()
        agreed = contract(loads_study(STUDY, overrides=[f"trials={args.trials}"]), "torch", "cpu", folder)
        board = create(open_storage(args.storage or str(folder / "journal.log")), agreed, resume=False)
        runner = Runner(board, dummy, folder)
        done = Worker(board, Leases(board), runner, Wish(), lambda item, outcome: None).work()
        clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    print(f"{done} trials: {1e3 * clock / done:.1f} ms each, {1e3 * cpu / done:.1f} ms of it CPU")


if __name__ == "__main__":
    main()
