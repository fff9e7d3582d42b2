# pyright: reportUnknownMemberType=false
# torch's stubs leave parts of autograd untyped
"""Generated kernels of recurrences against eager PyTorch loops of the same maths, interleaved.

    python benchmarks/scan_kernels.py [levels | slstm] [--sizes 16,64,64 ...] [--rounds 15] [--device cpu|cuda]

levels: per channel z_t = A z_(t-1) + b x_t and y_t = c z_t + d x_t, with two levels in z. slstm: the cell of sLSTM with
its recurrent matrices, four heads. Sizes are B, T, D. Forward, and forward and backward through autograd, one thread.
Beside every time stands the largest error of any result or gradient against the loop in float64, as a share of that
tensor's largest entry; the script refuses to report a time whose error is above 2e-5. For what memory would allow
stands the time of copying x once (8 bytes an element) in the same run: levels moves 8 bytes an element forward and 20
in both directions.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hrmsearch.ir import Builder, Graph, Nest, Type, Value
from hrmsearch.ir.definition import OPS_ONLY
from hrmsearch.recurrence import describe
from hrmsearch_torch.kernels import Scan

TOLERANCE = 2e-5
HEADS = 4
Form = Callable[..., Sequence[Tensor]]
Body = Callable[..., Sequence[Value]]


@dataclass(frozen=True)
class Maths:
    """A recurrence. types: of its operands, `{D}` wide. body: over IR values. loop: over tensors.

    drawn: operands in float64 for given sizes. sizes: to measure where none are asked for.
    """

    types: Mapping[str, str]
    body: Body
    loop: Form
    drawn: Callable[[int, int, int], list[Tensor]]
    sizes: Sequence[str]

    def kernel(self, width: int) -> Scan:
        """Return the generated kernel for a width."""
        b = Builder(Graph("", Nest()), OPS_ONLY)
        sizes = {"D": width, "K": width // HEADS, "F": 4 * width // HEADS, "A": HEADS}
        b.region.args = [Value(Type.parse(text.format(**sizes)), name, b) for name, text in self.types.items()]
        b.region.results = list(self.body(b, *b.region.args))
        return Scan(describe(b.region))


def normal(random: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=random, dtype=torch.float64)


# -- two levels --------------------------------------------------------------------------------------------------------


def levels(b: Builder, x: Value, a: Value, into: Value, read: Value, skip: Value, start: Value) -> Sequence[Value]:
    states, last = b.linear_scan(a, b.einsum("B T D, D Z -> B T D Z", x, into), start, mix=("Z", "Y"))
    return b.einsum("B T D Z, D Z -> B T D", states, read) + x * skip, last


def levels_loop(x: Tensor, a: Tensor, into: Tensor, read: Tensor, skip: Tensor, start: Tensor) -> Sequence[Tensor]:
    p, q, r, s = a.flatten(1).unbind(1)
    (low_in, high_in), (low_out, high_out) = into.unbind(1), read.unbind(1)
    low, high = start.unbind(2)
    ys: list[Tensor] = []
    for x_t in x.unbind(1):
        low, high = p * low + q * high + low_in * x_t, r * low + s * high + high_in * x_t
        ys.append(low_out * low + high_out * high + skip * x_t)
    return torch.stack(ys, 1), torch.stack((low, high), 2)


def levels_drawn(batch: int, tokens: int, width: int) -> list[Tensor]:
    """Rows of a transition are positive and sum to less than one, so that none explodes."""
    random = torch.Generator().manual_seed(0)
    a = torch.softmax(normal(random, width, 2, 3), -1)[..., :2]
    shapes = [(width, 2), (width, 2), (width,), (batch, width, 2)]
    return [normal(random, batch, tokens, width), a, *(normal(random, *shape) for shape in shapes)]


# -- sLSTM -------------------------------------------------------------------------------------------------------------


def slstm(b: Builder, raw: Value, r: Value, c: Value, n: Value, m: Value, y: Value) -> Sequence[Value]:
    width = c.type.width("K")

    def step(c: Value, n: Value, m: Value, y: Value, raw: Value) -> Sequence[Value]:
        gates = raw + b.einsum("B A K, A K F -> B A F", y, r)
        i, f, z, o = (b.slice(gates, "F", at * width, width, "K") for at in range(4))
        carried = m - b.op("softplus", -f)
        top = b.op("maximum", i, carried)
        forget, take = b.exp(carried - top), b.exp(i - top)
        c, n = forget * c + take * b.op("tanh", z), forget * n + take
        y = b.sigmoid(o) * c / n
        return [c, n, top, y, y]

    *last, ys = b.scan("T", [c, n, m, y], [raw], step, at=1)
    return ys, *last


def slstm_loop(raw: Tensor, r: Tensor, c: Tensor, n: Tensor, m: Tensor, y: Tensor) -> Sequence[Tensor]:
    ys: list[Tensor] = []
    for raw_t in raw.unbind(1):
        i, f, z, o = (raw_t + torch.einsum("bak,akf->baf", y, r)).chunk(4, -1)
        carried = m + F.logsigmoid(f)
        m = torch.maximum(i, carried)
        forget, take = torch.exp(carried - m), torch.exp(i - m)
        c, n = forget * c + take * torch.tanh(z), forget * n + take
        y = torch.sigmoid(o) * c / n
        ys.append(y)
    return torch.stack(ys, 1), c, n, m, y


def slstm_drawn(batch: int, tokens: int, width: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    head = width // HEADS
    r = 0.5 * head**-0.5 * normal(random, HEADS, head, 4 * head)
    c, n, m, y = (normal(random, batch, HEADS, head) for _ in range(4))
    return [normal(random, batch, tokens, HEADS, 4 * head), r, c, 1.0 + n.abs(), m, y]


STATE = "compute[B, A:{A}, K:{K}]"
ALL = {
    "levels": Maths(
        {
            "x": "compute[B, T, D:{D}]",
            "a": "compute[D:{D}, Z:2, Y:2]",
            "into": "compute[D:{D}, Z:2]",
            "read": "compute[D:{D}, Z:2]",
            "skip": "compute[D:{D}]",
            "start": "compute[B, D:{D}, Z:2]",
        },
        levels,
        levels_loop,
        levels_drawn,
        ("16,64,64", "16,1024,256", "16,4096,64"),
    ),
    "slstm": Maths(
        {"raw": "compute[B, T, A:{A}, F:{F}]", "r": "compute[A:{A}, K:{K}, F:{F}]", **dict.fromkeys("cnmy", STATE)},
        slstm,
        slstm_loop,
        slstm_drawn,
        ("16,64,64", "16,256,64", "16,256,128", "16,1024,64"),
    ),
}


class Case:
    """One size: what runs, its inputs, and the truth."""

    def __init__(self, maths: Maths, batch: int, tokens: int, width: int, device: str) -> None:
        self.count = batch * tokens * width
        self.device = device
        self.forms: dict[str, Form] = {"eager loop": maths.loop, "kernel": maths.kernel(width)}
        exact = [x.to(device) for x in maths.drawn(batch, tokens, width)]
        self.inputs = [x.float().requires_grad_() for x in exact]
        with torch.no_grad():
            results = maths.loop(*exact)
        self.weights = [torch.cos(torch.arange(y.numel(), device=device)).view(y.shape) for y in results]
        self.truth = self.both(maths.loop, [x.requires_grad_() for x in exact])

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


def report(name: str, sizes: tuple[int, int, int], rounds: int, device: str) -> None:
    """Measure one size and print it."""
    case = Case(ALL[name], *sizes, device)
    errors = {name: case.error(form) for name, form in case.forms.items()}
    wrong = {name: error for name, error in errors.items() if not error <= TOLERANCE}
    if wrong:
        raise SystemExit(f"{sizes}: no times, for these are off by more than {TOLERANCE:.0e}: {wrong}")
    times = case.measured(rounds)
    copy = min(times["copy"])
    print(f"{name}, B, T, D = {sizes}; copy of x: {8 * case.count / copy / 1e9:.1f} GB/s")
    for form, error in errors.items():
        for direction, moved in (("forward", 8), ("both", 20)):
            mine, plain = times[f"{form}, {direction}"], times[f"eager loop, {direction}"]
            low, middle = min(mine), statistics.median(mine)
            print(
                f"  {form:11} {direction:8} min {low * 1e3:9.3f} ms  median {middle * 1e3:9.3f} ms"
                f"  {min(plain) / low:6.1f}x by min {statistics.median(plain) / middle:6.1f}x by median"
                + (f"  {moved / 8 * copy / low:6.1%} of a copy" if name == "levels" else "")
                + f"  error {error:.1e}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("recurrence", nargs="*", default=[*ALL], help="levels, slstm")
    parser.add_argument("--sizes", nargs="+", metavar="B,T,D")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.recurrence:
        for size in options.sizes or ALL[name].sizes:
            batch, tokens, width = map(int, size.split(","))
            report(name, (batch, tokens, width), options.rounds, options.device)


if __name__ == "__main__":
    main()
