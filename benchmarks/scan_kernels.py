# pyright: reportUnknownMemberType=false
# torch's stubs leave parts of autograd untyped
"""The generated kernel of a two-level recurrence against an eager PyTorch loop of the same maths, interleaved.

    python benchmarks/scan_kernels.py [--sizes 16,64,64 16,1024,256] [--rounds 15] [--device cpu|cuda]

Per channel z_t = A z_(t-1) + b x_t and y_t = c z_t + d x_t, with two levels in z. Forward, and forward and backward
through autograd, one thread. Beside every time stands the largest error of any result or gradient against the loop in
float64, as a share of that tensor's largest entry; the script refuses to report a time whose error is above 2e-5. What
memory would allow is the time to copy x once (8 bytes an element), in the same run: at least 8 bytes an element move
forward and 20 in both directions.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hrmsearch.ir import Builder, Graph, Nest, Type, Value
from hrmsearch.ir.definition import OPS_ONLY
from hrmsearch.recurrence import describe
from hrmsearch_torch.kernels import Scan

SIZES = ("16,64,64", "16,1024,256", "16,4096,64")
TOLERANCE = 2e-5
Form = Callable[..., Sequence[Tensor]]


def kernel(width: int) -> Scan:
    """Return the recurrence over `width` channels."""
    types = {
        "x": f"compute[B, T, D:{width}]",
        "a": f"compute[D:{width}, Z:2, Y:2]",
        "into": f"compute[D:{width}, Z:2]",
        "read": f"compute[D:{width}, Z:2]",
        "skip": f"compute[D:{width}]",
        "start": f"compute[B, D:{width}, Z:2]",
    }
    b = Builder(Graph("", Nest()), OPS_ONLY)
    b.region.args = [Value(Type.parse(type_), name, b) for name, type_ in types.items()]
    x, a, into, read, skip, start = b.region.args
    states, last = b.linear_scan(a, b.einsum("B T D, D Z -> B T D Z", x, into), start, mix=("Z", "Y"))
    b.region.results = [b.einsum("B T D Z, D Z -> B T D", states, read) + x * skip, last]
    return Scan(describe(b.region))


def loop(x: Tensor, a: Tensor, into: Tensor, read: Tensor, skip: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """The same, as one would write it: a loop over tokens, the levels written out."""
    p, q, r, s = a.flatten(1).unbind(1)
    (low_in, high_in), (low_out, high_out) = into.unbind(1), read.unbind(1)
    low, high = start.unbind(2)
    ys: list[Tensor] = []
    for x_t in x.unbind(1):
        low, high = p * low + q * high + low_in * x_t, r * low + s * high + high_in * x_t
        ys.append(low_out * low + high_out * high + skip * x_t)
    return torch.stack(ys, 1), torch.stack((low, high), 2)


def drawn(batch: int, tokens: int, width: int, device: str) -> list[Tensor]:
    """Return inputs in float64; rows of a transition are positive and sum to less than one, so that none explodes."""
    random = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    a = torch.softmax(normal(width, 2, 3), -1)[..., :2]
    shapes = [(width, 2), (width, 2), (width,), (batch, width, 2)]
    return [x.to(device) for x in (normal(batch, tokens, width), a, *(normal(*shape) for shape in shapes))]


class Case:
    """One size: what runs, its inputs, and the truth."""

    def __init__(self, batch: int, tokens: int, width: int, device: str) -> None:
        self.count = batch * tokens * width
        self.device = device
        self.forms: dict[str, Form] = {"eager loop": loop, "kernel": kernel(width)}
        exact = drawn(batch, tokens, width, device)
        self.inputs = [x.float().requires_grad_() for x in exact]
        self.weights = [torch.cos(torch.arange(x.numel(), device=device)).view(x.shape) for x in (exact[0], exact[-1])]
        self.truth = self.both(loop, [x.requires_grad_() for x in exact])

    def both(self, form: Form, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return results and gradients."""
        results = form(*inputs)
        gradients = [weight.to(y.dtype) for weight, y in zip(self.weights, results, strict=True)]
        return [*results, *torch.autograd.grad(results, inputs, gradients)]

    def error(self, form: Form) -> float:
        """Return the largest error as a share of each tensor's largest entry."""
        pairs = zip(self.both(form, self.inputs), self.truth, strict=True)
        return max(((got - true).abs().max() / true.abs().max()).item() for got, true in pairs)

    def seconds(self, run: Callable[[], object]) -> float:
        """Return how long a call takes: the processor's time, or the device's until it is done."""
        clock = time.perf_counter if self.device == "cuda" else time.process_time
        if self.device == "cuda":
            torch.cuda.synchronize()
        begun = clock()
        run()
        if self.device == "cuda":
            torch.cuda.synchronize()
        return clock() - begun

    def measured(self, rounds: int) -> dict[str, list[float]]:
        """Return times by name; in a round everything runs a few times in a row, as it would in training."""
        times: dict[str, list[float]] = {}
        source = torch.empty(self.count, device=self.device)
        target = torch.empty_like(source)
        for _ in range(rounds):
            times.setdefault("copy", []).extend(self.seconds(lambda: target.copy_(source)) for _ in range(3))
            for name, form in self.forms.items():
                with torch.no_grad():
                    forward = [self.seconds(lambda form=form: form(*self.inputs)) for _ in range(3)]
                times.setdefault(f"{name}, forward", []).extend(forward)
                both = [self.seconds(lambda form=form: self.both(form, self.inputs)) for _ in range(3)]
                times.setdefault(f"{name}, both", []).extend(both)
        return times


def report(sizes: tuple[int, int, int], rounds: int, device: str) -> None:
    """Measure one size and print it."""
    case = Case(*sizes, device)
    errors = {name: case.error(form) for name, form in case.forms.items()}
    wrong = {name: error for name, error in errors.items() if not error <= TOLERANCE}
    if wrong:
        raise SystemExit(f"{sizes}: no times, for these are off by more than {TOLERANCE:.0e}: {wrong}")
    times = case.measured(rounds)
    copy = min(times["copy"])
    print(f"B, T, D = {sizes}; copy of x: {8 * case.count / copy / 1e9:.1f} GB/s")
    for name, error in errors.items():
        for direction, moved in (("forward", 8), ("both", 20)):
            mine, plain = times[f"{name}, {direction}"], times[f"eager loop, {direction}"]
            low, middle = min(mine), statistics.median(mine)
            print(
                f"  {name:11} {direction:8} min {low * 1e3:9.3f} ms  median {middle * 1e3:9.3f} ms"
                f"  {min(plain) / low:6.1f}x by min {statistics.median(plain) / middle:6.1f}x by median"
                f"  {moved / 8 * copy / low:6.1%} of a copy  error {error:.1e}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="B,T,D")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for size in options.sizes:
        batch, tokens, width = map(int, size.split(","))
        report((batch, tokens, width), options.rounds, options.device)


if __name__ == "__main__":
    main()
