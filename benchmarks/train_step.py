# pyright: reportUnknownMemberType=false
# torch's stubs leave parts of from_numpy, backward and step untyped
"""The compiled `hrm` train step against a hand-written PyTorch model of the same maths, interleaved.

    python benchmarks/train_step.py [--device cpu] [--rounds 30]

Both start from the same weights and take the same 20 steps first; the script refuses to report a time unless their
parameters then agree to 1e-6. It prints the ratio of medians and of minima (compiled / hand-written), one thread.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import hrmsearch as hs
from hrmsearch.ir import Lifetime
from hrmsearch.runtime import Carry, Pass
from hrmsearch.train import RunOptions, compile_for

ROWS, WINDOW, DIM, HEADS, HIDDEN, VOCABULARY = 16, 64, 64, 4, 256, 97
AGREE = 1e-6


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


class HandWritten(nn.Module):
    """HRM of experiment 1: two levels, sequential, one tick with gradient; the untrained q-head is computed too."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(VOCABULARY, DIM))
        self.low, self.high = Block(), Block()
        self.start_low = nn.Parameter(torch.empty(WINDOW, DIM))
        self.start_high = nn.Parameter(torch.empty(WINDOW, DIM))
        self.head = nn.Parameter(torch.empty(DIM, VOCABULARY))
        self.q_head = nn.Parameter(torch.empty(DIM, 2))

    def forward(self, tokens: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        e = self.table[tokens]
        z_low, z_high = state or (self.start_low.expand_as(e), self.start_high.expand_as(e))
        with torch.no_grad():
            z_low = self.low(z_low + z_high + e)
        z_low = self.low(z_low + z_high + e)
        z_high = self.high(z_high + z_low)
        self.q = z_high.mean(dim=1) @ self.q_head
        return z_high @ self.head, (z_low, z_high)

    def named(self) -> dict[str, nn.Parameter]:
        """Return the parameters by the paths of the compiled model."""
        found = {"embed.table": self.table, "head.weight": self.head, "q_head.weight": self.q_head}
        for level, block, start in (("L", self.low, self.start_low), ("H", self.high, self.start_high)):
            below = f"core.levels.{level}.0"
            found[f"start.{level}"] = start
            found |= {f"{below}.mixer.w_{name}": w for name, w in zip("qkvo", block.qkvo, strict=True)}
            found |= {f"{below}.ffn.w_{name}": getattr(block, name) for name in ("gate", "up", "down")}
            found |= {f"{below}.{name}_norm.gain": g for name, g in zip(("mixer", "ffn"), block.gains, strict=True)}
        return found


class HandStep:
    """A window of two passes: a loss, a clip and a fused AdamW step in each."""

    def __init__(self, params: dict[str, np.ndarray], device: str) -> None:
        self.model = HandWritten().to(device)
        with torch.no_grad():
            for path, parameter in self.model.named().items():
                parameter.copy_(torch.from_numpy(params[path]))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)

    def __call__(self, tokens: Tensor, targets: Tensor) -> None:
        state = None
        for _ in range(2):
            logits, state = self.model(tokens, state)
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            loss.item()
            state = (state[0].detach(), state[1].detach())


def batches(n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return random windows of tokens and targets, i32[B, W]."""
    rng = np.random.default_rng(0)
    return [tuple(rng.integers(0, VOCABULARY, (2, ROWS, WINDOW), dtype=np.int32)) for _ in range(n)]


def main() -> None:
    """Check that both agree, then time them in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    torch.set_num_threads(1)

    spec = hs.load("hrm")
    compiled = compile_for(spec, hs.lower(spec), RunOptions(device=args.device))
    compiled.init(0)
    hand = HandStep({path: value.astype(np.float32) for path, value in compiled.params.items()}, args.device)

    def step(tokens: np.ndarray, targets: np.ndarray) -> None:
        carry: Carry = compiled.init_carry(ROWS, WINDOW)
        for i in range(2):
            inputs = {"tokens": tokens, "targets": targets}
            call = Pass(inputs, Lifetime.WINDOW if i == 0 else Lifetime.NONE, last=i == 1)
            carry = compiled.train_step([call], carry, 1e-3)[0].carry

    def hand_step(tokens: np.ndarray, targets: np.ndarray) -> None:
        hand(torch.from_numpy(tokens).long().to(args.device), torch.from_numpy(targets).long().to(args.device))

    data = batches(20)
    for tokens, targets in data:
        step(tokens, targets)
        hand_step(tokens, targets)
    worst = max(
        float(np.abs(compiled.params[path] - parameter.detach().cpu().numpy()).max())
        for path, parameter in hand.model.named().items()
    )
    print(f"largest difference of a parameter after {len(data)} windows of 2 steps: {worst:.1e}")
    if worst > AGREE:
        raise SystemExit(f"the models differ by more than {AGREE:.0e}: no times are reported")

    times: dict[str, list[float]] = {"compiled": [], "hand-written": []}
    runners: dict[str, Callable[[np.ndarray, np.ndarray], None]] = {"compiled": step, "hand-written": hand_step}
    for i in range(args.rounds):
        # the order alternates, so that neither always runs on a warmer cache
        for name in sorted(runners, reverse=bool(i % 2)):
            begin = time.perf_counter()
            for tokens, targets in data[:5]:
                runners[name](tokens, targets)
            times[name].append((time.perf_counter() - begin) / 10)
    for name, values in times.items():
        print(f"{name:13} median {statistics.median(values) * 1e3:7.2f} ms  min {min(values) * 1e3:7.2f} ms per step")
    ratios = [statistics.median(times["compiled"]) / statistics.median(times["hand-written"])]
    ratios.append(min(times["compiled"]) / min(times["hand-written"]))
    print(f"compiled / hand-written: median {ratios[0]:.3f}, min {ratios[1]:.3f} ({args.device}, one thread)")


if __name__ == "__main__":
    main()
