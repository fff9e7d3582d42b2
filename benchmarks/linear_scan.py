"""Linear scans: a generated kernel, torch's forms and eager loops, forward and with gradient, against a copy.

    python benchmarks/linear_scan.py [--quick] [--write] [--device cpu] [--rounds 7]

First two levels per channel, read out, as an H/L kernel has them: z_t = A z_(t-1) + b x_t and y_t = c z_t + d x_t. On
CUDA the kernel is timed in bfloat16 too, as a model of that precision runs it; in float32 a compiled
`associative_scan` runs beside, and in both formats levels whose A is made of gates, by a kernel that reads the gates
and by one that reads the matrices. Then bare scans h_t = a_t h_(t-1) + b_t of many kinds and sizes. All
implementations of a case are timed in turn, in every round, with copies of its input; on a CPU in CPU time of one
thread, on CUDA as replays of a CUDA graph. A time is shown only if values and gradients are those in float64, to 2e-5
of the largest entry (8e-3 in bfloat16). `--write` puts the first tables into results/kernels/, and the shortest times
of the bare scans into the table that the compiler passes `forms` and `fuse` choose from.
"""

# pyright: reportUnknownMemberType=false
# torch's stubs leave parts of its compiler untyped

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

import torch
from interleaved import AGREE, Measured, Problem, Report, about, measure
from interleaved.cells import (
    by_kernel,
    by_source,
    gated,
    gated_drawn,
    gated_loop,
    levels,
    levels_drawn,
    levels_loop,
    made,
    made_loop,
    matrices,
    normal,
)
from interleaved.compiling import in_processes
from interleaved.measuring import both
from torch import Tensor

from hrmsearch.files import write
from hrmsearch.passes.forms import TABLE, in_form
from hrmsearch.testing.examples import Example, example_graph
from hrmsearch_torch.scans import FORMS

#: rows, tokens and channels
LEVELS = {"cpu": ((16, 64, 64), (16, 1024, 256), (16, 4096, 64))}
LEVELS_CUDA = ((16, 64, 64), (16, 4096, 128), (64, 2048, 1024), (16, 4096, 1024), (16, 1024, 1024))
GATED = ((16, 4096, 1024),)
SIZES = ((1, 64, 64), (16, 16, 64), (16, 64, 64), (16, 64, 256), (16, 256, 128), (16, 1024, 64), (4, 4096, 64))
SIZES_CUDA = ((16, 64, 64), (16, 1024, 64), (16, 1024, 256), (64, 1024, 1024))
QUICK = ((16, 64, 64), (16, 512, 64))
#: steps up to which a launch or more for each says anything on CUDA
LAUNCHES = 1024
#: number formats of operands and results
FORMATS = ("float32", HALF := "bfloat16")
#: seconds for compiling kernels beforehand
COMPILING = 150.0


def offered(tokens: int, device: str) -> list[str]:
    """Return torch's forms that are timed: on CUDA not thousands of launches, which no other form is slower than."""
    return [form for form in FORMS if form != "step" or device == "cpu" or tokens <= LAUNCHES]


# -- two levels, read out ----------------------------------------------------------------------------------------------


def read_out(rows: int, tokens: int, channels: int, device: str, *, half: bool = False) -> Problem:
    """Return the two levels at one size; in bfloat16 for the kernel alone: all else would round its states."""
    graph = levels(channels)
    # a loop that waits for a GPU at every step says nothing beyond so many
    loop = {"eager loop": levels_loop} if not half and (device == "cpu" or tokens <= LAUNCHES) else {}
    torch_forms = {} if half else {form: by_source(in_form(graph, form)) for form in offered(tokens, device)}
    scan = {} if half or device == "cpu" else {"compiled associative_scan": torch.compile(associative, dynamic=False)}
    x = (2 if half else 4) * rows * tokens * channels
    return Problem(
        f"Two levels, B={rows} T={tokens} D={channels}{', bfloat16' if half else ''}",
        levels_drawn(rows, tokens, channels),
        levels_loop,
        {**loop, **by_kernel(graph, device), **torch_forms, **scan},
        moved=(2 * x, 5 * x),
        half=half,
        plain=[*scan],
    )


