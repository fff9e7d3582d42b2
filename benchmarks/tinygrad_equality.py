"""The first train steps of a spec with tinygrad and with torch, on the same device, from the same weights and windows.

    python benchmarks/tinygrad_equality.py [--device CPU|CUDA] [--spec infini_hrm] [--steps 20] [--quick]

Prints both losses and gradient norms of every step, and the parameters' largest difference after the last. Exits with
1 when a loss differs by more than 1e-4 of its value.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import cast

import numpy as np

import hrmsearch as hs
from hrmsearch.report.table import Table
from hrmsearch.runtime import Array
from hrmsearch.spec.model import Spec
from hrmsearch.tasks.base import Task
from hrmsearch.tasks.loaders import train_batches
from hrmsearch.train import RunOptions, compile_for
from hrmsearch.train.nest import Group, group_length, groups
from hrmsearch.train.stepping import Stepper, Update

AGREE = 1e-4
TINY = ("model.dim=16", "model.defaults.ffn.width=16", "task.window=16", "train.batch=4")


@dataclass(frozen=True)
class Run:
    """What training came to: the updates in order, and the parameters after the last."""

    updates: list[Update]
    params: dict[str, Array]


def windows(spec: Spec) -> Iterator[Group]:
    """Yield the groups of windows that seed 0 deals in the first epoch."""
    nest, sections = hs.lower(spec).nest, cast(Task, spec.task).load().train(0, 0)
    yield from groups(train_batches(sections, nest.loader, spec.train.batch, 0, 0), group_length(nest))


def train(spec: Spec, backend: str, device: str, steps: int) -> Run:
    """Return what the first steps of seed 0 do, at the spec's learning rate."""
    executable = compile_for(spec, hs.lower(spec), RunOptions(backend=backend, device=device))
    executable.init(0)
    rate: float = spec.train.optimizer.lr
    stepper = Stepper(executable, spec.train.batch, lambda: rate, lambda loss, number: None)
    updates: list[Update] = []
    for group in windows(spec):
        stepper.step(group, updates.append)
        if len(updates) >= steps:
            break
    return Run(updates[:steps], executable.params)


def difference(a: float, b: float) -> float:
    """Return how far two numbers are apart, relative to the first."""
    return abs(a - b) / max(abs(a), 1e-12)


def table(torch: Run, tinygrad: Run) -> Table:
    """Return a row per step."""
    rows: list[list[str]] = []
    for i, (a, b) in enumerate(zip(torch.updates, tinygrad.updates, strict=True), start=1):
        losses = [f"{a.loss:.7f}", f"{b.loss:.7f}", f"{difference(a.loss, b.loss):.1e}"]
        norms = [f"{a.grad_norm:.6f}", f"{b.grad_norm:.6f}", f"{difference(a.grad_norm, b.grad_norm):.1e}"]
        rows.append([f"{i}", *losses, *norms])
    columns = ["step", "loss torch", "tinygrad", "relative", "gradient norm torch", "tinygrad", "relative"]
    return Table(columns, "rrrrrrr", [rows])


def main() -> None:
    """Train with both, print both, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--device", default="CPU", help="CPU or CUDA")
    parser.add_argument("--spec", default="infini_hrm")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="a model of width 16 on windows of 16")
    args = parser.parse_args()

    spec = hs.load(args.spec, TINY if args.quick else ())
    print(f"{spec.name}{' at width 16' if args.quick else ''} on {args.device}, {spec.train.precision}")
    print(f"torch {version('torch')}, tinygrad {version('tinygrad')}; {cast(Task, spec.task).load().headline}\n")
    torch, tinygrad = (train(spec, name, args.device.lower(), args.steps) for name in ("torch", "tinygrad"))
    print(table(torch, tinygrad).plain())
    apart = [float(np.abs(value - tinygrad.params[path]).max()) for path, value in torch.params.items()]
    print(f"largest difference of a parameter after {args.steps} steps: {max(apart):.1e}")
    worst = max(difference(a.loss, b.loss) for a, b in zip(torch.updates, tinygrad.updates, strict=True))
    print(f"largest relative difference of a loss: {worst:.1e} (at most {AGREE:.0e} is asked)")
    if not worst <= AGREE:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
