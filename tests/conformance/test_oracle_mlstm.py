"""mLSTM against the published implementation: function, cell, layer and block, in both of its columns.

Its parallel and its recurrent form differ by up to 4e-7, since they add 1e-6 to a normaliser that is scaled by another
stabiliser. Ours have one start of the stabiliser or the other, and every form of ours must be that column.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from hrmsearch.blocks.layer_norm import LayerNorm
from hrmsearch.blocks.mlstm import MLSTM
from hrmsearch.ir import Builder, DType, Type, Value, axis
from hrmsearch.runtime import Array
from tests.mixers import Alone, close, starts, streamed

Oracle = Mapping[str, Array]
Column = Literal["parallel", "recurrent"]
TENTH = 1e-10
COLUMNS = {"parallel": "empty", "recurrent": "zero"}
columns = pytest.mark.parametrize("column", COLUMNS)
chunks = pytest.mark.parametrize("chunk", [None, 1, 5, 16])


@pytest.fixture(scope="module")
def oracle(oracle_root: Path) -> Oracle:
    return dict(np.load(oracle_root / "mlstm.npz", allow_pickle=False))


def under(oracle: Oracle, prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): array for name, array in oracle.items() if name.startswith(prefix)}


def ours(column: str, heads: int, chunk: int | None, **fields: int | None) -> MLSTM:
    return MLSTM.model_validate({"kind": "mlstm", "heads": heads, "chunk": chunk, "start": COLUMNS[column], **fields})


# -- the function: heads in, heads out ---------------------------------------------------------------------------------


def function(mixer: MLSTM, heads: int, width: int) -> Alone:
    def build(b: Builder) -> dict[str, Value]:
        rows, a, tokens, k = axis("B"), axis("A", heads), axis("T"), axis("K", width)
        v = axis("V", width)
        wide = {name: b.input(name, Type(DType.COMPUTE, (rows, a, tokens, k))) for name in "qk"}
        wide["v"] = b.input("v", Type(DType.COMPUTE, (rows, a, tokens, v)))
        gates = {name: b.input(name, Type(DType.COMPUTE, (rows, a, tokens))) for name in "if"}
        types = {"C": (rows, a, k, v), "n": (rows, a, k), "m": (rows, a)}
        state = {name: b.input(f"{name}0", Type(DType.WIDE, axes)) for name, axes in types.items()}
        (q, k, v), (i, f) = wide.values(), gates.values()
        y, last = mixer.recur(b, q, k, v, i, f, state)
        return {"out": y, **{f"{name}1": value for name, value in last.items()}}

    return Alone.of(build, heads * width)


def given(data: Oracle, mixer: MLSTM) -> dict[str, Array]:
    rows, heads, _, width = data["q"].shape
    start = starts(mixer, heads * width, rows)["m0"]
    state = {"C0": np.zeros((rows, heads, width, width)), "n0": np.zeros((rows, heads, width)), "m0": start}
    return {**{n: data[n] for n in "qkv"}, **{n: data[n][..., 0] for n in "if"}, **state}


@columns
@chunks
def test_the_function_is_the_published_one(oracle: Oracle, column: Column, chunk: int | None) -> None:
    data = under(oracle, "fn/")
    _, heads, tokens, width = data["q"].shape
    mixer = ours(column, heads, chunk, width=heads * width, block=1)
    alone, inputs = function(mixer, heads, width), given(data, mixer)
    wanted = {"out": data[f"h_{column}"]}
    if column == "recurrent":
        last = {name: data[f"{name}_states"][tokens - 1] for name in "Cnm"}
        wanted |= {"C1": last["C"], "n1": last["n"][..., 0], "m1": last["m"][..., 0, 0]}
    for _, outputs in alone.everywhere({}, inputs):
        close(outputs, wanted, TENTH)
    if column == "parallel":
        gradients = alone.gradients({}, inputs, {"out": data["loss_weight"]})
        found = {name: array if name in "qkv" else array[..., 0] for name, array in under(data, "grad_in/").items()}
        close(gradients, found, TENTH)


def test_the_states_of_the_function_are_the_published_ones_after_every_token(oracle: Oracle) -> None:
    data = under(oracle, "fn/")
    _, heads, tokens, width = data["q"].shape
    mixer = ours("recurrent", heads, None, width=heads * width, block=1)
    alone, inputs = function(mixer, heads, width), given(data, mixer)
    for t in range(1, tokens):
        seen = {name: array[:, :, :t] if name in "qkvif" else array for name, array in inputs.items()}
        c, n, m = (data[f"{name}_states"][t - 1] for name in "Cnm")
        close(alone.run({}, seen), {"C1": c, "n1": n[..., 0], "m1": m[..., 0, 0]}, TENTH)


# -- the cell: gates and norm around the function ----------------------------------------------------------------------


def gates(state: Oracle) -> dict[str, Array]:
    heads = len(state["igate.bias"])
    maps = {f"w_{name}": state[f"{name}gate.weight"].T for name in "if"}
    biases = {f"b_{name}": state[f"{name}gate.bias"] for name in "if"}
    return {**maps, **biases, "norm_gain": state["outnorm.weight"].reshape(heads, -1)}


def gains(weights: Mapping[str, Array]) -> dict[str, Array]:
    """The published norms store their gain less one."""
    return {name: 1.0 + array if name.endswith("gain") else array for name, array in weights.items()}


def cell(mixer: MLSTM, heads: int, width: int) -> Alone:
    def build(b: Builder) -> dict[str, Value]:
        rows, tokens, f = axis("B"), axis("T"), axis("F", heads * width)
        q, k, v = (b.input(name, Type(DType.COMPUTE, (rows, tokens, f))) for name in "qkv")
        types = {name: type_ for name, (_, type_) in mixer.init_state(b, q).items() if name in "Cnm"}
        state = {name: b.input(f"{name}0", type_) for name, type_ in types.items()}
        return {"out": mixer.cell(b, q, k, v, state)[0]}

    return Alone.of(build, heads * width)


@columns
@chunks
def test_the_cell_is_the_published_one(oracle: Oracle, column: Column, chunk: int | None) -> None:
    data, state = under(oracle, "cell/"), under(oracle, "cell/state/")
    (rows, _, dim), heads = data["q"].shape, len(state["igate.bias"])
    mixer = ours(column, heads, chunk, width=dim, block=1, conv=None)
    alone, params = cell(mixer, heads, dim // heads), gains(gates(state))
    inputs = {**{n: data[n] for n in "qkv"}, **starts(mixer, dim, rows)}
    for _, outputs in alone.everywhere(params, inputs):
        close(outputs, {"out": data[f"y_{column}"]}, TENTH)
    if column == "parallel":
        gradients = alone.gradients(params, inputs, {"out": data["loss_weight"]})
        close(gradients, {**under(data, "grad_in/"), **gates(under(data, "grad/"))}, TENTH)


# -- the layer and the block -------------------------------------------------------------------------------------------


def layer(state: Oracle) -> dict[str, Array]:
    inner = len(state["learnable_skip"])
    conv = {"conv_weight": state["conv1d.conv.weight"][:, 0].T, "conv_bias": state["conv1d.conv.bias"]}
    return {
        "w_up": state["proj_up.weight"][:inner].T,
        "w_z": state["proj_up.weight"][inner:].T,
        "w_down": state["proj_down.weight"].T,
        "skip": state["learnable_skip"],
        **{f"w_{name}": state[f"{name}_proj.weight"].transpose(0, 2, 1) for name in "qkv"},
        **(conv if "conv1d.conv.weight" in state else {}),
        **gates(under(state, "mlstm_cell.")),
    }


def mixer_of(state: Oracle, column: Column, chunk: int | None) -> MLSTM:
    conv = state["conv1d.conv.weight"].shape[-1] if "conv1d.conv.weight" in state else None
    heads, block = len(state["mlstm_cell.igate.bias"]), state["q_proj.weight"].shape[-1]
    return ours(column, heads, chunk, conv=conv, block=block, width=len(state["learnable_skip"]))


@columns
@chunks
def test_the_layer_is_the_published_one(oracle: Oracle, column: Column, chunk: int | None) -> None:
    data, state = under(oracle, "layer/"), under(oracle, "layer/state/")
    if not data:
        pytest.skip("the oracle has no layer")
    rows, _, dim = data["x"].shape
    mixer = mixer_of(state, column, chunk)
    alone, params = streamed(mixer, dim), gains(layer(state))
    inputs = {"x": data["x"], **starts(mixer, dim, rows)}
    for _, outputs in alone.everywhere(params, inputs):
        close(outputs, {"out": data[f"y_{column}"]}, TENTH)
    if column == "parallel":
        gradients = alone.gradients(params, inputs, {"out": data["loss_weight"]})
        close(gradients, {"x": data["grad_in/x"], **layer(under(data, "grad/"))}, TENTH)


def block(state: Oracle) -> dict[str, Array]:
    inner = layer(under(state, "xlstm."))
    return {**{f"mixer.{name}": array for name, array in inner.items()}, "norm.gain": state["xlstm_norm.weight"]}


@columns
@chunks
def test_the_block_is_the_published_one(oracle: Oracle, column: Column, chunk: int | None) -> None:
    data, state = under(oracle, "block/"), under(oracle, "block/state/")
    dim = data["x"].shape[-1]
    mixer = mixer_of(under(state, "xlstm."), column, chunk)

    def build(b: Builder) -> dict[str, Value]:
        x = b.input("x", Type(DType.COMPUTE, (axis("B"), axis("T"), axis("D", dim))))
        return {"out": x + mixer.apply(b, "mixer", LayerNorm().apply(b, "norm", x))}

    alone, params = Alone.of(build, dim), gains(block(state))
    for _, outputs in alone.everywhere(params, {"x": data["x"]}):
        close(outputs, {"out": data[f"y_{column}"]}, TENTH)
    if column == "parallel":
        gradients = alone.gradients(params, {"x": data["x"]}, {"out": data["loss_weight"]})
        close(gradients, {"x": data["grad_in/x"], **block(under(data, "grad/"))}, TENTH)