def associative(x: Tensor, a: Tensor, into: Tensor, read: Tensor, skip: Tensor, start: Tensor) -> Sequence[Tensor]:
    """Do the two levels by torch's parallel scan over 2x2 maps, which has no gradient where it is one kernel."""
    from torch._higher_order_ops.associative_scan import associative_scan

    def joined(left: Sequence[Tensor], right: Sequence[Tensor]) -> Sequence[Tensor]:
        p, q, r, s, low, high = left
        a00, a01, a10, a11, b0, b1 = right
        matrix = a00 * p + a01 * r, a00 * q + a01 * s, a10 * p + a11 * r, a10 * q + a11 * s
        return (*matrix, a00 * low + a01 * high + b0, a10 * low + a11 * high + b1)

    maps = [m.expand_as(x).contiguous() for m in a.flatten(1).unbind(1)]
    p, q, r, s, low, high = associative_scan(joined, (*maps, x * into[:, 0], x * into[:, 1]), dim=1)
    first, second = start[:, None, :, 0], start[:, None, :, 1]
    low, high = low + p * first + q * second, high + r * first + s * second
    return low * read[:, 0] + high * read[:, 1] + x * skip, torch.stack((low[:, -1], high[:, -1]), 2)


def with_gates(rows: int, tokens: int, channels: int, device: str, *, half: bool = False) -> Problem:
    """Return two levels gated at every step: by a kernel that reads gates, and by one that reads matrices."""
    gates = gated_drawn(rows, tokens, channels)
    fed = {f"{name} fed with matrices": form for name, form in by_kernel(made(channels), device).items()}
    x = (2 if half else 4) * rows * tokens * channels
    size = f"B={rows} T={tokens} D={channels}{', bfloat16' if half else ''}"
    operands = [*matrices(*gates[:3]), gates[3]]
    return Problem(
        f"Two levels, gated, {size}",
        gates,
        gated_loop,
        by_kernel(gated(channels), device),
        moved=(4 * x, 11 * x),
        half=half,
        beside=[Problem(size, operands, made_loop, fed, moved=(7 * x, 20 * x), half=half)],
    )


def on(device: str, formats: Sequence[str], *, quick: bool) -> Iterator[Callable[[], Problem]]:
    """Yield makers of what is measured of the two levels on a device."""
    sizes = QUICK if quick else LEVELS.get(device, LEVELS_CUDA)
    for half in (one == HALF for one in formats):
        yield from (partial(read_out, *size, device, half=half) for size in sizes)
        gates = (QUICK[:1] if quick else GATED) if device != "cpu" else ()
        yield from (partial(with_gates, *size, device, half=half) for size in gates)


# -- bare scans --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bare:
    """One size and kind of scan; mix: rows of its matrices, 1 where it is elementwise."""

    rows: int
    tokens: int
    channels: int
    mix: int
    varying: bool

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

    def problem(self, device: str) -> Problem:
        parts = "" if self.mix == 1 else f", N:{self.mix}"
        a = f"compute[{'B, T, ' * self.varying}D:{self.channels}{parts}{parts.replace('N', 'M')}]"
        b, start = (f"compute[{lead}, D:{self.channels}{parts}]" for lead in ("B, T", "B"))
        attrs = {"axis": "T", "mix": None if self.mix == 1 else ["N", "M"], "form": None}
        graph = example_graph(Example("linear_scan", (a, b, start), attrs))
        step = by_source(in_form(graph, "step"))
        kinds = [form for form in offered(self.tokens, device) if form != "fft" or not self.varying]
        forms = {form: by_source(in_form(graph, form)) for form in kinds}
        return Problem(
            str(self),
            self.drawn(),
            step,
            {**forms, **by_kernel(graph, device)},
            moved=(self._traffic(gradient=False), self._traffic(gradient=True)),
            copied=1,
        )

    def drawn(self) -> list[Tensor]:
        """Return a, b and the start; no matrix makes a vector longer."""
        random = torch.Generator().manual_seed(0)
        a = (torch.rand(self.shapes[0], generator=random, dtype=torch.float64) * 2 - 1) * 0.98 / self.mix
        return [a, normal(random, *self.shapes[1]), normal(random, *self.shapes[2])]

    def _traffic(self, *, gradient: bool) -> int:
        """Return the bytes that must be moved: every operand and result once, in float32."""
        a, b = prod(self.shapes[0]), prod(self.shapes[1])
        return 4 * (a + 2 * b + gradient * (2 * a + 3 * b))

    def __str__(self) -> str:
        kind = "elementwise" if self.mix == 1 else f"{self.mix}x{self.mix}"
        size = f"B={self.rows} T={self.tokens} D={self.channels}"
        return f"{size}, {kind}, {'varying' if self.varying else 'the same'} at every step"


