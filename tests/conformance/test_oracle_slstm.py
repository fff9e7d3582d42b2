"""sLSTM against the published implementation: cell, layer and block, forward and every gradient, in float64."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from hrmsearch.blocks.geglu import GEGLU
from hrmsearch.blocks.layer_norm import LayerNorm
from hrmsearch.blocks.slstm import SLSTM
from hrmsearch.blocks.transformer import Transformer
from hrmsearch.ir import Builder, DType, Type, Value, axis
from hrmsearch.runtime import Array
from tests.mixers import Alone, close, streamed

Oracle = Mapping[str, Array]
TENTH = 1e-10


@pytest.fixture(scope="module")
def oracle(oracle_root: Path) -> Oracle:
    return dict(np.load(oracle_root / "slstm.npz", allow_pickle=False))


def under(oracle: Oracle, prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): array for name, array in oracle.items() if name.startswith(prefix)}


def recurrent(kernel: Array) -> Array:
    """[heads, gate and output, input] as [heads, input, gate and output]."""
    return kernel.transpose(0, 2, 1)


def biases(flat: Array, heads: int) -> dict[str, Array]:
    """[gate, head, channel], flattened, by gate."""
    return dict(zip(("b_i", "b_f", "b_z", "b_o"), flat.reshape(4, heads, -1), strict=True))


def layer(state: Oracle) -> dict[str, Array]:
    """Return the oracle's weights, or gradients, under this project's names.

    What the layer calls fgate feeds the slot of the input gate, and igate that of the forget gate.
    """
    slots = {"w_i": "fgate", "w_f": "igate", "w_z": "zgate", "w_o": "ogate"}
    maps = {ours: state[f"{theirs}.weight"].transpose(0, 2, 1) for ours, theirs in slots.items()}
    heads = maps["w_i"].shape[0]
    conv = {"conv_weight": state["conv1d.conv.weight"][:, 0].T, "conv_bias": state["conv1d.conv.bias"]}
    return {
        **maps,
        **biases(state["slstm_cell._bias_"], heads),
        **(conv if "conv1d.conv.weight" in state else {}),
        "r": recurrent(state["slstm_cell._recurrent_kernel_"]),
        "norm_gain": state["group_norm.weight"].reshape(heads, -1),
    }


def gains(weights: Mapping[str, Array]) -> dict[str, Array]:
    """The published norms store their gain less one."""
    return {name: 1.0 + array if name.endswith("gain") else array for name, array in weights.items()}


def mixer(state: Oracle) -> SLSTM:
    conv = state["conv1d.conv.weight"].shape[-1] if "conv1d.conv.weight" in state else None
    return SLSTM(heads=state["fgate.weight"].shape[0], conv=conv)


def zeros(alone: Alone, rows: int) -> dict[str, Array]:
    inputs = {name: value.type for name, value in alone.graph.inputs.items() if name != "x"}
    return {name: np.zeros(type_.shape({"B": rows, "T": 1})) for name, type_ in inputs.items()}


# -- the cell ----------------------------------------------------------------------------------------------------------


def cell(heads: int, width: int) -> Alone:
    """Return the recurrence alone: gate inputs gate-major as the oracle has them, biases added here."""
    names = ("y", "c", "n", "m")

    def build(b: Builder) -> dict[str, Value]:
        rows, tokens = axis("B"), axis("T")
        a, k = axis("A", heads), axis("K", width)
        x = b.input("x", Type(DType.COMPUTE, (rows, tokens, axis("G", 4), a, k)))
        parts = [b.merge(b.slice(x, "G", g, 1), "G", "A", "A") for g in range(4)]
        gates = [part + b.param(f"b_{name}", (a, k), "zeros") for name, part in zip("ifzo", parts, strict=True)]
        raw = b.rename(b.concat("K", *gates), "K", "F")
        dtypes = {name: DType.COMPUTE if name == "y" else DType.WIDE for name in names}
        state = {name: b.input(f"{name}0", Type(dtypes[name], (rows, a, k))) for name in names}
        y, last = SLSTM(heads=heads).cell(b, raw, state)
        return {"out": y, **{f"{name}1": last[name] for name in names}}

    return Alone.of(build, heads * width)


@pytest.mark.parametrize("case", ["cell_zero_state", "cell_given_state"])
def test_the_cell_is_the_published_one(oracle: Oracle, case: str) -> None:
    data = under(oracle, f"{case}/")
    if not data:
        pytest.skip(f"the oracle has no {case}")
    heads, _, width = data["state/_recurrent_kernel_"].shape
    rows, tokens, _ = data["x"].shape
    alone = cell(heads, width)
    params = {"r": recurrent(data["state/_recurrent_kernel_"]), **biases(data["state/_bias_"], heads)}
    given = next((data[name] for name in data if "state_ycnm" in name and "final" not in name), None)
    first = zeros(alone, rows) if given is None else _states(given, heads)
    inputs = {"x": data["x"].reshape(rows, tokens, 4, heads, width), **first}
    wanted = {"out": data["y"].transpose(0, 2, 1, 3)}
    wanted |= {name.replace("0", "1"): array for name, array in _states(data["final_state_ycnm"], heads).items()}
    for _, outputs in alone.everywhere(params, inputs):
        close(outputs, wanted, TENTH)
    for weight, prefix, kernel, bias in (
        (data["loss_weight"], "grad", "grad/_recurrent_kernel_", "grad/_bias_"),
        (np.ones_like(data["y"]), "sumloss", "sumloss_grad_recurrent_kernel", "sumloss_grad_bias"),
    ):
        for gradients in alone.everyones_gradients(params, inputs, {"out": weight.transpose(0, 2, 1, 3)}):
            x = data["grad_in/x" if prefix == "grad" else "sumloss_grad_x"].reshape(inputs["x"].shape)
            close(gradients, {"x": x, "r": recurrent(data[kernel]), **biases(data[bias], heads)}, TENTH)


def _states(stacked: Array, heads: int) -> dict[str, Array]:
    return {f"{name}0": array.reshape(len(array), heads, -1) for name, array in zip("ycnm", stacked, strict=True)}


# -- the layer and the block -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["layer_conv4", "layer_noconv"])
def test_the_layer_is_the_published_one(oracle: Oracle, case: str) -> None:
    data, state = under(oracle, f"{case}/"), under(oracle, f"{case}/state/")
    if not data:
        pytest.skip(f"the oracle has no {case}")
    alone = streamed(mixer(state), data["x"].shape[-1])
    params, inputs = gains(layer(state)), {"x": data["x"], **zeros(alone, len(data["x"]))}
    for _, outputs in alone.everywhere(params, inputs):
        close(outputs, {"out": data["y"]}, TENTH)
    for gradients in alone.everyones_gradients(params, inputs, {"out": data["loss_weight"]}):
        close(gradients, {"x": data["grad_in/x"], **layer(under(oracle, f"{case}/grad/"))}, TENTH)


def block(state: Oracle) -> dict[str, Array]:
    up, _ = state["ffn.proj_up.weight"].shape
    gate, value = np.split(state["ffn.proj_up.weight"], [up // 2])
    inner = {name.removeprefix("xlstm."): array for name, array in state.items() if name.startswith("xlstm.")}
    return {
        **{f"block.mixer.{name}": array for name, array in layer(inner).items()},
        "block.mixer_norm.gain": state["xlstm_norm.weight"],
        "block.ffn_norm.gain": state["ffn_norm.weight"],
        "block.ffn.w_gate": gate.T,
        "block.ffn.w_up": value.T,
        "block.ffn.w_down": state["ffn.proj_down.weight"].T,
    }


def test_the_block_is_the_published_one(oracle: Oracle) -> None:
    data, state = under(oracle, "block/"), under(oracle, "block/state/")
    dim = data["x"].shape[-1]
    inner = {name.removeprefix("xlstm."): array for name, array in state.items()}
    ours = Transformer(mixer=mixer(inner), norm=LayerNorm(place="pre"), ffn=GEGLU(), dropout=0.0)
    assert GEGLU().inner(dim) == state["ffn.proj_down.weight"].shape[1]

    def build(b: Builder) -> dict[str, Value]:
        x = b.input("x", Type(DType.COMPUTE, (axis("B"), axis("T"), axis("D", dim))))
        return {"out": ours.apply(b, "block", x, place="block")}

    alone, params = Alone.of(build, dim), gains(block(state))
    for _, outputs in alone.everywhere(params, {"x": data["x"]}):
        close(outputs, {"out": data["y"]}, TENTH)
    for gradients in alone.everyones_gradients(params, {"x": data["x"]}, {"out": data["loss_weight"]}):
        close(gradients, {"x": data["grad_in/x"], **block(under(oracle, "block/grad/"))}, TENTH)
