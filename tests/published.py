"""HRM ACT v1 and TRM written out once more, from their papers' equations, in float64: what specs are held to.

It shares no code with hrmsearch: torch alone, published names, one function per equation. `told` gives what the files
of the published code's own numbers hold, for any configuration.
"""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]
Data = dict[str, Array]
Config = Mapping[str, Any]
IGNORED = -100
STEPS, ROWS = 5, 3

HRM: Config = {
    "seq_len": 16,
    "vocab_size": 11,
    "num_puzzle_identifiers": 7,
    "H_cycles": 2,
    "L_cycles": 2,
    "H_layers": 1,
    "L_layers": 1,
    "hidden_size": 32,
    "expansion": 4.0,
    "num_heads": 2,
    "halt_max_steps": 3,
    "halt_exploration_prob": 0.0,
    "pos_encodings": "rope",
    "puzzle_emb_ndim": 32,
}
TRM: Config = HRM | {"L_layers": 2, "no_ACT_continue": True, "puzzle_emb_len": 4, "mlp_t": False}
CONFIGS: Mapping[str, Config] = {
    "hrm learned": HRM | {"pos_encodings": "learned"},
    "hrm learned, padded rows": HRM | {"pos_encodings": "learned", "puzzle_emb_ndim": 48},
    "hrm no puzzles, layers": HRM | {"puzzle_emb_ndim": 0, "H_layers": 2, "L_layers": 3, "H_cycles": 3, "L_cycles": 1},
    "hrm explores": HRM | {"halt_exploration_prob": 0.5, "halt_max_steps": 4},
    "trm mlp": TRM | {"mlp_t": True, "pos_encodings": "none", "L_cycles": 3, "H_cycles": 3},
    "trm mlp, learned, no puzzles": TRM
    | {"mlp_t": True, "pos_encodings": "learned", "puzzle_emb_ndim": 0, "puzzle_emb_len": 0},
    "trm learned": TRM | {"pos_encodings": "learned", "puzzle_emb_ndim": 0, "puzzle_emb_len": 0},
    "trm explores": TRM | {"halt_exploration_prob": 0.5, "halt_max_steps": 4, "puzzle_emb_len": 0},
}


def is_trm(config: Config) -> bool:
    return "mlp_t" in config


