"""Joined products: one in place of several, with the same results, the same gradients and the same parameters."""

import numpy as np
import pytest

import hrmsearch as hs
from hrmsearch.ir import Graph, Lifetime, text, verify
from hrmsearch.passes import Target, join
from hrmsearch.runtime import Options, Pass, prepared
from hrmsearch_torch import TorchExecutable
from tests.part_models import stack

WORTH_IT = Target("torch", optimize=True)
BLOCKS = [
    "kind: transformer, mixer: {kind: attention, heads: 2}",
    "kind: transformer, mixer: {kind: slstm, heads: 2}",
    "kind: transformer, mixer: {kind: mlstm, heads: 2}",
    "kind: transformer, mixer: {kind: hl_kernel, gated: true}",
]


def lowered(block: str) -> Graph:
    return hs.lower(hs.loads(stack(block), "tiny.yaml"))


def products(graph: Graph) -> int:
    return sum(op.kind == "einsum" for region in graph.regions() for op in region.walk())


@pytest.mark.parametrize("block", BLOCKS)
def test_results_and_gradients_stay(block: str) -> None:
    graph = lowered(block)
    ids = np.random.default_rng(0).integers(0, 4, (2, 2, 4), dtype=np.int32)
    call = Pass({"tokens": ids[0], "targets": ids[1]}, Lifetime.STREAM, last=True)
    found: list[tuple[float, dict[str, np.ndarray]]] = []
    for one in (prepared(graph), prepared(graph, optimize=True)):
        executable = TorchExecutable(one, Options(dtype="float64"))
        executable.init(0)
        result, gradients = executable.loss_and_grads([call], executable.init_carry(2, 4))
        found.append((result.losses[0], gradients))
    (plain, expected), (joined, gradients) = found
    assert joined == pytest.approx(plain, abs=1e-12)
    assert gradients.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_allclose(gradients[path], value, atol=1e-12, err_msg=path)


@pytest.mark.parametrize("block", BLOCKS)
def test_nothing_is_left_to_join(block: str) -> None:
    graph = lowered(block)
    once = verify(join(graph, WORTH_IT))
    assert products(once) < products(graph)
    assert text(join(once, WORTH_IT)) == text(once)
    assert once.params.keys() == graph.params.keys()


def test_attention_multiplies_once_for_queries_keys_and_values() -> None:
    graph = lowered(BLOCKS[0])
    assert products(graph) - products(join(graph, WORTH_IT)) == 2 + 1  # q, k and v; gate and up


def test_a_graph_that_is_not_worth_it_stays() -> None:
    graph = lowered(BLOCKS[0])
    assert join(graph, Target("torch")) is graph
