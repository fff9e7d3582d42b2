"""What telemetry of every step costs a train step, interleaved.

    python benchmarks/telemetry.py [--spec hrm] [--rows 16] [--rounds 40] [--write]

Two runs of one spec, one of which asks for every reading of every step (energies, the norm of each level after each
tick, ticks, values of the q-head) and keeps the lines as training does. Both train on the same windows by the stepper
that training uses, in alternating order, on a CPU with one thread; the script refuses to report a time unless their
losses are equal bit for bit. Times are processor time of a train step.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from interleaved import about

import hrmsearch as hs
from hrmsearch.files import write
from hrmsearch.ir import Lifetime
from hrmsearch.tasks.loaders import Batch
from hrmsearch.train import RunOptions, compile_for
from hrmsearch.train.metrics import MetricsFile
from hrmsearch.train.progress import Progress
from hrmsearch.train.readings import Readings
from hrmsearch.train.stepping import Stepper, Update

ALL = "train.telemetry={of: [energy, norm, ponder, q], every: 1}"
RESULTS = Path(__file__).parents[1] / "results" / "telemetry" / "README.md"
WINDOWS = 5
LIMIT = 0.05


class Training:
    """A run of a spec, as far as its steps go."""

    def __init__(self, spec: str, overrides: Sequence[str], folder: Path) -> None:
        self.spec = hs.load(spec, overrides)
        self.graph = hs.lower(self.spec)
        executable = compile_for(self.spec, self.graph, RunOptions())
        executable.init(0)
        self.stepper = Stepper(executable, self.spec.train.batch, lambda: 1e-3, lambda loss, number: None)
        self.readings, self.progress = Readings(self.spec, self.stepper), Progress()
        self.file = MetricsFile(folder / f"{len(overrides)}.jsonl")

    def step(self, batch: Batch) -> list[float]:
        """Train on a window and return its losses by pass."""
        return self.stepper.step([batch], self._updated)

    def _updated(self, update: Update) -> None:
        del update
        self.progress.step += 1
        self.readings.take(self.progress, self.file)


def timed(runs: dict[str, Training], batches: Sequence[Batch], rounds: int) -> dict[str, list[float]]:
    """Return milliseconds a step of every run; raises SystemExit where their losses differ."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(rounds):
        losses: list[list[list[float]]] = []
        # the order alternates, so that none always runs on a warmer cache
        for name in sorted(runs, reverse=bool(i % 2)):
            begin = time.process_time()
            losses.append([runs[name].step(batch) for batch in batches])
            steps = len(batches) * runs[name].graph.nest.passes
            times[name].append(1e3 * (time.process_time() - begin) / steps)
        if losses[0] != losses[1]:
            raise SystemExit(f"round {i}: the losses differ: no times are reported")
    return times


def page(head: str, lines: Sequence[str], told: Sequence[str]) -> str:
    """Return the page of results."""
    table = "\n".join(["| | min | median |", "| :--- | ---: | ---: |", *lines])
    return f"""# What telemetry costs

    python benchmarks/telemetry.py --write

{head}; {about("cpu")}; milliseconds a step, both runs in turn in one process.
Their losses are equal bit for bit. Without telemetry the emitted code holds nothing of it
(`tests/unit/test_telemetry.py`), so that costs nothing.

{table}

Told at every step: {", ".join(f"`{name}`" for name in told)}.
"""


def main() -> None:
    """Time both in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--spec", default="hrm")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.parent.name}/{RESULTS.name}")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        runs = {
            "without": Training(args.spec, [], Path(folder)),
            "telemetry": Training(args.spec, [ALL], Path(folder)),
        }
        nest = runs["without"].graph.nest
        rng, shape = np.random.default_rng(0), (args.rows, nest.window)
        ids = [rng.integers(0, 97, (2, *shape), dtype=np.int32) for _ in range(WINDOWS)]
        batches = [Batch({"tokens": x, "targets": y}, Lifetime.STREAM) for x, y in ids]
        timed(runs, batches, 2)
        times = timed(runs, batches, args.rounds)
    least, middle = ({name: of(values) for name, values in times.items()} for of in (min, statistics.median))
    lines = [f"| {name} | {least[name]:.3f} | {middle[name]:.3f} |" for name in times]
    ratios = [each["telemetry"] / each["without"] - 1 for each in (least, middle)]
    lines.append(f"| more | {ratios[0]:+.1%} | {ratios[1]:+.1%} |")
    head = f"Train step of `{args.spec}`, B={args.rows} T={nest.window}"
    print(head, *lines, sep="\n")
    told = [name for name in runs["telemetry"].graph.outputs if name.startswith("telemetry.")]
    if args.write:
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        write(RESULTS, page(head, lines, told))
    if ratios[1] > LIMIT:
        raise SystemExit(f"telemetry takes {ratios[1]:.1%} of a step, more than {LIMIT:.0%}")


if __name__ == "__main__":
    main()
