# tinygrad's tensors are partly unannotated
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false
"""`transformer` and `hrm` in tinygrad by hand: the same maths as the compiled specs, in as few lines as it takes.

Sizes are those of the parameters given. A step is one TinyJit program: forward, gradient, clip and AdamW.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tinygrad import Context, Tensor, TinyJit, dtypes, nn
from tinygrad.nn.optim import AdamW, Optimizer, OptimizerGroup

from hrmsearch_tinygrad.kernels import launches

Params = Mapping[str, NDArray[Any]]
Window = tuple[NDArray[np.int32], NDArray[np.int32]]

HEADS = 4


def rotary(tokens: int, width: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, [T, K], of the angles position * 10000^(-2i / K), for both halves."""
    angles = np.outer(np.arange(tokens), 10000.0 ** (-np.arange(0, width, 2) / width))
    angles = np.concatenate([angles, angles], axis=1)
    cos, sin = (Tensor(f(angles), dtype=dtypes.float32).is_param_(False) for f in (np.cos, np.sin))
    return cos, sin


class Block:
    """Post-norm transformer block: causal attention with rotary positions, SwiGLU, RMSNorm with gain."""

    def __init__(self, params: Params, below: str, tokens: int) -> None:
        def weight(name: str) -> Tensor:
            return Tensor(params[f"{below}.{name}"], dtype=dtypes.float32)

        self.w_q, self.w_k, self.w_v, self.w_o = (weight(f"mixer.w_{name}") for name in "qkvo")
        self.gate, self.up, self.down = (weight(f"ffn.w_{name}") for name in ("gate", "up", "down"))
        dim = len(params[f"{below}.mixer.w_q"])
        self.norms = [nn.RMSNorm(dim), nn.RMSNorm(dim)]
        self.gains = [weight(f"{name}_norm.gain") for name in ("mixer", "ffn")]
        for norm, gain in zip(self.norms, self.gains, strict=True):
            norm.weight = gain
        self.cos, self.sin = rotary(tokens, dim // HEADS)

    def rotate(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * self.cos + (-second).cat(first, dim=-1) * self.sin

    def __call__(self, x: Tensor) -> Tensor:
        rows, tokens, dim = x.shape
        q, k, v = ((x @ w).reshape(rows, tokens, HEADS, -1).transpose(1, 2) for w in (self.w_q, self.w_k, self.w_v))
        y = self.rotate(q).scaled_dot_product_attention(self.rotate(k), v, is_causal=True)
        x = self.norms[0](x + y.transpose(1, 2).reshape(rows, tokens, dim) @ self.w_o)
        return self.norms[1](x + ((x @ self.gate).silu() * (x @ self.up)) @ self.down)

    def named(self, below: str) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {f"{below}.mixer.w_{n}": getattr(self, f"w_{n}") for n in "qkvo"}
        found |= {f"{below}.ffn.w_{n}": getattr(self, n) for n in ("gate", "up", "down")}
        return found | {f"{below}.{n}_norm.gain": gain for n, gain in zip(("mixer", "ffn"), self.gains, strict=True)}


class Model(ABC):
    """What both models share: an embedding, levels, a head, and the step that trains them."""

    passes: int
    levels: Sequence[str]

    def __init__(self, params: Params, tokens: int) -> None:
        table = params["embed.table"]
        self.embed = nn.Embedding(*table.shape)
        self.embed.weight = Tensor(table, dtype=dtypes.float32)
        self.blocks = {name: Block(params, f"core.levels.{name}.0", tokens) for name in self.levels}
        self.head = Tensor(params["head.weight"], dtype=dtypes.float32)

    def named(self) -> dict[str, Tensor]:
        """Return the trained parameters by the paths of the compiled model."""
        found = {"embed.table": self.embed.weight, "head.weight": self.head}
        for name, block in self.blocks.items():
            found |= block.named(f"core.levels.{name}.0")
        return found

    def optimizers(self, lr: float) -> list[Optimizer]:
        """Return what steps in each pass; a parameter without gradient in a pass is not in that pass's."""
        return [AdamW(list(self.named().values()), lr=lr, weight_decay=0.01)] * self.passes

    @abstractmethod
    def start(self, tokens: Tensor) -> list[Tensor]:
        """Return the state that a window starts with."""

    @abstractmethod
    def __call__(self, tokens: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return the logits and the state after a pass."""


class Transformer(Model):
    """One block."""

    passes = 1
    levels = ("L",)

    def start(self, tokens: Tensor) -> list[Tensor]:
        return []

    def __call__(self, tokens: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        return self.blocks["L"](self.embed(tokens)) @ self.head, state


class HRM(Model):
    """HRM of experiment 1: two levels, sequential, one tick with gradient, learned starts; two passes.

    z_L's start is read by the tick without gradient only, so it stays what it is. The untrained q-head is left out:
    tinygrad computes only what is asked for.
    """

    passes = 2
    levels = ("L", "H")

    def __init__(self, params: Params, tokens: int) -> None:
        super().__init__(params, tokens)
        self.starts = [Tensor(params[f"start.{name}"], dtype=dtypes.float32) for name in self.levels]

    def named(self) -> dict[str, Tensor]:
        return super().named() | {"start.H": self.starts[1]}

    def optimizers(self, lr: float) -> list[Optimizer]:
        start = AdamW([self.starts[1]], lr=lr, weight_decay=0.01)
        rest = AdamW(list(super().named().values()), lr=lr, weight_decay=0.01)
        return [OptimizerGroup(rest, start), rest]

    def start(self, tokens: Tensor) -> list[Tensor]:
        return [start.expand(tokens.shape[0], *start.shape) for start in self.starts]

    def __call__(self, tokens: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        e, (low, high) = self.embed(tokens), state
        low = self.blocks["L"](low + high + e).detach()
        low = self.blocks["L"](low + high + e)
        high = self.blocks["H"](high + low)
        return high @ self.head, [low.detach(), high.detach()]


MODELS: dict[str, type[Model]] = {"transformer": Transformer, "hrm": HRM}


class Trainer:
    """Trains a model on windows: in each pass a loss, a clip and a step."""

    def __init__(self, model: Model, lr: float, clip: float) -> None:
        self.model, self.clip = model, clip
        self.optimizers = model.optimizers(lr)
        self.first, self.later = TinyJit(self._first), TinyJit(self._later)

    def __call__(self, tokens: NDArray[np.int32], targets: NDArray[np.int32]) -> list[float]:
        """Return the loss of every pass."""
        window = [Tensor(tokens).realize(), Tensor(targets).realize()]
        loss, *state = self.first(*window)
        losses = [loss.item()]
        for _ in range(1, self.model.passes):
            loss, *state = self.later(*window, *state)
            losses.append(loss.item())
        return losses

    def launches(self) -> list[int]:
        """Return how many kernels each pass of a window launches, once it was captured."""
        return [launches(jit) for jit in (self.first, self.later)[: self.model.passes]]

    def _first(self, tokens: Tensor, targets: Tensor) -> list[Tensor]:
        return self._step(self.optimizers[0], tokens, targets, self.model.start(tokens))

    def _later(self, tokens: Tensor, targets: Tensor, *state: Tensor) -> list[Tensor]:
        return self._step(self.optimizers[1], tokens, targets, list(state))

    @Context(TRAINING=1)
    def _step(self, optimizer: Optimizer, tokens: Tensor, targets: Tensor, state: list[Tensor]) -> list[Tensor]:
        logits, state = self.model(tokens, state)
        loss = logits.sparse_categorical_crossentropy(targets)
        grads = loss.gradient(*optimizer.params)
        norm = Tensor.stack(*(grad.square().sum() for grad in grads)).sum().sqrt()
        # contiguous: computed once, not again in the kernel of every parameter
        scale = (self.clip / (norm + 1e-6)).minimum(1.0).contiguous()
        for param, grad in zip(optimizer.params, grads, strict=True):
            param.grad = grad * scale
        Tensor.realize(loss, *state, *optimizer.schedule_step())
        return [loss, *state]
