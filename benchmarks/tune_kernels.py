"""How the Triton kernels of recurrences are best cut up: tries settings and writes the table beside the kernels.

    python benchmarks/tune_kernels.py [levels gated slstm] [--write] [--rounds 10] [--seconds 110]

Forward and gradient are timed apart, as replays of a CUDA graph, all settings of a size in turn in every round, with
copies of what varies with the steps; a setting whose results or gradients are off is not considered. Kernels are
compiled beforehand in several processes, for so many seconds at most: what has not been by then is not tried. Sizes are
rows, steps and channels. The functions are those of `linear_scan.py` and `slstm.py`.
"""

# pyright: reportUnknownMemberType=false
# torch's stubs leave parts of autograd, cuda and graphs untyped

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import product

import torch
from interleaved import Problem, about
from interleaved.cells import (
    gated,
    gated_drawn,
    gated_loop,
    levels,
    levels_drawn,
    levels_loop,
    slstm,
    slstm_drawn,
    slstm_loop,
)
from interleaved.compiling import in_processes
from interleaved.measuring import Clock, again, both, clock, copying, error, weights
from torch import Tensor

from hrmsearch.files import write
from hrmsearch.ir.graph import Region
from hrmsearch.recurrence import Recurrence, describe
from hrmsearch_torch.emit import recurrences
from hrmsearch_torch.kernels import Scan
from hrmsearch_torch.kernels.arrays import Frame
from hrmsearch_torch.kernels.cuda import CudaKernel, LaneKernel
from hrmsearch_torch.kernels.cuda_heads import HeadKernel
from hrmsearch_torch.kernels.settings import TABLE, Settings, Size

#: lanes of a head
HEAD = 64
#: multiprocessors, times what one runs at once: fewer blocks of lanes than that are cut into chunks
MANY = 132 * 64


