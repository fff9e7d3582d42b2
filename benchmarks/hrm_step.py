# pyright: reportUnknownMemberType=false
# torch's stubs leave parts of from_numpy, backward and step untyped
"""The train step of HRM ACT v1 against the same maths hand-written in PyTorch, interleaved.

    python benchmarks/hrm_step.py [--device cpu|cuda] [--rows 384] [--rounds 20] [--write]
    python benchmarks/hrm_step.py --device cuda --memory
    python benchmarks/hrm_step.py --device cuda --profile

On CUDA the configuration is the published one for Sudoku: 27,275,266 parameters in bfloat16, 16 passes, a second
forward for the bootstrapped target, Adam-atan2, SignSGD for the table. On a CPU it is small and in float32, which shows
that the script is right, and no more. The hand-written model keeps the published shape: q, k and v in one matrix, gate
and up in one matrix, attention by SDPA, model and optimiser under `torch.compile`.

All start from the same weights and take the same steps first; the script refuses to report a time unless their losses
agree, to 1e-3 of the first one in float32 and 2e-2 in bfloat16: first steps of Adam are signs, which rounding can turn.
It prints milliseconds per step and ratios. `--memory` takes a few steps of the compiled model alone and prints the most
memory that CUDA reserved for it. `--profile` prints what kernels take the time of the first and of the last.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from interleaved import about
from torch import Tensor, nn
from torch.nn import functional as F

import hrmsearch as hs
from hrmsearch.files import write
from hrmsearch.interop.hrm import to_published
from hrmsearch.ir import Lifetime
from hrmsearch.runtime import Array, Pass
from hrmsearch.spec.model import Spec
from hrmsearch.train import RunOptions, compile_for

PAGE = Path(__file__).parents[1] / "results" / "hrm_step"
LR, DECAY, BETAS = 1e-4, 1.0, (0.9, 0.95)
AGREE = {torch.float32: 1e-3, torch.bfloat16: 2e-2}
#: what a CPU runs
SMALL = ("model.dim=64", "model.memory[0].width=64", "train.precision=float32")
#: the steps that are compared
CHECKED = 8


class Layer(nn.Module):
    """Post-norm transformer block as published: fused projections, RMSNorm without gain, no biases."""

    def __init__(self, dim: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Parameter(torch.empty(3 * dim, dim)), nn.Parameter(torch.empty(dim, dim))
        self.gate_up, self.down = nn.Parameter(torch.empty(2 * inner, dim)), nn.Parameter(torch.empty(dim, inner))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        def rotated(y: Tensor) -> Tensor:
            first, second = y.chunk(2, -1)
            return y * cos + torch.cat((-second, first), -1) * sin

        fused = F.linear(x, self.qkv.to(x.dtype)).view(*x.shape[:2], 3, self.heads, -1)
        q, k, v = fused.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(rotated(q), rotated(k), v).transpose(1, 2).flatten(2)
        x = normed(x + F.linear(mixed, self.out.to(x.dtype)))
        gate, up = F.linear(x, self.gate_up.to(x.dtype)).chunk(2, -1)
        return normed(x + F.linear(F.silu(gate) * up, self.down.to(x.dtype)))


def normed(x: Tensor) -> Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-5)).to(x.dtype)


class HandModel(nn.Module):
    """One pass of HRM ACT v1 and its loss, under the published names as `to_published` gives them."""

    def __init__(self, published: Mapping[str, Array], heads: int, positions: int, dtype: torch.dtype) -> None:
        super().__init__()
        weights = {name.removeprefix("inner."): torch.from_numpy(value).clone() for name, value in published.items()}
        self.dtype, self.dim = dtype, weights["L_init"].shape[0]
        self.table = nn.Parameter(weights["puzzle_emb.weights"])
        self.tokens, self.head = (nn.Parameter(weights[f"{name}"]) for name in (EMBEDDING, "lm_head.weight"))
        self.q_weight, self.q_bias = (nn.Parameter(weights[f"q_head.{name}"]) for name in ("weight", "bias"))
        self.starts = nn.ParameterList([nn.Parameter(weights[f"{level}_init"], False) for level in "LH"])
        self.low, self.high = (self.level(name, weights, heads) for name in "LH")
        width = self.dim // heads
        angles = torch.outer(torch.arange(positions).double(), 1e4 ** (-torch.arange(0, width, 2).double() / width))
        angles = torch.cat((angles, angles), -1)
        self.register_buffer("cos", angles.cos().to(dtype))
        self.register_buffer("sin", angles.sin().to(dtype))

    def level(self, name: str, weights: Mapping[str, Tensor], heads: int) -> nn.ModuleList:
        layers, i = nn.ModuleList(), 0
        while (below := f"{name}_level.layers.{i}.") + "mlp.down_proj.weight" in weights:
            layer = Layer(self.dim, heads, weights[below + "mlp.down_proj.weight"].shape[1])
            with torch.no_grad():
                for parameter, place in zip(layer.parameters(), PLACES, strict=True):
                    parameter.copy_(weights[below + place])
            layers.append(layer)
            i += 1
        return layers

    def tick(self, layers: nn.ModuleList, x: Tensor) -> Tensor:
        for layer in layers:
            x = layer(x, self.cos, self.sin)
        return x

    def ticks(self, e: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            low = self.tick(self.low, low + high + e)
            low = self.tick(self.low, low + high + e)
            high = self.tick(self.high, high + low)
            low = self.tick(self.low, low + high + e)
        low = self.tick(self.low, low + high + e)
        return low, self.tick(self.high, high + low)

    def q(self, high: Tensor) -> tuple[Tensor, Tensor]:
        found = F.linear(high[:, 0], self.q_weight.to(high.dtype), self.q_bias.to(high.dtype)).float()
        return found[:, 0], found[:, 1]

    def forward(
        self, x: Tensor, y: Tensor, keys: Tensor, fresh: Tensor, final: Tensor, low: Tensor, high: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        row = F.embedding(keys, self.table).to(self.dtype).view(len(keys), -1, self.dim)
        e = self.dim**0.5 * torch.cat((row, F.embedding(x, self.tokens).to(self.dtype)), 1)
        started = fresh[:, None, None]
        low, high = (
            torch.where(started, start.to(self.dtype), z) for start, z in zip(self.starts, (low, high), strict=True)
        )
        low, high = self.ticks(e, low, high)
        logits = F.linear(high[:, row.shape[1] :], self.head.to(self.dtype))
        halt, proceed = self.q(high)
        with torch.no_grad():
            next_halt, next_proceed = self.q(self.ticks(e, low, high)[1])
            target = torch.sigmoid(torch.where(final, next_halt, torch.maximum(next_halt, next_proceed)))
            right = ((logits.argmax(-1) == y) | (y == -100)).all(-1).float()
        q_loss = bce(halt, right) + bce(proceed, target)
        return (stablemax(logits, y) + 0.5 * q_loss).mean(), low.detach(), high.detach()


EMBEDDING = "embed_tokens.embedding_weight"
PLACES = (
    "self_attn.qkv_proj.weight",
    "self_attn.o_proj.weight",
    "mlp.gate_up_proj.weight",
    "mlp.down_proj.weight",
)


def bce(logits: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


def stablemax(logits: Tensor, targets: Tensor) -> Tensor:
    """Return each row's mean over its targets."""
    x = logits.float()
    s = torch.where(x < 0, 1 / (1 - x.clamp(max=0)), x + 1)
    asked = targets != -100
    picked = s.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    nll = torch.where(asked, s.sum(-1).log() - picked.log(), 0.0)
    return nll.sum(-1) / asked.sum(-1).clamp(min=1)


