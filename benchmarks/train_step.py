# pyright: reportUnknownMemberType=false
# torch's stubs leave parts of from_numpy, backward and step untyped
"""The compiled train step against a hand-written PyTorch model of the same maths, interleaved.

    python benchmarks/train_step.py [--spec hrm] [--device cpu|cuda] [--rows 16] [--rounds 30] [--fast] [--write]

All start from the same weights and take the same 20 windows first; the script refuses to report a time unless their
parameters then agree: to 1e-6, or to 1e-3 under torch.compile, whose fused kernels round otherwise. It prints each
runner's median and minimum per step, on a CPU of the processor's time, and its ratio to the plain hand-written model,
one thread. On CUDA the compiled step is one CUDA graph; beside it stand the same step run eagerly and the hand-written
model under `torch.compile(mode="reduce-overhead")`. `--fast` adds torch.compile inside our graph (`optimize`).

Nothing is written by hand for a spec whose model recurs, hl_kernel or slstm: its step by generated kernels stands
beside its step by the emitted source alone, and `--write` puts both into results/kernels/.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from interleaved import Report
from torch import Tensor, nn
from torch.nn import functional as F

import hrmsearch as hs
from hrmsearch.ir import Lifetime
from hrmsearch.runtime import Carry, Pass
from hrmsearch.train import RunOptions, compile_for

WINDOW, DIM, HEADS, HIDDEN, VOCABULARY = 64, 64, 4, 256, 97
AGREE, AGREE_FUSED = 1e-6, 1e-3
FUSED = ("hand-written, reduce-overhead", "compiled, optimize", "generated kernels")
RECURRENT = ("hl_kernel", "slstm")
Windows = list[tuple[np.ndarray, np.ndarray]]
Runner = Callable[[np.ndarray, np.ndarray], None]


class Block(nn.Module):
    """Post-norm transformer block: causal attention with rotary positions, SwiGLU, RMSNorm with gain."""

    cos: Tensor
    sin: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.qkvo = nn.ParameterList([nn.Parameter(torch.empty(DIM, DIM)) for _ in range(4)])
        self.gate = nn.Parameter(torch.empty(DIM, HIDDEN))
        self.up = nn.Parameter(torch.empty(DIM, HIDDEN))
        self.down = nn.Parameter(torch.empty(HIDDEN, DIM))
        self.gains = nn.ParameterList([nn.Parameter(torch.ones(DIM)) for _ in range(2)])
        width = DIM // HEADS
        angles = torch.arange(WINDOW, dtype=torch.float64)[:, None] * 10000.0 ** (
            -torch.arange(0, width, 2, dtype=torch.float64) / width
        )
        angles = torch.cat([angles, angles], dim=1)
        self.register_buffer("cos", angles.cos().float())
        self.register_buffer("sin", angles.sin().float())

    def rotate(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * self.cos + torch.cat([-second, first], dim=-1) * self.sin

    def forward(self, x: Tensor) -> Tensor:
        rows, tokens, _ = x.shape
        q, k, v = ((x @ w).view(rows, tokens, HEADS, -1).transpose(1, 2) for w in list(self.qkvo)[:3])
        y = F.scaled_dot_product_attention(self.rotate(q), self.rotate(k), v, is_causal=True)
        y = y.transpose(1, 2).reshape(rows, tokens, DIM) @ self.qkvo[3]
        x = F.rms_norm(x + y, (DIM,), self.gains[0], 1e-6)
        y = (F.silu(x @ self.gate) * (x @ self.up)) @ self.down
        return F.rms_norm(x + y, (DIM,), self.gains[1], 1e-6)


def block_paths(block: Block, below: str) -> dict[str, nn.Parameter]:
    """Return a block's parameters by the paths of the compiled model."""
    found = {f"{below}.mixer.w_{name}": w for name, w in zip("qkvo", block.qkvo, strict=True)}
    found |= {f"{below}.ffn.w_{name}": getattr(block, name) for name in ("gate", "up", "down")}
    return found | {f"{below}.{name}_norm.gain": g for name, g in zip(("mixer", "ffn"), block.gains, strict=True)}