@dataclass(frozen=True)
class Case:
    """A function at a size. half: all of it comes in bfloat16."""

    function: str
    rows: int
    steps: int
    channels: int
    half: bool

    def problem(self) -> Problem:
        """Return its operands and what is right."""
        size = self.rows, self.steps
        if self.function == "levels":
            return Problem(str(self), levels_drawn(*size, self.channels), levels_loop, {}, half=self.half)
        if self.function == "gated":
            return Problem(str(self), gated_drawn(*size, self.channels), gated_loop, {}, half=self.half)
        heads = self.channels // HEAD or 1
        operands = slstm_drawn(*size, heads, self.channels // heads)
        return Problem(str(self), operands, slstm_loop, {}, half=self.half)

    def recurrence(self) -> Recurrence:
        heads = self.channels // HEAD or 1
        graph = {"levels": levels, "gated": gated}.get(self.function, lambda width: slstm(heads, width // heads))
        whole = graph(self.channels)
        operations = [op for op in whole.main.ops if op.kind != "input"]
        # as the operands come: `fuse` puts those of a function into an order of its own
        own = Region([*whole.inputs.values()], operations, [*whole.outputs.values()])
        return describe(next((body for _, _, body in recurrences(whole)), own))

    def kernel(self, settings: Settings) -> CudaKernel:
        recurrence = self.recurrence()
        form = HeadKernel if recurrence.products else LaneKernel
        kernel = form(recurrence, torch.float32, self.function)
        kernel.forced = dict.fromkeys((False, True), settings)
        return kernel

    def settings(self) -> Iterator[Settings]:
        """Yield what to try."""
        if self.function == "slstm":
            yield from (Settings(16, warps, stages) for warps, stages in product((4, 8), (1, 2)))
        elif self.rows * self.channels < MANY:
            blocks = ((64, 1), (128, 2)) if self.half else ((32, 1), (64, 1), (64, 2))
            for (block, warps), stages, chunks in product(blocks, (1, 2, 4), (8, 16, 32)):
                yield Settings(block, warps, stages, chunks)
        else:
            # asynchronous copies take four bytes or more a thread
            blocks = ((64, 1), (128, 1), (128, 2), (256, 2)) if self.half else ((32, 1), (64, 1), (64, 2), (128, 2))
            for (block, warps), stages in product(blocks, (1, 2, 3, 4, 6, 8)):
                yield Settings(block, warps, stages)
                if stages == 3:
                    yield from (Settings(block, warps, stages, chunks) for chunks in (2, 4))


SIZES = {
    "levels": ((16, 4096, 1024), (16, 4096, 128), (64, 2048, 1024), (16, 1024, 1024)),
    "gated": ((16, 4096, 1024), (16, 4096, 128)),
    "slstm": ((16, 1024, 256), (16, 1024, 64)),
}


# -- one setting -------------------------------------------------------------------------------------------------------


class Run:
    """A kernel with its operands."""

    def __init__(self, case: Case, settings: Settings, operands: Sequence[Tensor]) -> None:
        self.kernel = case.kernel(settings)
        self._sizes = Frame(self.kernel.recurrence).sizes(operands)
        self._operands = Scan(self.kernel.recurrence).arranged(*operands)

    def forward(self) -> list[Tensor]:
        return self.kernel.forward(self._operands, self._sizes)

    def backward(self, kept: Tensor, gradients: Sequence[Tensor]) -> list[Tensor]:
        return self.kernel.backward(self._operands, kept, gradients, self._sizes)

    def once(self) -> list[Tensor]:
        """Return results and gradients."""
        *made, kept = self.forward()
        return [*made, *self.backward(kept, [weights(y) for y in made])]

    def clocks(self, device: str) -> tuple[Clock, Clock]:
        *made, kept = self.forward()
        given = [weights(y) for y in made]
        ways = self.forward, lambda: self.backward(kept, given)
        first, second = (clock(way, device, eager=False) for way in ways)
        return first, second

    def sizes(self) -> list[Size]:
        """Return what the table is asked for."""
        fixed = isinstance(self.kernel, LaneKernel) and self.kernel.source.chunks.fixed
        kind = "heads" if isinstance(self.kernel, HeadKernel) else "fixed" if fixed else "varying"
        return [self.kernel.size(kind, self._operands, self._sizes, backward=back) for back in (False, True)]


@dataclass(frozen=True)
class Compiling:
    """A setting to be compiled for a function: rows and steps make no other kernel."""

    case: Case
    settings: Settings
    device: str

    @classmethod
    def of(cls, case: Case, settings: Settings, device: str) -> "Compiling":
        """Return what a size needs: few rows and steps of it."""
        steps = max(64, 32 * settings.chunks)
        return cls(Case(case.function, 1, steps, case.channels, case.half), settings, device)

    def run(self) -> None:
        """Compile into Triton's cache, by running once."""
        Run(self.case, self.settings, self.case.problem().given(self.device)).once()
        if self.device != "cpu":
            torch.cuda.synchronize()


# -- all settings of a size --------------------------------------------------------------------------------------------


def tuned(case: Case, tried: Sequence[Settings], device: str, rounds: int) -> Iterator[tuple[Size, Settings]]:
    """Yield what is fastest, forward and backward, after printing every time."""
    problem = case.problem()
    given = problem.given(device)
    truth = both(problem.truth, [x.double().requires_grad_() for x in given])
    clocks: dict[Settings, tuple[Clock, Clock]] = {}
    sizes: list[Size] = []
    for settings in tried:
        run = Run(case, settings, given)
        off = error(run.once(), truth)
        if off <= problem.agree:
            clocks[settings], sizes = run.clocks(device), run.sizes()
        else:
            print(f"{case} {settings}: off by {off:.0e}, no time", flush=True)
    copies, copied = copying(given[0], device), list[float]()
    times = {settings: (list[float](), list[float]()) for settings in clocks}
    for _ in range(rounds):
        copied += [time for one in copies for time in again(one)]
        for settings, ways in clocks.items():
            for found, way in zip(times[settings], ways, strict=True):
                found += again(way)
    print(f"{case}: copy of the first operand {min(copied):.4f} ms")
    for settings, ways in times.items():
        print(f"  {settings}: forward {min(ways[0]):.4f}, backward {min(ways[1]):.4f} ms", flush=True)
    for way, size in enumerate(sizes):
        shortest = {settings: min(ways[way]) for settings, ways in times.items()}
        yield size, min(shortest, key=shortest.__getitem__)


def save(found: Mapping[Size, Settings], device: str) -> None:
    """Write the table, a row a line."""
    rows = [json.dumps({**asdict(size), **asdict(settings)}) for size, settings in found.items()]
    head = json.dumps(f"{about(device)}, triton {version('triton')}")
    write(TABLE, f'{{\n "device": {head},\n "rows": [\n  ' + ",\n  ".join(rows) + "\n ]\n}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("functions", nargs="*", default=[*SIZES])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--write", action="store_true", help="replace the table; for all functions only")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=110.0, help="for compiling")
    args = parser.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        print("Triton kernels are tuned on a GPU, and there is none here")
        return
    if args.write and {*args.functions} != {*SIZES}:
        parser.error("--write replaces the whole table: name no functions")
    cases = [Case(name, *size, half) for name in args.functions for size in SIZES[name] for half in (False, True)]
    tried = {(case, one): Compiling.of(case, one, args.device) for case in cases for one in case.settings()}
    compiled = in_processes(Compiling.run, [*dict.fromkeys(tried.values())], args.seconds)
    found: dict[Size, Settings] = {}
    for case in cases:
        runs = [one for one in case.settings() if tried[case, one] in compiled]
        found |= dict(tuned(case, runs, args.device, args.rounds))
    if args.write:
        save(found, args.device)


if __name__ == "__main__":
    main()