Batch = tuple[Array, Array, Array, Array, Array]


class HandStep:
    """The published optimisation: Adam-atan2 for weights, sign descent for rows of the table that occurred."""

    def __init__(self, model: HandModel, device: str, *, fused: bool) -> None:
        self.model, self.device = model.to(device), device
        self.weights = [p for name, p in self.model.named_parameters() if p.requires_grad and name != "table"]
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.weights]
        self.taken = torch.zeros((), device=device)
        self.run: Callable[..., tuple[Tensor, Tensor, Tensor]] = torch.compile(self.model) if fused else self.model
        self.move: Callable[[Tensor], None] = torch.compile(self.moved) if fused else self.moved
        self.carry: tuple[Tensor, Tensor] | None = None

    def __call__(self, batch: Batch) -> float:
        x, y, keys, fresh, final = (torch.from_numpy(array).to(self.device) for array in batch)
        if self.carry is None:
            positions = x.shape[1] + self.model.table.shape[1] // self.model.dim
            zeros = torch.zeros(len(x), positions, self.model.dim, dtype=self.model.dtype, device=self.device)
            self.carry = zeros, zeros
        loss, *carry = self.run(x.long(), y.long(), keys.long(), fresh, final, *self.carry)
        self.carry = carry[0], carry[1]
        loss.backward()
        self.move(keys.long())
        for parameter in self.model.parameters():
            parameter.grad = None
        return float(loss.detach())

    @torch.no_grad()
    def moved(self, keys: Tensor) -> None:
        self.taken += 1
        first, second = (1 - torch.pow(beta, self.taken) for beta in BETAS)
        for p, (m, v) in zip(self.weights, self.moments, strict=True):
            assert p.grad is not None
            m.lerp_(p.grad, 1 - BETAS[0])
            v.lerp_(p.grad.square(), 1 - BETAS[1])
            p.mul_(1 - LR * DECAY).sub_(LR / first * torch.atan2(m, (v / second).sqrt()))
        table = self.model.table
        assert table.grad is not None
        occurred = torch.zeros(len(table), 1, dtype=torch.bool, device=table.device).index_fill(0, keys, True)
        table.copy_(torch.where(occurred, table * (1 - LR * DECAY) - LR * table.grad.sign(), table))


