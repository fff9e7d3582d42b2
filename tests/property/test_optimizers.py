"""Every update rule on every backend, and what a rule promises by its own formula."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import hrmsearch as hs
from hrmsearch import passes
from hrmsearch.ir import Graph
from hrmsearch.optim.adam_atan2 import AdamATan2
from hrmsearch.optim.base import Optimizer
from hrmsearch.runtime import Executable, Options, Pass, Training, load_backend
from hrmsearch.spec.registry import kinds
from hrmsearch_reference.training import Optimiser
from tests.backends import COMPILING, QUICK, usable
from tests.training import tiny

Array = NDArray[Any]
N = 5
# none or of a size that has a square in float32
numbers = st.integers(-1000, 1000).map(lambda n: n / 64)
gradients = st.lists(hnp.arrays(np.float64, N, elements=numbers), min_size=1, max_size=4)


def moved(optimizer: Optimizer, start: Array, given: list[Array]) -> Array:
    """Return a parameter after steps with gradients, by the rule's meaning."""
    training = Training(optimizer.rule(), {"w": optimizer.weight_decay})
    by_rule, params = Optimiser(training), {"w": start}
    for gradient in given:
        by_rule.update(params, {"w": gradient}, optimizer.lr)
    return params["w"]


@given(start=hnp.arrays(np.float64, N, elements=st.floats(-2, 2)), given=gradients)
def test_adam_atan2_is_its_formula(start: Array, given: list[Array]) -> None:
    optimizer = AdamATan2(lr=1e-2, weight_decay=0.1)
    (beta1, beta2), p, m, v = optimizer.betas, start, np.zeros(N), np.zeros(N)
    for t, g in enumerate(given, start=1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        angle = np.arctan2(m, np.sqrt(v / (1 - beta2**t)))
        p = p * (1 - 1e-2 * 0.1) - 1e-2 / (1 - beta1**t) * angle
    np.testing.assert_allclose(moved(optimizer, start, given), p, rtol=1e-9, atol=1e-12)


@given(start=hnp.arrays(np.float64, N, elements=st.floats(-2, 2)), given=gradients, by=st.floats(1e-3, 1e3))
def test_adam_atan2_does_not_know_the_scale_of_gradients(start: Array, given: list[Array], by: float) -> None:
    optimizer = AdamATan2(lr=1e-2)
    scaled = moved(optimizer, start, [by * g for g in given])
    np.testing.assert_allclose(scaled, moved(optimizer, start, given), rtol=1e-9, atol=1e-12)


def trained(executable: Executable, graph: Graph, steps: int) -> list[float]:
    rng, rows, tokens = np.random.default_rng(0), 2, graph.nest.window
    carry, found = executable.init_carry(rows, tokens), list[float]()
    for _ in range(steps):
        inputs = {name: rng.integers(0, 5, (rows, tokens), dtype=np.int32) for name in ("tokens", "targets")}
        result, norm = executable.train_step([Pass(inputs, 3)], carry, 1e-2)
        carry = result.carry
        found += [*result.losses, norm]
    return found


@pytest.mark.parametrize("backend", usable([*QUICK, *COMPILING]))
@pytest.mark.parametrize("kind", sorted(kinds("optimizer")))
def test_every_rule_trains_alike_on_every_backend(kind: str, backend: str) -> None:
    flat = (
        "model.memory=[]",
        "model.core.levels={L: {block: {kind: transformer, mixer: {kind: attention, heads: 2}, ffn: none}}}",
    )
    optimizer = f"train.optimizer={{kind: {kind}, weight_decay: 0.1}}"
    spec = tiny("nest.passes=1", *flat, "model.head.read=L", optimizer)
    graph = passes.run(hs.lower(spec))
    optimizer = spec.train.optimizer
    options = Options(dtype="float64", training=Training(optimizer.rule(), optimizer.decays(graph.params), 1.0, 0.9))
    ours, torch = (load_backend(name).compile(graph, options) for name in (backend, "torch"))
    torch.init(0)
    ours.set_params(torch.params)
    np.testing.assert_allclose(trained(ours, graph, 3), trained(torch, graph, 3), rtol=1e-7)
    for got, expected in ((ours.params, torch.params), (ours.averaged(), torch.averaged())):
        for path, value in expected.items():
            np.testing.assert_allclose(got[path], value, rtol=1e-7, atol=1e-9, err_msg=path)
