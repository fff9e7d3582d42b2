"""The shipped HRM against its equations, written out once more in NumPy, for every order, schedule and placement."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hrmsearch as hs
from hrmsearch.blocks.infini import Infini
from hrmsearch.ir import Graph, Lifetime
from hrmsearch.runtime import Array, Options, Pass, load_backend

DIM, HEADS, TOKENS, ROWS = 8, 2, 5, 2
TINY = [
    "model.dim=8",
    "model.defaults.ffn.width=12",
    "model.core.levels.L.block.mixer.heads=2",
    "model.core.levels.H.block.mixer.heads=2",
    "task.window=6",
]


def rotate(x: Array) -> Array:
    """Rotary positions over (B, A, T, K), rotate-half layout."""
    width = x.shape[-1]
    frequency: Array = 10000.0 ** (-np.arange(0, width, 2, dtype=np.float64) / width)
    angles = np.tile(np.outer(np.arange(x.shape[-2], dtype=np.float64), frequency), 2)
    cos, sin = np.cos(angles), np.sin(angles)
    first, second = np.split(x, 2, axis=-1)
    return x * cos + np.concatenate([-second, first], axis=-1) * sin


def norm(x: Array, gain: Array) -> Array:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * gain


def heads(x: Array) -> Array:
    return x.reshape(*x.shape[:2], HEADS, -1).transpose(0, 2, 1, 3)


def block(p: Mapping[str, Array], at: str, x: Array) -> Array:
    """Post-norm transformer block."""
    q, k, v = (heads(x @ p[f"{at}.mixer.w_{name}"]) for name in "qkv")
    scores = rotate(q) @ rotate(k).swapaxes(-1, -2) / np.sqrt(DIM // HEADS)
    scores = np.where(np.tri(x.shape[1], dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    y = (weights / weights.sum(-1, keepdims=True)) @ v
    y = y.transpose(0, 2, 1, 3).reshape(x.shape) @ p[f"{at}.mixer.w_o"]
    x = norm(x + y, p[f"{at}.mixer_norm.gain"])
    gate = x @ p[f"{at}.ffn.w_gate"]
    y = (gate / (1 + np.exp(-gate)) * (x @ p[f"{at}.ffn.w_up"])) @ p[f"{at}.ffn.w_down"]
    return norm(x + y, p[f"{at}.ffn_norm.gain"])


def refine(p: Mapping[str, Array], tokens: Array, *, order: str, inject: str, period: int, cycles: int) -> Array:
    """Return the logits of one fresh pass."""
    e = p["embed.table"][tokens]
    z = {level: np.broadcast_to(p[f"start.{level}"][:TOKENS], e.shape) for level in "LH"}
    for i in range(1, cycles * period + 1):
        seen = dict(z)
        for level, other in ("LH", "HL"):
            if level == "H" and i % period:
                continue
            source = z if order == "sequential" else seen
            x = source[level] + source[other] + (e if level in inject else 0.0)
            z[level] = block(p, f"core.levels.{level}.0", x)
    return z["H"] @ p["head.weight"]


@settings(max_examples=20)
@given(
    order=st.sampled_from(["sequential", "simultaneous"]),
    inject=st.sampled_from(["L", "LH"]),
    period=st.integers(1, 3),
    cycles=st.integers(1, 3),
    gradient=st.sampled_from(["last_tick", "last_cycle", "full"]),
    seed=st.integers(0, 2**16),
)
def test_a_pass_is_its_equations(order: str, inject: str, period: int, cycles: int, gradient: str, seed: int) -> None:
    spec = hs.load(
        "hrm",
        [
            *TINY,
            f"model.core.order={order}",
            f"model.core.inject=[{','.join(inject)}]",
            f"model.core.levels.H.period={period}",
            f"model.core.cycles={cycles}",
            f"model.core.gradient={gradient}",
        ],
    )
    executable = load_backend("reference").compile(hs.lower(spec), Options())
    executable.init(seed)
    tokens = np.random.default_rng(seed).integers(0, 97, (ROWS, TOKENS), dtype=np.int32)
    outputs, _ = executable.forward(Pass({"tokens": tokens}, Lifetime.STREAM), executable.init_carry(ROWS, TOKENS))
    expected = refine(executable.params, tokens, order=order, inject=inject, period=period, cycles=cycles)
    np.testing.assert_allclose(outputs["logits"], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("override", ["core.gradient=full", "core.order=simultaneous", "core.cycles=3"])
def test_the_trace_ends_in_what_the_pass_returns_and_levels_move_on_their_ticks_only(override: str) -> None:
    spec = hs.load("hrm", [*TINY, override])
    graph = hs.lower(spec, trace=True)
    executable = load_backend("reference").compile(graph, Options())
    tokens = np.zeros((ROWS, TOKENS), np.int32)
    outputs, carry = executable.forward(Pass({"tokens": tokens}, Lifetime.STREAM), executable.init_carry(ROWS, TOKENS))
    ticks = 2 * spec.model.core.cycles
    for level, period in (("L", 1), ("H", 2)):
        values = [outputs[f"trace.{i}.{level}"] for i in range(1, ticks + 1)]
        moved = [bool((a != b).any()) for a, b in pairwise(values)]
        assert moved == [i % period == 0 for i in range(2, ticks + 1)]
        np.testing.assert_array_equal(values[-1], executable.carry_to_numpy(carry)[f"core.z_{level}"])


@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
@pytest.mark.parametrize("rule", ["linear", "delta"])
def test_chunks_read_what_earlier_chunks_wrote(chunk: int, rule: str) -> None:
    """A window in chunks equals its chunks run as windows of their own, one after another."""
    fields = {"kind": "infini", "at": "input", "heads": HEADS, "update": rule, "lifetime": "stream"}
    rng = np.random.default_rng(chunk)
    x = rng.normal(size=(ROWS, 7, DIM))
    whole, parts = (
        load_backend("reference").compile(_memory({**fields, "chunk": size}), Options()) for size in (chunk, None)
    )
    parts.set_params(whole.params)
    expected, end = whole.forward(Pass({"x": x}, Lifetime.STREAM), whole.init_carry(ROWS, 7))
    carry, got = parts.init_carry(ROWS, chunk), list[Array]()
    for start in range(0, 7, chunk):
        reset = Lifetime.STREAM if start == 0 else Lifetime.NONE
        outputs, carry = parts.forward(Pass({"x": x[:, start : start + chunk]}, reset), carry)
        got.append(outputs["y"])
    np.testing.assert_allclose(np.concatenate(got, axis=1), expected["y"], rtol=0, atol=1e-12)
    for name, value in parts.carry_to_numpy(carry).items():
        np.testing.assert_allclose(value, whole.carry_to_numpy(end)[name], rtol=0, atol=1e-12)


def _memory(fields: dict[str, object]) -> Graph:
    return hs.lower_block(Infini.model_validate(fields), DIM, window=7)
