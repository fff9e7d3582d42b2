"""sLSTM with its recurrent matrices: a generated kernel and an eager loop, and what an H/L kernel takes beside them.

    python benchmarks/slstm.py [--quick] [--write] [--device cpu] [--rounds 7]

The cell alone, four heads, from gates to outputs, forward and with gradient; the H/L kernel is the two levels of
`linear_scan.py` at the same B, T and D. Times, errors and `--write` are as there.
"""

import argparse
import sys

import torch
from interleaved import Problem, Report, measure
from interleaved.cells import by_kernel, by_source, levels, levels_drawn, levels_loop, slstm, slstm_drawn, slstm_loop

HEADS = 4
#: rows, tokens and channels
SIZES = ((16, 64, 64), (16, 256, 64), (16, 256, 128), (16, 1024, 64))
CUDA = ((16, 1024, 256), (16, 1024, 64))
QUICK = ((4, 32, 32),)


def problem(rows: int, tokens: int, channels: int, device: str) -> Problem:
    """Return one size: sLSTM by loop, by its emitted source and by kernel, and the H/L kernel beside it."""
    graph = slstm(HEADS, channels // HEADS)
    kernel = {f"H/L {name}": form for name, form in by_kernel(levels(channels), device).items()}
    size = f"B={rows} T={tokens} D={channels}"
    return Problem(
        f"sLSTM, {size}, {HEADS} heads",
        slstm_drawn(rows, tokens, HEADS, channels // HEADS),
        slstm_loop,
        {"eager loop": slstm_loop, "eager source": by_source(graph), **by_kernel(graph, device)},
        beside=[Problem(size, levels_drawn(rows, tokens, channels), levels_loop, kernel)],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="one small size and few rounds")
    parser.add_argument("--write", action="store_true", help="replace this device's results")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    report = Report()
    for size in QUICK if args.quick else SIZES if args.device == "cpu" else CUDA:
        report.add(measure(problem(*size, args.device), args.device, 3 if args.quick else args.rounds))
    if args.write:
        report.save(args.device, "slstm")
    sys.exit(not report.right)


if __name__ == "__main__":
    main()