def bare(device: str, *, quick: bool) -> Iterator[Bare]:
    sizes = QUICK if quick else SIZES if device == "cpu" else SIZES_CUDA
    for mix in (1, 2) if quick else (1, 2, 4):
        for varying in (False, True):
            for rows, tokens, channels in sizes:
                # entries of the operands, so that the largest of them is a few hundred megabytes
                if rows * tokens * channels * mix * (mix if varying else 1) <= (2**23 if device == "cpu" else 2**28):
                    yield Bare(rows, tokens, channels, mix, varying)


# -- compiling ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """One problem of a section of this benchmark, by number. section: `levels` or `bare`."""

    section: str
    number: int
    device: str
    formats: tuple[str, ...]
    quick: bool

    def problem(self) -> Problem:
        """Return the problem."""
        if self.section == "levels":
            return next(islice(on(self.device, self.formats, quick=self.quick), self.number, None))()
        return next(islice(bare(self.device, quick=self.quick), self.number, None)).problem(self.device)

    def run(self) -> None:
        """Compile its kernels, by running them once."""
        problem = self.problem()
        for one in (problem, *problem.beside):
            for form in (form for name, form in one.forms.items() if name.startswith("kernel")):
                both(form, [x.requires_grad_() for x in one.given(self.device)])
        torch.cuda.synchronize()


def compile_beforehand(section: str, device: str, formats: Sequence[str], *, quick: bool) -> None:
    """Let Triton compile in several processes what a section of the benchmark will run; a C compiler takes no time."""
    if device == "cpu":
        return
    cases = on(device, formats, quick=quick) if section == "levels" else bare(device, quick=quick)
    parts = [Part(section, number, device, tuple(formats), quick) for number, _ in enumerate(cases)]
    in_processes(Part.run, parts, COMPILING)


# -- the table of the compiler passes ----------------------------------------------------------------------------------


def row(case: Bare, measured: Measured) -> dict[str, Any]:
    """Return a case as a row of the table."""
    scan = {"tokens": case.tokens, "width": prod(case.shapes[2]), "mix": case.mix, "varying": case.varying}
    right = {form: times for form, times in measured.times.items() if times.error <= AGREE}
    return {
        **scan,
        "forward": {form: float(f"{min(times.forward):.3g}") for form, times in right.items()},
        "training": {form: float(f"{min(times.training):.3g}") for form, times in right.items()},
    }


def save(device: str, rows: Sequence[Mapping[str, Any]], path: Path = TABLE) -> None:
    """Replace what the table holds for a device; a row a line."""
    others = [part for part in json.loads(path.read_text()) if (part["backend"], part["device"]) != ("torch", device)]
    part = {"backend": "torch", "device": device, "about": f"{about(device)}; milliseconds", "rows": rows}
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
    parser.add_argument("--write", action="store_true", help="replace this device's results and table")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=("levels", "bare"), help="one section alone")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, help="of the levels; on CUDA both, else float32")
    args = parser.parse_args()
    formats = args.formats or FORMATS[: 1 if args.device == "cpu" else None]
    torch.set_num_threads(1)
    rounds = 3 if args.quick else args.rounds
    reports: list[Report] = []
    if args.only != "bare":
        compile_beforehand("levels", args.device, formats, quick=args.quick)
        for one in formats:
            reports.append(report := Report())
            for problem in on(args.device, [one], quick=args.quick):
                report.add(measure(problem(), args.device, rounds))
            if args.write:
                report.save(args.device, f"linear_scan {one}")
    if args.only != "levels":
        reports.append(report := Report())
        rows: list[dict[str, Any]] = []
        compile_beforehand("bare", args.device, formats, quick=args.quick)
        for case in bare(args.device, quick=args.quick):
            measured = measure(case.problem(args.device), args.device, rounds)
            report.add(measured)
            rows.append(row(case, measured))
        if args.write:
            save(args.device, rows)
    sys.exit(not all(report.right for report in reports))


if __name__ == "__main__":
    main()