State = tuple[Tensor, ...]


class HandHrm(nn.Module):
    """HRM of experiment 1: two levels, sequential, one tick with gradient; the untrained q-head is computed too."""

    passes = 2

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(VOCABULARY, DIM))
        self.low, self.high = Block(), Block()
        self.start_low = nn.Parameter(torch.empty(WINDOW, DIM))
        self.start_high = nn.Parameter(torch.empty(WINDOW, DIM))
        self.head = nn.Parameter(torch.empty(DIM, VOCABULARY))
        self.q_head = nn.Parameter(torch.empty(DIM, 2))

    def forward(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State, Tensor]:
        e = self.table[tokens]
        z_low, z_high = state or (self.start_low.expand_as(e), self.start_high.expand_as(e))
        with torch.no_grad():
            z_low = self.low(z_low + z_high + e)
        z_low = self.low(z_low + z_high + e)
        z_high = self.high(z_high + z_low)
        return z_high @ self.head, (z_low, z_high), z_high.mean(dim=1) @ self.q_head

    def named(self) -> dict[str, nn.Parameter]:
        found = {"embed.table": self.table, "head.weight": self.head, "q_head.weight": self.q_head}
        for level, block, start in (("L", self.low, self.start_low), ("H", self.high, self.start_high)):
            found |= {f"start.{level}": start, **block_paths(block, f"core.levels.{level}.0")}
        return found


class HandTransformer(nn.Module):
    """One block; nothing is carried."""

    passes = 1

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(VOCABULARY, DIM))
        self.block = Block()
        self.head = nn.Parameter(torch.empty(DIM, VOCABULARY))

    def forward(self, tokens: Tensor, _state: State | None) -> tuple[Tensor, State, Tensor]:
        x = self.block(self.table[tokens])
        return x @ self.head, (), x

    def named(self) -> dict[str, nn.Parameter]:
        return {"embed.table": self.table, "head.weight": self.head, **block_paths(self.block, "core.levels.L.0")}


HANDS: dict[str, type[HandHrm] | type[HandTransformer]] = {"hrm": HandHrm, "transformer": HandTransformer}


class HandStep:
    """A window of passes: a loss, a clip and a fused AdamW step in each."""

    def __init__(self, spec: str, params: dict[str, np.ndarray], device: str, mode: str | None = None) -> None:
        self.model = HANDS[spec]().to(device)
        self.device = device
        with torch.no_grad():
            for path, parameter in self.model.named().items():
                parameter.copy_(torch.from_numpy(params[path]))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
        self.run: Callable[..., tuple[Tensor, State, Tensor]] = self.model
        if mode is not None:
            self.run = torch.compile(self.model, mode=mode)

    def __call__(self, tokens: np.ndarray, targets: np.ndarray) -> None:
        x, y = (torch.from_numpy(array).long().to(self.device) for array in (tokens, targets))
        state: State | None = None
        for _ in range(self.model.passes):
            torch.compiler.cudagraph_mark_step_begin()
            logits, state, _ = self.run(x, state)
            loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            loss.item()
            # a compiled model writes its next outputs to the same memory
            state = tuple(z.detach().clone() for z in state)

    def params(self) -> dict[str, np.ndarray]:
        return {path: parameter.detach().cpu().numpy() for path, parameter in self.model.named().items()}


class CompiledStep:
    """The same through hrmsearch."""

    def __init__(
        self, spec: str, device: str, *, capture: bool = True, optimize: bool = False, kernels: bool = True
    ) -> None:
        loaded = hs.load(spec)
        graph = hs.lower(loaded)
        options = RunOptions(device=device, optimize=optimize, capture=capture, kernels=kernels)
        self.passes = graph.nest.passes
        self.executable = compile_for(loaded, graph, options)
        self.executable.init(0)

    def __call__(self, tokens: np.ndarray, targets: np.ndarray) -> None:
        carry: Carry = self.executable.init_carry(*tokens.shape)
        for i in range(self.passes):
            inputs = {"tokens": tokens, "targets": targets}
            reset = Lifetime.STREAM if i == 0 else Lifetime.PASS
            carry = self.executable.train_step([Pass(inputs, int(reset), i == self.passes - 1)], carry, 1e-3)[0].carry

    def params(self) -> dict[str, np.ndarray]:
        return self.executable.params


