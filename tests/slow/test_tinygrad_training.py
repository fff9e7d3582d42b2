"""Twenty training steps of shipped specs in which no row halts, and of random ones, with tinygrad as with torch."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("tinygrad", reason="tinygrad is not installed")

import hrmsearch as hs
from hrmsearch.ir import Graph, Lifetime
from hrmsearch.runtime import Executable, Span
from hrmsearch.spec.load import shipped
from hrmsearch.spec.model import Spec
from hrmsearch.tasks.loaders import Batch
from hrmsearch.testing import specs
from hrmsearch.testing.inputs import random_inputs
from hrmsearch.train import RunOptions, compile_for
from hrmsearch.train.nest import group_length, groups, spans
from tests.backends import offers
from tests.shipping import brief
from tests.tinygrad_cpu import needs_tinygrad, plain_kernels

pytestmark = [pytest.mark.slow, needs_tinygrad, pytest.mark.usefixtures(plain_kernels.__name__)]

STEPS, ROWS = 20, 2
#: a recurrence over a few tokens is a few kernels; heads of two channels, as at width 8, make much of rounding
TINY = ("model.dim=16", "model.defaults.ffn.width=8", "task.window=4")


def dealt(graph: Graph, seed: int) -> Iterator[Span]:
    """Yield the spans of consecutive random windows."""
    rng, sizes = np.random.default_rng(seed), {"B": ROWS, "T": graph.nest.window}
    batches = (
        Batch(random_inputs(graph, sizes, lambda _: rng), Lifetime.WINDOW if i else Lifetime.STREAM)
        for i in range(STEPS)
    )
    for group in groups(batches, group_length(graph.nest)):
        yield from spans(group, graph.nest)


def losses(executable: Executable, seed: int) -> list[float]:
    """Return the losses of the first steps, the carry going on from span to span."""
    carry, found = executable.init_carry(ROWS, executable.graph.nest.window), list[float]()
    for span, _ in zip(dealt(executable.graph, seed), range(STEPS), strict=False):
        result, _ = executable.train_step(span, carry, 1e-3)
        carry = result.carry
        found += result.losses
    return found


def assert_equal(spec: Spec, seed: int) -> None:
    graph = hs.lower(spec)
    ours, torch = (compile_for(spec, graph, RunOptions(backend=name)) for name in ("tinygrad", "torch"))
    ours.init(seed)
    torch.init(seed)
    np.testing.assert_allclose(losses(ours, seed), losses(torch, seed), rtol=1e-4)


# where rows halt, the loop of a run decides for each of them what comes next
@pytest.mark.parametrize("name", [name for name in shipped() if hs.load(name).nest.halt is None])
def test_a_shipped_spec_trains_as_with_torch(name: str) -> None:
    assert_equal(brief(name, *TINY), 0)


@settings(max_examples=2, phases=[Phase.generate])
@given(spec=specs(smooth=True), seed=st.integers(0, 2**16))
def test_any_spec_trains_as_with_torch(spec: Spec, seed: int) -> None:
    assume(offers("tinygrad", hs.lower(spec)))
    # drawn levels may amplify a last bit a million times
    assert_equal(hs.loads(hs.render(spec), overrides=["train.precision=float64"]), seed)