class CompiledStep:
    """The same through hrmsearch."""

    def __init__(self, spec: Spec, device: str, *, optimize: bool) -> None:
        self.executable = compile_for(spec, hs.lower(spec), RunOptions(device=device, optimize=optimize))
        self.executable.init(0)
        self.carry = None

    def __call__(self, batch: Batch) -> float:
        x, y, keys, fresh, final = batch
        self.carry = self.carry or self.executable.init_carry(*x.shape)
        reset = np.where(fresh, Lifetime.WINDOW, Lifetime.PASS).astype(np.int8)
        call = Pass({"tokens": x, "targets": y, "puzzle": keys, "final": final}, reset)
        result, _ = self.executable.train_step([call], self.carry, LR)
        self.carry = result.carry
        return result.losses[0]


Step = HandStep | CompiledStep


def batches(rows: int) -> Iterator[Batch]:
    """Yield random puzzles; about a tenth of the rows start anew, as many are in their last pass."""
    rng = np.random.default_rng(0)
    fresh = np.ones(rows, np.bool_)
    while True:
        x, y = rng.integers(1, 11, (2, rows, 81), dtype=np.int32)
        yield x, y, np.zeros(rows, np.int32), fresh, rng.random(rows) < 0.1
        fresh = rng.random(rows) < 0.1


def steps_for(spec: Spec, device: str) -> dict[str, Step]:
    """Return what is compared, by name, the yardstick first; all hold the same weights."""
    compiled = CompiledStep(spec, device, optimize=False)
    params = to_published(compiled.executable.params)
    dtype = torch.bfloat16 if spec.train.precision == "bfloat16" else torch.float32
    width = spec.model.dim // 64 * 8 if device == "cpu" else 8

    def by_hand() -> HandModel:
        return HandModel(params, width, 82, dtype)

    found: dict[str, Step] = {"hand-written, torch.compile": HandStep(by_hand(), device, fused=True)}
    found |= {"hand-written, eager": HandStep(by_hand(), device, fused=False), "compiled": compiled}
    return found | {"compiled, optimize": CompiledStep(spec, device, optimize=True)}


