# pyright: reportUnknownMemberType=false
# torch's stubs leave parts of autograd, cuda and graphs untyped
"""Every form of a linear scan in torch, forward and with its gradient, against each other and against a copy.

    python benchmarks/linear_scan.py [--quick] [--write] [--device cpu] [--rounds 7]

All forms of a case are timed in turn, in every round, with a copy of its inputs; on a CPU in CPU time of one thread, on
CUDA as replays of a CUDA graph, which is how a train step runs there. A time is printed only if the form's values and
gradients are those of the step form in float64, to 2e-5 of the largest entry. `--write` puts the shortest times into
the table that the compiler pass `forms` chooses from, in the place of what it held for this device.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hrmsearch.emission import load_source
from hrmsearch.files import write
from hrmsearch.passes.forms import TABLE
from hrmsearch.testing.examples import Example, example_graph
from hrmsearch_torch import emit
from hrmsearch_torch.scans import FORMS

AGREE = 2e-5
REPLAYS = 20
#: rows, tokens and channels
SIZES = ((1, 64, 64), (16, 16, 64), (16, 64, 64), (16, 64, 256), (16, 256, 128), (16, 1024, 64), (4, 4096, 64))
WIDE = ((64, 64, 256), (16, 1024, 256), (16, 4096, 256), (64, 1024, 1024))
QUICK = ((16, 64, 64), (16, 512, 64))
Run = Callable[[], Sequence[Tensor]]


@dataclass(frozen=True)
class Case:
    """One size and kind of scan; mix: rows of its matrices, 1 where it is elementwise."""

    rows: int
    tokens: int
    channels: int
    mix: int
    varying: bool

    @property
    def forms(self) -> list[str]:
        return [form for form in FORMS if form != "fft" or not self.varying]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of a, b and the start, laid out as mixers lay them out."""
        lead, parts = (self.rows, self.tokens) if self.varying else (), () if self.mix == 1 else (self.mix,)
        channels = self.channels
        return (
            (*lead, channels, *parts, *parts),
            (self.rows, self.tokens, channels, *parts),
            (self.rows, channels, *parts),
        )

    def module(self, form: str) -> torch.nn.Module:
        parts = "" if self.mix == 1 else f", N:{self.mix}"
        a = f"compute[{'B, T, ' * self.varying}D:{self.channels}{parts}{parts.replace('N', 'M')}]"
        b, start = (f"compute[{lead}, D:{self.channels}{parts}]" for lead in ("B, T", "B"))
        attrs = {"axis": "T", "mix": None if self.mix == 1 else ["N", "M"], "form": form}
        return load_source(emit(example_graph(Example("linear_scan", (a, b, start), attrs))), "scan").Model()

    def inputs(self, device: str) -> list[Tensor]:
        """Return a, b, the start and a gradient of the states; no matrix makes a vector longer."""
        torch.manual_seed(0)
        a = (torch.rand(self.shapes[0]) * 2 - 1) * 0.98 / self.mix
        rest = [torch.randn(shape) for shape in (self.shapes[1], self.shapes[2], self.shapes[1])]
        return [tensor.to(device) for tensor in (a, *rest)]

    def traffic(self, *, gradient: bool) -> int:
        """Return the bytes that must be moved: every operand and result once, in float32."""
        a, b = prod(self.shapes[0]), prod(self.shapes[1])
        return 4 * (a + 2 * b + gradient * (2 * a + 3 * b))

    def __str__(self) -> str:
        kind = "elementwise" if self.mix == 1 else f"{self.mix}x{self.mix}"
        size = f"B={self.rows} T={self.tokens} D={self.channels}"
        return f"{size}, {kind}, {'varying' if self.varying else 'the same'} at every step"


@dataclass
class Times:
    """Milliseconds of every round, and the largest error."""

    forward: list[float] = field(default_factory=list[float])
    training: list[float] = field(default_factory=list[float])
    error: float = 0.0


def cases(device: str, *, quick: bool) -> Iterator[Case]:
    sizes = QUICK if quick else (*SIZES, *(WIDE if device != "cpu" else ()))
    for mix in (1, 2) if quick else (1, 2, 4):
        for varying in (False, True):
            for rows, tokens, channels in sizes:
                # entries of the operands, so that the largest of them is a few hundred megabytes
                if rows * tokens * channels * mix * (mix if varying else 1) <= (2**23 if device == "cpu" else 2**27):
                    yield Case(rows, tokens, channels, mix, varying)


def forward(model: torch.nn.Module, inputs: Sequence[Tensor]) -> Run:
    def run() -> Sequence[Tensor]:
        with torch.no_grad():
            return tuple(model(*inputs[:3])[0].values())

    return run


def training(model: torch.nn.Module, inputs: Sequence[Tensor]) -> Run:
    leaves = [tensor.detach().requires_grad_() for tensor in inputs[:3]]

    def run() -> Sequence[Tensor]:
        states, last = model(*leaves)[0].values()
        return (states.detach(), last.detach(), *torch.autograd.grad(states, leaves, inputs[3]))

    return run


