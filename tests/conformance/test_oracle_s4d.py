"""S4D against the published implementation: kernel, states, layer and every gradient, in all forms, in float64."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from hrmsearch.blocks.s4d import S4D
from hrmsearch.ir import Builder, DType, Type, Value, axis
from hrmsearch.runtime import Array
from tests.mixers import Alone, close, starts, streamed

Oracle = Mapping[str, Array]
TENTH = 1e-10
forms = pytest.mark.parametrize("form", ["auto", "step", "chunk", "fft", "scan"])


@pytest.fixture(scope="module")
def oracle(oracle_root: Path) -> Oracle:
    return dict(np.load(oracle_root / "s4d.npz", allow_pickle=False))


def mixer(oracle: Oracle, form: str) -> S4D:
    return S4D.model_validate({"kind": "s4d", "state": 2 * oracle["state/kernel.C"].shape[1], "form": form})


def kernel(oracle: Oracle, at: str) -> dict[str, Array]:
    """Return the weights, or gradients, of the state space under this project's names."""
    c = oracle[f"{at}/kernel.C"]
    names = {"log_dt": "log_dt", "log_a_re": "log_A_real", "a_im": "A_imag"}
    same = {ours: oracle[f"{at}/kernel.{theirs}"] for ours, theirs in names.items()}
    return {**same, "c_re": c[..., 0], "c_im": c[..., 1]}


def layer(oracle: Oracle, at: str) -> dict[str, Array]:
    weight, bias = oracle[f"{at}/output_linear.0.weight"][..., 0], oracle[f"{at}/output_linear.0.bias"]
    (w_out, w_gate), (b_out, b_gate) = np.split(weight, 2), np.split(bias, 2)
    maps = {"w_out": w_out.T, "w_gate": w_gate.T, "b_out": b_out, "b_gate": b_gate}
    return {**kernel(oracle, at), "skip": oracle[f"{at}/D"], **maps}


def space(one: S4D, dim: int) -> Alone:
    """Return the state space alone."""

    def build(b: Builder) -> dict[str, Value]:
        x = b.input("x", Type(DType.COMPUTE, (axis("B"), axis("T"), axis("D", dim))))
        ((_, type_),) = one.init_state(b, x).values()
        y, last = one.respond(b, x, b.input("s0", type_))
        return {"out": y, "s1": last}

    return Alone.of(build, dim)


@forms
def test_the_response_is_the_published_one_by_convolution_and_by_recurrence(oracle: Oracle, form: str) -> None:
    one, u = mixer(oracle, form), oracle["u"]
    alone, begun = space(one, u.shape[-1]), starts(one, u.shape[-1], len(u))
    final = np.stack([oracle["final_state_re"], oracle["final_state_im"]], -1)
    for _, outputs in alone.everywhere(kernel(oracle, "state"), {"x": u, **begun}):
        for response in ("conv", "recurrent"):
            close(outputs, {"out": oracle[f"ssm_{response}_out_BHL"].transpose(0, 2, 1), "s1": final}, TENTH)


@forms
def test_the_response_to_one_token_is_the_published_kernel(oracle: Oracle, form: str) -> None:
    one, wanted = mixer(oracle, form), oracle["kernel_HL"]
    pulse = np.zeros((1, *wanted.T.shape))
    pulse[:, 0] = 1.0
    inputs = {"x": pulse, **starts(one, len(wanted), 1)}
    for _, outputs in space(one, len(wanted)).everywhere(kernel(oracle, "state"), inputs):
        close(outputs, {"out": wanted.T[None]}, TENTH)


@forms
def test_the_layer_is_the_published_one(oracle: Oracle, form: str) -> None:
    one, u = mixer(oracle, form), oracle["u"]
    alone, params = streamed(one, u.shape[-1]), layer(oracle, "state")
    inputs = {"x": u, **starts(one, u.shape[-1], len(u))}
    for _, outputs in alone.everywhere(params, inputs):
        close(outputs, {"out": oracle["y"]}, TENTH)
    for gradients in alone.everyones_gradients(params, inputs, {"out": oracle["loss_weight"]}):
        close(gradients, {"x": oracle["grad_in/u"], **layer(oracle, "grad")}, TENTH)