def check(steps: Mapping[str, Step], data: list[Batch], within: float) -> None:
    """Run all on the same batches; raise SystemExit where a loss is not that of the first."""
    expected: list[float] = []
    for name, step in steps.items():
        losses = [step(batch) for batch in data]
        expected = expected or losses
        worst = max(abs(a - b) / abs(b) for a, b in zip(losses, expected, strict=True))
        print(f"{name:30} losses {losses[0]:.4f} to {losses[-1]:.4f}, off by {worst:.1e}", flush=True)
        if not worst <= within:
            raise SystemExit(f"losses differ by more than {within:.0e}: no times are reported")


def timed(step: Step, data: list[Batch], device: str) -> float:
    """Return milliseconds per step."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    begin = clock()
    for batch in data:
        step(batch)
    return 1e3 * (clock() - begin) / len(data)


def profiled(name: str, step: Step, data: list[Batch]) -> None:
    """Print the kernels of a few steps, those that take longest first."""
    timed(step, data, "cuda")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        timed(step, data, "cuda")
        torch.cuda.synchronize()
    averages: Any = profile.key_averages()
    found: list[tuple[float, float, str]] = [
        (one.self_device_time_total / 1e3 / len(data), one.count / len(data), one.key) for one in averages
    ]
    print(f"{name}: {sum(one[0] for one in found):.2f} ms of kernels a step")
    for milliseconds, times, kernel in sorted(found, reverse=True)[:30]:
        print(f"  {milliseconds:7.3f} ms {times:7.1f} x {kernel[:110]}", flush=True)


def main() -> None:
    """Check that all agree, then time them in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--memory", action="store_true", help="print what the compiled step takes on CUDA")
    parser.add_argument("--profile", action="store_true", help="print the time of kernels on CUDA")
    parser.add_argument("--write", action="store_true", help="replace the page of this device under results/")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = args.rows or (4 if args.device == "cpu" else 384)
    spec = hs.load("hrm_act_v1", [*(SMALL if args.device == "cpu" else ()), f"train.batch={rows}"])
    stream = batches(rows)
    data = [next(stream) for _ in range(CHECKED)]
    title = f"B={rows}, {spec.train.precision}"
    if args.memory:
        timed(CompiledStep(spec, args.device, optimize=False), data, args.device)
        print(f"{title}: {torch.cuda.max_memory_reserved() / 2**30:.1f} GiB")
        return
    steps = steps_for(spec, args.device)
    if args.profile:
        for name in (next(iter(steps)), next(reversed(steps))):
            profiled(name, steps[name], data)
        return
    check(steps, data, AGREE[torch.bfloat16 if spec.train.precision == "bfloat16" else torch.float32])
    times: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(args.rounds):
        # the order alternates, so that none always runs on a warmer cache
        for name in sorted(steps, reverse=bool(i % 2)):
            times[name].append(timed(steps[name], data[1:5], args.device))
    report(times, title, args.device, args.write)


def report(times: Mapping[str, list[float]], title: str, device: str, keep: bool) -> None:
    """Print the table, and keep it if asked to."""
    lines = ["|  | min ms | median ms | to the first, by min | by median |", "|:---|---:|---:|---:|---:|"]
    first = next(iter(times.values()))
    for name, mine in times.items():
        ratios = min(mine) / min(first), statistics.median(mine) / statistics.median(first)
        lines.append(
            f"| {name} | {min(mine):.2f} | {statistics.median(mine):.2f} | {ratios[0]:.3f} | {ratios[1]:.3f} |"
        )
    page = f"# Train step of HRM ACT v1\n\n{title}; {about(device)}.\n\n" + "\n".join(lines) + "\n"
    print(page)
    if keep:
        PAGE.mkdir(parents=True, exist_ok=True)
        write(PAGE / f"{device}.md", page)


if __name__ == "__main__":
    main()
