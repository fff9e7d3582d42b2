"""From a spec to a module that is ready to train, per shipped spec: milliseconds of wall time, and where they go.

Every measurement is a fresh process that has compiled one tiny model, so that imports are done, but never this spec.

    python benchmarks/compile_time.py [--backend torch] [--repeats 5] [SPEC...]
"""

import argparse
import json
import statistics
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from time import perf_counter, process_time

LIMIT = 150.0  # milliseconds of wall time, median
STEPS = ("wall", "cpu", "load", "lower", "compile", "init")
TINY = """
spec: 1
name: tiny
model:
  dim: 4
  core:
    kind: hrm
    inject: [L]
    levels: {L: {period: 1, block: {kind: transformer, mixer: {kind: attention, heads: 1}}}}
  defaults: {ffn: {kind: swiglu, width: 4}}
  head: {kind: lm, read: L}
task: {kind: char_lm}
"""


def measure(name: str, backend: str) -> dict[str, float]:
    """Return the milliseconds of each step, in this process."""
    from hrmsearch import train
    from hrmsearch.lowering import lower
    from hrmsearch.spec.load import load, loads

    options = train.RunOptions(backend=backend)
    tiny = loads(TINY)
    train.compile_for(tiny, lower(tiny), options).init(0)
    used, times = process_time(), [perf_counter()]
    spec = load(name)
    times.append(perf_counter())
    graph = lower(spec)
    times.append(perf_counter())
    executable = train.compile_for(spec, graph, options)
    times.append(perf_counter())
    executable.init(0)
    times.append(perf_counter())
    cpu = process_time() - used
    steps = [times[-1] - times[0], cpu, *(after - before for before, after in pairwise(times))]
    return {step: seconds * 1000 for step, seconds in zip(STEPS, steps, strict=True)}


def fresh(name: str, backend: str) -> dict[str, float]:
    """Return the milliseconds of each step, in a process of its own."""
    command = [sys.executable, __file__, "--backend", backend, "--here", name]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def report(names: list[str], backend: str, repeats: int) -> bool:
    """Print the medians of every spec; return whether all stay below the limit."""
    print(f"milliseconds, medians of {repeats}; ratio is wall time to the limit of {LIMIT:.0f} ms")
    print(f"{'spec':<26}" + "".join(f"{step:>9}" for step in (*STEPS, "ratio")))
    slowest = 0.0
    for name in names:
        runs = [fresh(name, backend) for _ in range(repeats)]
        medians = [statistics.median(run[step] for run in runs) for step in STEPS]
        slowest = max(slowest, medians[0])
        print(f"{name:<26}" + "".join(f"{value:>9.1f}" for value in medians) + f"{medians[0] / LIMIT:>9.2f}")
    return slowest <= LIMIT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", nargs="*", help="names or files; all shipped specs without any")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--here", action="store_true", help="measure one spec in this process and print JSON")
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure(arguments.specs[0], arguments.backend)))
        return
    folder = Path(__file__).parents[1] / "specs"
    names = arguments.specs or sorted(path.stem for path in folder.glob("*.yaml"))
    sys.exit(not report(names, arguments.backend, arguments.repeats))


if __name__ == "__main__":
    main()
