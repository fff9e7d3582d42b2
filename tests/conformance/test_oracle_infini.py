"""Infini-attention against an outside implementation: outputs, memories and gradients over three windows."""

from pathlib import Path

import numpy as np
import pytest

from hrmsearch.blocks.infini import Infini
from hrmsearch.ir import Graph, Lifetime
from hrmsearch.lowering import lower_block
from hrmsearch.runtime import Array, Executable, Options, Pass, load_backend

DIM = 32


def published() -> Graph:
    memory = Infini.model_validate({"kind": "infini", "at": "input", "heads": 4, "residual": False})
    return lower_block(memory, DIM, window=16)


def weights(oracle: dict[str, Array]) -> dict[str, Array]:
    maps = {f"block.w_{name}": oracle[f"state/{name}_proj.weight"].T for name in "qkvo"}
    return {**maps, "block.beta": oracle["state/gate"].reshape(4)}


@pytest.fixture(params=["reference", "torch"])
def executable(request: pytest.FixtureRequest) -> Executable:
    return load_backend(request.param).compile(published(), Options(dtype="float64"))


def test_three_windows_agree_with_the_published_layer(oracle_root: Path, executable: Executable) -> None:
    oracle = dict(np.load(oracle_root / "infini_seed.npz", allow_pickle=False))
    executable.set_params(weights(oracle))
    carry = executable.init_carry(2, 16)
    for window in range(3):
        reset = Lifetime.STREAM if window == 0 else Lifetime.NONE
        outputs, carry = executable.forward(Pass({"x": oracle[f"seg{window}/x"]}, reset), carry)
        np.testing.assert_allclose(outputs["y"], oracle[f"seg{window}/y"], rtol=0, atol=1e-12)
        held = executable.carry_to_numpy(carry)
        np.testing.assert_allclose(held["block.M"], oracle[f"seg{window}/memory_after"], rtol=0, atol=1e-11)
        np.testing.assert_allclose(held["block.z"], oracle[f"seg{window}/norm_after"], rtol=0, atol=1e-11)