def error(case: Case, form: str, inputs: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """Return the largest difference as a share of the largest entry of its tensor."""
    got = training(case.module(form), inputs)()
    pairs = zip(got, wanted, strict=True)
    return max(float((a.double() - b).abs().max() / b.abs().max().clamp_min(1e-30)) for a, b in pairs)


def clock(run: Run, device: str) -> Callable[[], float]:
    """Return a function that runs once and gives milliseconds; what it prepares stays warm."""
    if device == "cpu":
        run()
        return lambda: cpu_time(run)
    side, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # nothing may be made for the first time while it is recorded
        run()
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        run()
    return lambda: replayed(graph)


def cpu_time(run: Run) -> float:
    begun = time.process_time()
    run()
    return (time.process_time() - begun) * 1000


def replayed(graph: torch.cuda.CUDAGraph) -> float:
    begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begun.record()
    for _ in range(REPLAYS):
        graph.replay()
    ended.record()
    torch.cuda.synchronize()
    return begun.elapsed_time(ended) / REPLAYS


def measure(case: Case, device: str, rounds: int) -> tuple[dict[str, Times], list[float]]:
    """Return the times of every form, and those of a copy of the scan's inputs."""
    inputs = case.inputs(device)
    wanted = training(case.module("step"), [tensor.double() for tensor in inputs])()
    found = {form: Times(error=error(case, form, inputs, wanted)) for form in case.forms}
    del wanted
    models = {form: case.module(form) for form in case.forms}
    runs = {form: (clock(forward(m, inputs), device), clock(training(m, inputs), device)) for form, m in models.items()}
    target = torch.empty_like(inputs[1])
    copy = clock(lambda: (target.copy_(inputs[1]),), device)
    copies: list[float] = []
    for _ in range(rounds):
        copies.append(copy())
        for form, (one, both) in runs.items():
            found[form].forward.append(one())
            found[form].training.append(both())
    return found, copies


def show(case: Case, found: Mapping[str, Times], copies: Sequence[float]) -> bool:
    """Print a case; return whether every form is right."""
    bandwidth = 8 * prod(case.shapes[1]) / min(copies) / 1e6
    print(f"\n{case}; copy {bandwidth:.1f} GB/s")
    for form, times in found.items():
        if times.error > AGREE:
            print(f"  {form:<6} is off by {times.error:.1e} of the largest entry, so its time means nothing")
            continue
        parts = [
            column(case, values, found["step"], bandwidth, gradient=gradient)
            for values, gradient in ((times.forward, False), (times.training, True))
        ]
        print(f"  {form:<6} forward {parts[0]}   with gradient {parts[1]}   error {times.error:.0e}")
    return all(times.error <= AGREE for times in found.values())


def column(case: Case, values: Sequence[float], step: Times, bandwidth: float, *, gradient: bool) -> str:
    """Return a time as text: shortest and median, how many times faster than step by step, and the share of a copy."""
    ratio = min(step.training if gradient else step.forward) / min(values)
    share = case.traffic(gradient=gradient) / min(values) / 1e6 / bandwidth
    return f"{min(values):9.3f} ms (median {statistics.median(values):9.3f}) x{ratio:<5.1f} {share:4.0%} of copy"


def row(case: Case, found: Mapping[str, Times]) -> dict[str, Any]:
    """Return a case as a row of the table."""
    scan = {"tokens": case.tokens, "width": prod(case.shapes[2]), "mix": case.mix, "varying": case.varying}
    right = {form: times for form, times in found.items() if times.error <= AGREE}
    return {
        **scan,
        "forward": {form: float(f"{min(times.forward):.3g}") for form, times in right.items()},
        "training": {form: float(f"{min(times.training):.3g}") for form, times in right.items()},
    }


def processor(device: str) -> str:
    if device != "cpu":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def save(device: str, rows: Sequence[Mapping[str, Any]], path: Path = TABLE) -> None:
    """Replace what the table holds for a device; a row a line."""
    how = "one thread" if device == "cpu" else "as CUDA graphs"
    about = f"torch {torch.__version__}, float32, {processor(device)}, {how}; milliseconds"
    others = [part for part in json.loads(path.read_text()) if (part["backend"], part["device"]) != ("torch", device)]
    part = {"backend": "torch", "device": device, "about": about, "rows": rows}
    write(path, text(sorted([*others, part], key=lambda part: (part["backend"], part["device"]))))
    print(f"\nwrote {len(rows)} rows for torch on {device} to {path.name}")


def text(parts: Sequence[Mapping[str, Any]]) -> str:
    blocks: list[str] = []
    for part in parts:
        head = ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in part.items() if key != "rows")
        blocks.append(
            f'  {{{head}, "rows": [\n' + ",\n".join(f"    {json.dumps(row)}" for row in part["rows"]) + "\n  ]}"
        )
    return "[\n" + ",\n".join(blocks) + "\n]\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="a few small sizes and rounds")
    parser.add_argument("--write", action="store_true", help="replace the compiler pass's table for this device")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    right = True
    for case in cases(args.device, quick=args.quick):
        found, copies = measure(case, args.device, 3 if args.quick else args.rounds)
        right &= show(case, found, copies)
        rows.append(row(case, found))
    if args.write:
        save(args.device, rows)
    sys.exit(not right)


if __name__ == "__main__":
    main()
