"""Recurrent mixers against their published equations, written out once more as loops over tokens in NumPy."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from hrmsearch.blocks.hl_kernel import HLKernel
from hrmsearch.blocks.hrm_state import HRMState
from hrmsearch.blocks.mlstm import MLSTM
from hrmsearch.blocks.s4d import S4D
from hrmsearch.blocks.slstm import SLSTM
from hrmsearch.ir import initial_params
from hrmsearch.runtime import Array
from tests.mixers import close, starts, streamed

Arrays = Mapping[str, Array]
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 6))  # rows and tokens
SEEDS = st.integers(0, 2**16)


def sigmoid(x: Array) -> Array:
    return np.exp(-np.logaddexp(0.0, -x))


def norm(x: Array, eps: float) -> Array:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)


def blockwise(x: Array, weight: Array) -> Array:
    """Each group of channels by a matrix of its own, [groups, input, output]: (.., D) -> (.., groups, output)."""
    groups, width, _ = weight.shape
    parts = x.reshape(*x.shape[:-1], groups, width)
    return np.stack([parts[..., g, :] @ weight[g] for g in range(groups)], -2)


def convolved(p: Arrays, x: Array, past: Array) -> tuple[Array, Array]:
    """SiLU of a causal convolution, and the inputs it still needs."""
    known = np.concatenate([past, x], 1)
    taps = len(p["conv_weight"])
    y = np.zeros_like(x) + p["conv_bias"]
    for t in range(x.shape[1]):
        for j in range(taps):
            y[:, t] += p["conv_weight"][j] * known[:, t + j]
    return y * sigmoid(y), known[:, known.shape[1] - taps + 1 :]


# -- sLSTM -------------------------------------------------------------------------------------------------------------


def slstm(p: Arrays, x: Array, s: Arrays, conv: bool, eps: float) -> dict[str, Array]:
    """The published step, one row at a time, so that its question about the whole batch is about the row."""
    u, past = convolved(p, x, s["conv0"]) if conv else (x, None)
    c, n, m, y = (s[f"{name}0"].copy() for name in "cnmy")
    inputs = {name: blockwise(v, p[f"w_{name}"]) + p[f"b_{name}"] for name, v in zip("ifzo", (u, u, x, x), strict=True)}
    outputs = np.zeros((*x.shape[:2], *y.shape[1:]))
    for row in range(len(x)):
        for t in range(x.shape[1]):
            fed = np.split(blockwise(y[row].reshape(-1), p["r"]), 4, axis=-1)
            i, f, z, o = (inputs[name][row, t] + back for name, back in zip("ifzo", fed, strict=True))
            carried = m[row] - np.logaddexp(0.0, -f)
            new = i if np.all(n[row] == 0.0) else np.maximum(i, carried)
            take, keep = np.minimum(np.exp(i - new), 1.0), np.minimum(np.exp(carried - new), 1.0)
            c[row], n[row], m[row] = keep * c[row] + take * np.tanh(z), keep * n[row] + take, new
            outputs[row, t] = y[row] = sigmoid(o) * c[row] / n[row]
    out = (norm(outputs, eps) * p["norm_gain"]).reshape(x.shape)
    return {"out": out, "c1": c, "n1": n, "m1": m, "y1": y, **({} if past is None else {"conv1": past})}


@settings(max_examples=20)
@given(SHAPES, st.integers(1, 3), st.integers(1, 4), st.sampled_from([None, 2, 4]), st.floats(0, 1), SEEDS, st.data())
def test_slstm_is_its_equations(
    shape: tuple[int, int], heads: int, width: int, conv: int | None, depth: float, seed: int, data: st.DataObject
) -> None:
    (rows, tokens), rng = shape, np.random.default_rng(seed)
    alone = streamed(SLSTM(heads=heads, conv=conv, depth=depth, eps=1e-3), heads * width)
    params = alone.params(seed)
    inputs = drawn(alone.graph.inputs, {"B": rows, "T": tokens}, rng)
    inputs["n0"] = np.abs(inputs["n0"]) + 1.0
    for row in range(rows):
        if data.draw(st.booleans()):  # rows that begin, beside rows that go on
            inputs |= {name: fresh(array, row) for name, array in inputs.items() if name != "x"}
    wanted = slstm(params, inputs["x"], inputs, conv is not None, 1e-3)
    for _, outputs in alone.everywhere(params, inputs):
        close(outputs, wanted)


# -- the H/L kernel ----------------------------------------------------------------------------------------------------


def hl_kernel(p: Arrays, x: Array, z: Array, mixer: HLKernel) -> dict[str, Array]:
    """Every tick of every token, in complex numbers."""
    complex_ = mixer.channels == "complex"
    n = z.shape[-1] // 2
    state: Array = z[..., :2] + 1j * z[..., 2:] if complex_ else z.astype(complex)
    high, low = state[..., 0], state[..., 1]
    u = x @ p["w_in"]
    length = np.logaddexp(0.0, x @ p["w_step"] + p["step"]) if mixer.gated else np.ones_like(u)
    ticks = {"L": mixer.cycles * mixer.period, "H": mixer.cycles}

    def level(name: str, t: int) -> tuple[Array, Array, Array]:
        rate = length[:, t] * np.exp(-p[f"log_tau_{name}"]) / ticks[name]
        a = np.exp(-rate) if mixer.discretize == "zoh" else (1 - rate / 2) / (1 + rate / 2)
        share = 1 - np.abs(a)
        turn, phase = (p[f"{part}_{name}"] if complex_ else 0.0 for part in ("turn", "phase"))
        read = share * np.tanh(p[f"coupling_{name}"]) * np.exp(1j * phase)
        return a * np.exp(1j * turn * rate), read, share * (name in mixer.inject)

    outputs: list[Array] = []
    for t in range(x.shape[1]):
        (a_low, d, c_low), (a_high, b, c_high) = level("L", t), level("H", t)
        for tick in range(1, ticks["L"] + 1):
            old = low
            low = a_low * low + d * high + c_low * u[:, t]
            if tick % mixer.period == 0:
                high = a_high * high + b * (low if mixer.order == "sequential" else old) + c_high * u[:, t]
        parts = [np.real(high), np.real(low), np.imag(high), np.imag(low)]
        outputs.append(np.stack(parts, -1)[..., : 2 * n])
    states = np.stack(outputs, 1)
    y = (states * p["readout"]).sum(-1) + p["skip"] * u
    gate = x @ p["w_gate"]
    return {"out": (y * gate * sigmoid(gate)) @ p["w_o"], "z1": states[:, -1]}


@settings(max_examples=40)
@given(
    SHAPES,
    st.builds(
        HLKernel,
        period=st.integers(1, 8),
        cycles=st.integers(1, 8),
        order=st.sampled_from(["sequential", "simultaneous"]),
        inject=st.sampled_from([("L",), ("H",), ("H", "L")]),
        gated=st.booleans(),
        discretize=st.sampled_from(["zoh", "bilinear"]),
        channels=st.sampled_from(["real", "complex"]),
    ),
    st.integers(1, 4),
    SEEDS,
)
def test_hl_kernel_is_its_ticks(shape: tuple[int, int], mixer: HLKernel, width: int, seed: int) -> None:
    rows, tokens = shape
    alone = streamed(mixer, width)
    params = alone.params(seed)
    inputs = drawn(alone.graph.inputs, {"B": rows, "T": tokens}, np.random.default_rng(seed))
    wanted = hl_kernel(params, inputs["x"], inputs["z0"], mixer)
    for _, outputs in alone.everywhere(params, inputs):
        close(outputs, wanted, 1e-12)


# -- mLSTM -------------------------------------------------------------------------------------------------------------


def heads_of(x: Array, heads: int) -> Array:
    """(B, T, F) as (B, T, A, K)."""
    return x.reshape(*x.shape[:2], heads, -1)


def mlstm(p: Arrays, x: Array, s: Arrays, conv: bool, eps: float) -> dict[str, Array]:
    """The recurrent form of the published layer."""
    heads = s["m0"].shape[1]
    up = x @ p["w_up"]
    u, past = convolved(p, up, s["conv0"]) if conv else (up, None)
    maps = {name: blockwise(v, p[f"w_{name}"]).reshape(up.shape) for name, v in (("q", u), ("k", u), ("v", up))}
    gates = np.concatenate(list(maps.values()), -1)
    i, f = (gates @ p[f"w_{name}"] + p[f"b_{name}"] for name in "if")
    q, k, v = (heads_of(array, heads) for array in maps.values())
    c, n, m = (s[f"{name}0"].copy() for name in "Cnm")
    h = np.zeros_like(q)
    for t in range(x.shape[1]):
        carried = m - np.logaddexp(0.0, -f[:, t])
        m = np.maximum(i[:, t], carried)
        keep, take, key = np.exp(carried - m), np.exp(i[:, t] - m), k[:, t] / np.sqrt(q.shape[-1])
        c = keep[..., None, None] * c + take[..., None, None] * key[..., :, None] * v[:, t, :, None, :]
        n = keep[..., None] * n + take[..., None] * key
        size = np.maximum(np.abs((n * q[:, t]).sum(-1)), np.exp(-m)) + 1e-6
        h[:, t] = (q[:, t, :, :, None] * c).sum(-2) / size[..., None]
    y = (norm(h, eps) * p["norm_gain"]).reshape(up.shape) + p["skip"] * u
    z = x @ p["w_z"]
    states = {"C1": c, "n1": n, "m1": m, **({} if past is None else {"conv1": past})}
    return {"out": y * z * sigmoid(z) @ p["w_down"], **states}


@settings(max_examples=25)
@given(
    SHAPES,
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from([None, 3]),
    st.sampled_from([None, 1, 2, 4]),
    st.sampled_from(["empty", "zero"]),
    st.booleans(),
    SEEDS,
)
def test_mlstm_is_its_equations_in_every_form(
    shape: tuple[int, int],
    heads: int,
    block: int,
    conv: int | None,
    chunk: int | None,
    start: Literal["empty", "zero"],
    begins: bool,
    seed: int,
) -> None:
    (rows, tokens), rng = shape, np.random.default_rng(seed)
    mixer = MLSTM(heads=heads, width=2 * block * heads, block=block, conv=conv, chunk=chunk, start=start, eps=1e-3)
    alone = streamed(mixer, 3)
    params, inputs = alone.params(seed, 0.7), drawn(alone.graph.inputs, {"B": rows, "T": tokens}, rng)
    inputs |= starts(mixer, 3, rows) if begins else {}
    wanted = mlstm(params, inputs["x"], inputs, conv is not None, 1e-3)
    for _, outputs in alone.everywhere(params, inputs):
        close(outputs, wanted)


# -- S4D ---------------------------------------------------------------------------------------------------------------


def s4d(p: Arrays, x: Array, start: Array, mixer: S4D) -> dict[str, Array]:
    """The published layer, as a recurrence in complex numbers."""
    dt, a = np.exp(p["log_dt"])[:, None], -np.exp(p["log_a_re"]) + 1j * p["a_im"]
    if mixer.discretize == "zoh":
        keep, take = np.exp(dt * a), (np.exp(dt * a) - 1) / a
    else:
        keep, take = (1 + dt * a / 2) / (1 - dt * a / 2), dt / (1 - dt * a / 2)
    c, state, y = (p["c_re"] + 1j * p["c_im"]) * take, start[..., 0] + 1j * start[..., 1], np.zeros_like(x)
    for t in range(x.shape[1]):
        state = keep * state + x[:, t, :, None]
        y[:, t] = 2 * (c * state).real.sum(-1)
    y = y + p["skip"] * x
    y = y * special.ndtr(y) if mixer.activation == "gelu" else y
    if mixer.output != "none":
        gate = sigmoid(y @ p["w_gate"] + p["b_gate"]) if mixer.output == "glu" else 1.0
        y = (y @ p["w_out"] + p["b_out"]) * gate
    return {"out": y, "s1": np.stack([state.real, state.imag], -1)}


@settings(max_examples=25)
@given(
    SHAPES,
    st.builds(
        S4D,
        state=st.sampled_from([2, 4, 6]),
        discretize=st.sampled_from(["zoh", "bilinear"]),
        init=st.sampled_from(["lin", "inv"]),
        activation=st.sampled_from(["gelu", "none"]),
        output=st.sampled_from(["glu", "linear", "none"]),
        form=st.sampled_from(["auto", "step", "chunk", "fft", "scan"]),
    ),
    st.integers(1, 3),
    SEEDS,
)
def test_s4d_is_its_equations_in_every_form(shape: tuple[int, int], mixer: S4D, width: int, seed: int) -> None:
    rows, tokens = shape
    alone = streamed(mixer, width)
    params = alone.params(seed, 0.5)
    inputs = drawn(alone.graph.inputs, {"B": rows, "T": tokens}, np.random.default_rng(seed))
    wanted = s4d(params, inputs["x"], inputs["s0"], mixer)
    for _, outputs in alone.everywhere(params, inputs):
        close(outputs, wanted)


@pytest.mark.parametrize(
    ("init", "frequencies"),
    [("lin", [0.0, 3.14159265, 6.28318531]), ("inv", [9.54929659, 1.90985932, 0.38197186])],
)
def test_s4d_begins_with_the_published_diagonals(init: Literal["lin", "inv"], frequencies: list[float]) -> None:
    """For a state of 6: pi n, and (6 / pi) (6 / (2n + 1) - 1), written out."""
    began = initial_params(streamed(S4D(state=6, init=init, dt=(0.01, 0.1)), 50).graph, 0)
    np.testing.assert_allclose(began["a_im"], np.tile(frequencies, (50, 1)), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(np.exp(began["log_a_re"]), 0.5)
    dt = np.exp(began["log_dt"])
    assert 0.01 <= dt.min() < 0.02 < 0.05 < dt.max() <= 0.1


def drawn(types: Mapping[str, Any], sizes: Mapping[str, int], rng: np.random.Generator) -> dict[str, Array]:
    """Return normal numbers for every input of a graph."""
    return {name: rng.normal(size=value.type.shape(sizes)) for name, value in types.items()}


def fresh(array: Array, row: int) -> Array:
    """Return a state with one row at its start."""
    array = array.copy()
    array[row] = 0.0
    return array


# -- the state of two levels -------------------------------------------------------------------------------------------


def hrm_state(p: Arrays, x: Array, s: Arrays, write: Array, period: int) -> dict[str, Array]:
    """L at every token that is written, H where it is the last of a period."""
    low, high, clock = (s[f"{name}0"].copy() for name in ("z_L", "z_H", "clock"))
    drive, gate = x @ p["w_in"], sigmoid(x @ p["w_gate"])
    keep_l, keep_h = (sigmoid(x @ p[f"w_{level}"] + p[f"b_{level}"]) for level in "LH")
    outputs = np.zeros_like(x)
    for row in range(len(x)):
        for t in range(x.shape[1]):
            fast, slow = low[row], high[row]
            fast = keep_l[row, t] * fast + (1 - keep_l[row, t]) * np.tanh(drive[row, t] + p["coupling_L"] * slow)
            due = clock[row, 0] + 1 == period
            if due:
                slow = keep_h[row, t] * slow + (1 - keep_h[row, t]) * np.tanh(p["coupling_H"] * fast)
            outputs[row, t] = gate[row, t] * (p["read_L"] * fast + p["read_H"] * slow)
            if write[row, t]:
                low[row], high[row], clock[row] = fast, slow, 0 if due else clock[row] + 1
    return {"out": outputs @ p["w_o"], "z_L1": low, "z_H1": high, "clock1": clock}


@settings(max_examples=20)
@given(SHAPES, st.integers(1, 4), st.integers(1, 3), SEEDS)
def test_the_state_of_two_levels_is_its_equations(shape: tuple[int, int], dim: int, period: int, seed: int) -> None:
    rows, tokens = shape
    rng, mixer = np.random.default_rng(seed), HRMState(period=period)
    alone = streamed(mixer, dim, write=True)
    params = alone.params(seed, 0.5)
    states = {f"{name}0": rng.uniform(-1, 1, (rows, dim)) for name in ("z_L", "z_H")}
    clock = np.repeat(rng.integers(0, period, (rows, 1)).astype(np.float64), dim, 1)
    x, write = rng.normal(size=(rows, tokens, dim)), rng.random((rows, tokens)) < 0.8
    held = {**states, "clock0": clock}
    wanted = hrm_state(params, x, held, write, period)
    for backend, got in alone.everywhere(params, {"x": x, "write": write, **held}):
        assert np.abs(got["z_L1"]).max() <= 1 >= np.abs(got["z_H1"]).max(), backend
        close(got, wanted)
