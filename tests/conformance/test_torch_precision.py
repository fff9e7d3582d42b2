"""Half precision: every part computes in bfloat16 throughout, and what is kept between steps stays in float32."""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false

import numpy as np
import pytest
import torch

import hrmsearch as hs
from hrmsearch.ir import Lifetime
from hrmsearch.runtime import Options, Pass, prepared
from hrmsearch_torch import TorchExecutable
from tests.part_models import MODELS


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kernels", [False, True])
def test_every_part_computes_in_half_precision(name: str, kernels: bool) -> None:
    graph = prepared(hs.lower(hs.loads(MODELS[name], "tiny.yaml")))
    rng, rows = np.random.default_rng(0), 2
    declared = {n: v.type for n, v in graph.inputs.items() if n != "reset"}
    sizes = {"B": rows, "T": graph.nest.window}
    inputs = {n: rng.integers(0, 2, t.shape(sizes), dtype=np.int32) for n, t in declared.items()}
    losses: list[float] = []
    for dtype in ("float32", "bfloat16"):
        executable = TorchExecutable(graph, Options(dtype=dtype, kernels=kernels))
        executable.init(0)
        calls = [Pass(inputs, Lifetime.STREAM if i == 0 else Lifetime.NONE) for i in range(graph.nest.passes)]
        result, gradients = executable.loss_and_grads(calls, executable.init_carry(rows, graph.nest.window))
        losses.append(result.losses[-1])
        assert all(np.isfinite(gradient).all() and gradient.dtype == np.float32 for gradient in gradients.values())
        assert not any(value.dtype == torch.bfloat16 for value in result.carry.values())
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