def prefix(config: Config) -> int:
    """Rows before the tokens."""
    return config.get("puzzle_emb_len") or -(-config["puzzle_emb_ndim"] // config["hidden_size"])


def wide(config: Config, size: int) -> int:
    return -(-round(config["expansion"] * size * 2 / 3) // 256) * 256


def shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Return the arrays of a published state by name."""
    d, c, length = config["hidden_size"], config["vocab_size"], config["seq_len"] + prefix(config)
    found: dict[str, tuple[int, ...]] = {"H_init": (d,), "L_init": (d,), "embed_tokens.embedding_weight": (c, d)}
    found |= {"lm_head.weight": (c, d), "q_head.weight": (2, d), "q_head.bias": (2,)}
    if config["puzzle_emb_ndim"]:
        found["puzzle_emb.weights"] = (config["num_puzzle_identifiers"], config["puzzle_emb_ndim"])
    if config["pos_encodings"] == "learned":
        found["embed_pos.embedding_weight"] = (length, d)
    layers = {"L": config["L_layers"]} | ({} if is_trm(config) else {"H": config["H_layers"]})
    for at in (f"{level}_level.layers.{i}" for level, count in layers.items() for i in range(count)):
        if config.get("mlp_t"):
            over = wide(config, length)
            found |= {f"{at}.mlp_t.gate_up_proj.weight": (2 * over, length)}
            found |= {f"{at}.mlp_t.down_proj.weight": (length, over)}
        else:
            found |= {f"{at}.self_attn.qkv_proj.weight": (3 * d, d), f"{at}.self_attn.o_proj.weight": (d, d)}
        found |= {f"{at}.mlp.gate_up_proj.weight": (2 * wide(config, d), d)}
        found |= {f"{at}.mlp.down_proj.weight": (d, wide(config, d))}
    return found


# -- the model ---------------------------------------------------------------------------------------------------------


def swiglu(x: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    gate, up = (x @ gate_up.T).chunk(2, -1)
    return (gate * torch.sigmoid(gate) * up) @ down.T


def rms(x: Tensor) -> Tensor:
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5)


def rotated(x: Tensor) -> Tensor:
    """Rotate (B, S, A, K): the first half of K against the second, by position over powers of 10000."""
    half = x.shape[-1] // 2
    speed = 10000.0 ** (-torch.arange(half, dtype=x.dtype) / half)
    angle = (torch.arange(x.shape[1], dtype=x.dtype)[:, None] * speed)[:, None]
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()], -1)


@dataclass(frozen=True)
class Model:
    """The inner model, its arrays under published names."""

    config: Config
    state: Mapping[str, Tensor]

    def attention(self, at: str, x: Tensor) -> Tensor:
        rows, length, d = x.shape
        parts = (x @ self.state[f"{at}.qkv_proj.weight"].T).view(rows, length, 3, self.config["num_heads"], -1)
        q, k, v = parts.unbind(2)
        if self.config["pos_encodings"] == "rope":
            q, k = rotated(q), rotated(k)
        weights = torch.softmax(torch.einsum("bsak,btak->bast", q, k) / math.sqrt(q.shape[-1]), -1)
        return (
            torch.einsum("bast,btak->bsak", weights, v).reshape(rows, length, d) @ self.state[f"{at}.o_proj.weight"].T
        )

    def layer(self, at: str, x: Tensor) -> Tensor:
        if self.config.get("mlp_t"):
            turned = x.transpose(1, 2)
            names = (f"{at}.mlp_t.gate_up_proj.weight", f"{at}.mlp_t.down_proj.weight")
            x = rms(turned + swiglu(turned, *(self.state[name] for name in names))).transpose(1, 2)
        else:
            x = rms(x + self.attention(f"{at}.self_attn", x))
        names = (f"{at}.mlp.gate_up_proj.weight", f"{at}.mlp.down_proj.weight")
        return rms(x + swiglu(x, *(self.state[name] for name in names)))

    def level(self, name: str, z: Tensor, more: Tensor) -> Tensor:
        x = z + more
        which = "L" if is_trm(self.config) else name
        for i in range(self.config[f"{which}_layers"]):
            x = self.layer(f"{which}_level.layers.{i}", x)
        return x

    def embedded(self, tokens: Tensor, local: Tensor | None) -> Tensor:
        d = self.config["hidden_size"]
        x = self.state["embed_tokens.embedding_weight"][tokens]
        if local is not None:
            rows = torch.nn.functional.pad(local, (0, prefix(self.config) * d - local.shape[1]))
            x = torch.cat([rows.view(len(rows), -1, d), x], 1)
        if self.config["pos_encodings"] == "learned":
            x = (x + self.state["embed_pos.embedding_weight"]) / math.sqrt(2.0)
        return x * math.sqrt(d)

    def inner(
        self, z_h: Tensor, z_l: Tensor, tokens: Tensor, local: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One pass: z_H, z_L, logits and Q. HRM has gradient through its last two updates, TRM through a cycle."""
        e = self.embedded(tokens, local)
        cycles, ticks = self.config["H_cycles"], self.config["L_cycles"]
        slow = [i == ticks for _ in range(cycles) for i in range(ticks + 1)]
        kept = ticks + 1 if is_trm(self.config) else 2
        for i, is_slow in enumerate(slow):
            with torch.set_grad_enabled(torch.is_grad_enabled() and i >= len(slow) - kept):
                if is_slow:
                    z_h = self.level("H", z_h, z_l)
                else:
                    z_l = self.level("L", z_l, z_h + e)
        logits = (z_h @ self.state["lm_head.weight"].T)[:, prefix(self.config) :]
        return z_h, z_l, logits, z_h[:, 0] @ self.state["q_head.weight"].T + self.state["q_head.bias"]


# -- loss and metrics --------------------------------------------------------------------------------------------------


def stablemax_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """Minus log p of each label; 0 where it is ignored."""
    s = torch.where(logits < 0, 1.0 / (1.0 - torch.where(logits < 0, logits, 0.0) + 1e-30), logits + 1.0)
    log_p = torch.log(s / s.sum(-1, keepdim=True))
    picked = log_p.gather(-1, labels.clamp(min=0)[..., None].long())[..., 0]
    return torch.where(labels == IGNORED, 0.0, -picked)


def bce(logits: Tensor, wanted: Tensor) -> Tensor:
    return (torch.nn.functional.softplus(logits) - wanted * logits).sum()


def judged(found: dict[str, Tensor], labels: Tensor, target: Tensor | None) -> dict[str, Tensor]:
    """Return loss and metrics as the published loss head gives them."""
    asked = labels != IGNORED
    count = asked.sum(1)
    right = asked & (found["logits"].argmax(-1) == labels)
    solved = right.sum(1) == count
    lm = (stablemax_nll(found["logits"], labels).sum(1) / count.clamp(min=1)).sum()
    halt = bce(found["q_halt_logits"], solved.double())
    whole, metrics = lm + 0.5 * halt, {"lm_loss": lm, "q_halt_loss": halt}
    if target is not None:
        metrics["q_continue_loss"] = bce(found["q_continue_logits"], target)
        whole = whole + 0.5 * metrics["q_continue_loss"]
    done = found["halted"] & (count > 0)
    metrics |= {
        "count": done.sum(),
        "accuracy": torch.where(done, right.sum(1) / count.clamp(min=1), 0.0).sum(),
        "exact_accuracy": (done & solved).sum(),
        "q_halt_accuracy": (done & ((found["q_halt_logits"] >= 0) == solved)).sum(),
        "steps": torch.where(done, found["steps"], 0).sum(),
    }
    return {"loss": whole, **{f"metric/{name}": value for name, value in metrics.items()}}


# -- five steps --------------------------------------------------------------------------------------------------------


def batches(config: Config, rng: np.random.Generator) -> list[Data]:
    size = (ROWS, config["seq_len"])
    found: list[Data] = []
    for _ in range(STEPS):
        one = {name: rng.integers(0, config["vocab_size"], size).astype(np.int32) for name in ("inputs", "labels")}
        one["labels"][0, -3:] = IGNORED
        one["puzzle_identifiers"] = rng.integers(0, config["num_puzzle_identifiers"], ROWS).astype(np.int32)
        found.append(one)
    return found


@dataclass
class Walk:
    """The published loop around the model: rows that halted are restored and take the next batch's row."""

    model: Model
    training: bool

    def __post_init__(self) -> None:
        config = self.model.config
        shape = (ROWS, config["seq_len"] + prefix(config), config["hidden_size"])
        self.z_h, self.z_l = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
        self.steps, self.halted = torch.zeros(ROWS, dtype=torch.int32), torch.ones(ROWS, dtype=torch.bool)
        self.data: dict[str, Tensor] = {}

    def take(self, batch: Data) -> None:
        state, fresh = self.model.state, self.halted[:, None, None]
        self.z_h, self.z_l = (torch.where(fresh, state[f"{n}_init"], z) for n, z in (("H", self.z_h), ("L", self.z_l)))
        self.steps = torch.where(self.halted, 0, self.steps)
        for name, array in batch.items():
            new = torch.tensor(array)
            held = self.data.get(name, new)
            self.data[name] = torch.where(self.halted.view(-1, *[1] * (new.ndim - 1)), new, held)

    def step(self, batch: Data, rng: np.random.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Take a step; returns what it gave, and the draws of exploration with the local puzzle entries."""
        self.take(batch)
        config, table = self.model.config, self.model.state.get("puzzle_emb.weights")
        local = None if table is None else table.detach()[self.data["puzzle_identifiers"].long()].requires_grad_()
        z_h, z_l, logits, q = self.model.inner(self.z_h, self.z_l, self.data["inputs"], local)
        self.z_h, self.z_l, self.steps = z_h.detach(), z_l.detach(), self.steps + 1
        last, most = self.steps >= config["halt_max_steps"], config["halt_max_steps"]
        aside: dict[str, Tensor] = {} if local is None else {"local": local}
        target = None
        self.halted = last
        if self.training and most > 1:
            bar = 0.0 if config.get("no_ACT_continue") else q[:, 1]
            draws = {"rand": torch.tensor(rng.random(ROWS)), "randint": torch.tensor(rng.integers(2, most + 1, ROWS))}
            aside |= {f"draw/{name}": draw for name, draw in draws.items()}
            least = (draws["rand"] < config["halt_exploration_prob"]) * draws["randint"]
            self.halted = (last | (q[:, 0] > bar).detach()) & (self.steps >= least)
            if not config.get("no_ACT_continue"):
                with torch.no_grad():
                    ahead = self.model.inner(self.z_h, self.z_l, self.data["inputs"], local)[3]
                target = torch.sigmoid(torch.where(last, ahead[:, 0], ahead.amax(1)))
        found = {"z_H": self.z_h, "z_L": self.z_l, "steps": self.steps, "halted": self.halted, "logits": logits}
        found |= {"q_halt_logits": q[:, 0], "q_continue_logits": q[:, 1]}
        found |= {f"current_data/{name}": value for name, value in self.data.items()}
        found |= {} if target is None else {"target_q_continue": target}
        return found | judged(found, self.data["labels"], target), aside


def told(config: Config, state: Data | None = None, given: list[Data] | None = None, seed: int = 1) -> Data:
    """Return weights, batches, and five steps in evaluation and in training, under the names of the published numbers.

    state, given: weights by published name and batches, drawn where they are left out.
    """
    rng = np.random.default_rng(seed)
    drawn = state or {name: rng.normal(size=shape) / math.sqrt(shape[-1]) for name, shape in shapes(config).items()}
    data = {f"state/inner.{name}": array for name, array in drawn.items()}
    given = given or batches(config, rng)
    for i, batch in enumerate(given):
        data |= {f"batch{i}/{name}": array for name, array in batch.items()}
    fixed = ("H_init", "L_init", "puzzle_emb.weights")
    leaves = {name: torch.tensor(array, dtype=torch.float64) for name, array in drawn.items()}
    trained = [value.requires_grad_() for name, value in leaves.items() if name not in fixed]
    names = [name for name in leaves if name not in fixed]
    for mode in ("eval", "train"):
        walk = Walk(Model(config, leaves), mode == "train")
        for i, batch in enumerate(given):
            found, aside = walk.step(batch, rng)
            data |= {f"{mode}/step{i}/{name}": value.detach().numpy() for name, value in found.items()}
            if mode == "eval":
                continue
            data |= {f"train/step{i}/{name}": value.detach().numpy() for name, value in aside.items() if "draw" in name}
            local = [aside["local"]] if "local" in aside else []
            slopes = torch.autograd.grad(found["loss"], [*trained, *local])
            grads = dict(zip([*(f"inner.{name}" for name in names), "puzzle_emb.local_weights"], slopes, strict=False))
            data |= {f"train/step{i}/grad/{name}": value.numpy() for name, value in grads.items()}
    if config["puzzle_emb_ndim"]:
        keys, last = data[f"train/step{STEPS - 1}/current_data/puzzle_identifiers"], f"train/step{STEPS - 1}/grad"
        after = signed(drawn["puzzle_emb.weights"], keys, data[f"{last}/puzzle_emb.local_weights"])
        data["train/signsgd_lr1e-2_wd0.1/weights_after"] = after
    return data


def signed(table: Array, keys: Array, slopes: Array) -> Array:
    """Return the table after a step of SignSGD at 0.01 with decay 0.1: gradients of equal ids are added up first."""
    after = table.astype(np.float64)
    for key in set(keys.tolist()):
        after[key] = after[key] * (1 - 0.01 * 0.1) - 0.01 * np.sign(slopes[keys == key].sum(0))
    return after
