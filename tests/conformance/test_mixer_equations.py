"""Recurrent mixers against their published equations, written out once more as loops over tokens in NumPy."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hrmsearch.blocks.slstm import SLSTM
from hrmsearch.runtime import Array
from tests.mixers import close, streamed

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


def drawn(types: Mapping[str, Any], sizes: Mapping[str, int], rng: np.random.Generator) -> dict[str, Array]:
    """Return normal numbers for every input of a graph."""
    return {name: rng.normal(size=value.type.shape(sizes)) for name, value in types.items()}


def fresh(array: Array, row: int) -> Array:
    """Return a state with one row at its start."""
    array = array.copy()
    array[row] = 0.0
    return array
