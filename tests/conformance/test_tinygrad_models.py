"""Whole models on tinygrad in float32, one of every kind of part: values of the reference, gradients of torch."""

from collections.abc import Iterable, Iterator
from typing import cast

import numpy as np
import pytest

pytest.importorskip("tinygrad", reason="tinygrad is not installed")

import hrmsearch as hs
from hrmsearch.ir import Graph
from hrmsearch.runtime import Pass
from hrmsearch.spec.registry import Kind, Part, kinds
from tests.part_models import MODELS
from tests.tinygrad_cpu import beside, graph_of, near, needs_tinygrad, plain_kernels

pytestmark = [needs_tinygrad, pytest.mark.usefixtures(plain_kernels.__name__)]
ROWS = 2


def windows(graph: Graph) -> list[list[Pass]]:
    """Return the spans of two windows; in the second, one row of the stream begins anew and one goes on."""
    rng = np.random.default_rng(0)
    spans: list[list[Pass]] = []
    for begins in ([3, 3], [3, 2]):
        tokens = {name: rng.integers(0, 5, (ROWS, 4), dtype=np.int32) for name in ("tokens", "targets")}
        keys = {"puzzle": rng.integers(0, 3, ROWS, dtype=np.int32)} if "puzzle" in graph.inputs else {}
        resets = [begins, *[[0, 0]] * (graph.nest.passes - 1)]
        last = len(resets) - 1
        spans.append([Pass(tokens | keys, np.array(reset, np.int8), i == last) for i, reset in enumerate(resets)])
    return spans


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_part_has_the_outputs_and_carries_of_the_reference(name: str) -> None:
    graph = graph_of(MODELS[name])
    pair = beside(graph, "reference")
    carries = [executable.init_carry(ROWS, 4) for executable in pair]
    for call in (call for span in windows(graph) for call in span):
        (got, carries[0]), (wanted, carries[1]) = (e.forward(call, c) for e, c in zip(pair, carries, strict=True))
        near(got, wanted)
        ours, theirs = (e.carry_to_numpy(carry) for e, carry in zip(pair, carries, strict=True))
        near(ours, theirs, "carried")


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_part_has_the_losses_and_gradients_of_torch(name: str) -> None:
    graph = graph_of(MODELS[name])
    pair = beside(graph, "torch")
    carries = [executable.init_carry(ROWS, 4) for executable in pair]
    for span in windows(graph):
        (got, ours), (wanted, theirs) = (e.loss_and_grads(span, c) for e, c in zip(pair, carries, strict=True))
        carries = [got.carry, wanted.carry]
        near({"losses": np.array(got.losses)}, {"losses": np.array(wanted.losses)})
        near(ours, theirs, "gradient of")


POLICIES = ("clock", "control", "evidence", "gain", "gate")
FAMILIES = ("core", "block", "mixer", "memory", "embed", "norm", "ffn", "head", "q_head", "loss", *POLICIES)


def used(value: object) -> Iterator[tuple[str, str]]:
    """Yield the family and the kind of all parts in a value."""
    if isinstance(value, Kind):
        yield value.family, value.kind
    below: Iterable[object] = ()
    if isinstance(value, Part):
        below = dict(value).values()
    elif isinstance(value, dict):
        below = cast("dict[str, object]", value).values()
    elif isinstance(value, tuple):
        below = cast("tuple[object, ...]", value)
    for item in below:
        yield from used(item)


def test_there_is_a_model_for_every_kind() -> None:
    # other tests may have registered kinds of their own
    ours = {(f, name) for f in FAMILIES for name, kind in kinds(f).items() if kind.__module__.startswith("hrmsearch.")}
    assert ours <= {found for text in MODELS.values() for found in used(hs.loads(text, "tiny.yaml"))}