def batches(n: int, rows: int) -> Windows:
    """Return random windows of tokens and targets, i32[B, W]."""
    rng = np.random.default_rng(0)
    return [tuple(rng.integers(0, VOCABULARY, (2, rows, WINDOW), dtype=np.int32)) for _ in range(n)]


def runners_for(spec: str, device: str, fast: bool) -> dict[str, HandStep | CompiledStep]:
    """Return what is compared, by name, the yardstick first; all hold the same weights."""
    if spec in RECURRENT:
        return {"emitted source": CompiledStep(spec, device, kernels=False), FUSED[2]: CompiledStep(spec, device)}
    compiled = CompiledStep(spec, device)
    params = compiled.params()
    found: dict[str, HandStep | CompiledStep] = {"hand-written": HandStep(spec, params, device), "compiled": compiled}
    if device != "cpu":
        found["compiled, not captured"] = CompiledStep(spec, device, capture=False)
        found[FUSED[0]] = HandStep(spec, params, device, mode="reduce-overhead")
    if fast:
        found[FUSED[1]] = CompiledStep(spec, device, optimize=True)
    return found


def check(runners: dict[str, HandStep | CompiledStep], data: Windows) -> None:
    """Run all on the same windows; raise SystemExit where their parameters then differ."""
    for runner in runners.values():
        for tokens, targets in data:
            runner(tokens, targets)
    expected = next(iter(runners.values())).params()
    for name, runner in runners.items():
        found = runner.params()
        worst = max(float(np.abs(found[path] - value).max()) for path, value in expected.items())
        print(f"{name:30} largest difference of a parameter after {len(data)} windows: {worst:.1e}")
        limit = AGREE_FUSED if name in FUSED else AGREE
        if worst > limit:
            raise SystemExit(f"the models differ by more than {limit:.0e}: no times are reported")


def main() -> None:
    """Check that all agree, then time them in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--spec", choices=[*HANDS, *RECURRENT], default="hrm")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--write", action="store_true", help="replace this device's results of a spec that recurs")
    args = parser.parse_args()
    torch.set_num_threads(1)
    runners, data = runners_for(args.spec, args.device, args.fast), batches(20, args.rows)
    check(runners, data)
    # others may be busy on this machine's processors, but not within this process
    clock = time.process_time if args.device == "cpu" else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in runners}
    steps = 5 * hs.lower(hs.load(args.spec)).nest.passes
    for i in range(args.rounds):
        # the order alternates, so that none always runs on a warmer cache
        for name in sorted(runners, reverse=bool(i % 2)):
            begin = clock()
            for tokens, targets in data[:5]:
                runners[name](tokens, targets)
            times[name].append((clock() - begin) / steps)
    first, plain = next(iter(times.items()))
    head = f"Train step of `{args.spec}`, B={args.rows} T={WINDOW}"
    print(f"{head}, {args.device}, torch {torch.__version__}, one thread; ms per step")
    rows = [["", "min", "median", "times as fast by min", "by median", "steps per second"], [":---", *["---:"] * 5]]
    for name, values in times.items():
        ratio = statistics.median(values) / statistics.median(plain), min(values) / min(plain)
        least, middle = f"{min(values) * 1e3:.3f}", f"{statistics.median(values) * 1e3:.3f}"
        print(f"{name:30} median {middle:>8}  min {least:>8}  to {first}: median {ratio[0]:.3f}, min {ratio[1]:.3f}")
        rows.append([name, least, middle, f"{1 / ratio[1]:.2f}", f"{1 / ratio[0]:.2f}", f"{1 / min(values):.0f}"])
    if args.write:
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        Report(pages=[f"{head}\n\n{table}"]).save(args.device, f"train_step {args.spec}")


if __name__ == "__main__":
    main()
