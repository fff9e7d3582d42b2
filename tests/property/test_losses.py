"""Losses against their formulas, written out in NumPy; what ignores a target ignores it in the gradient too."""

from functools import cache
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from hrmsearch.errors import BackendError
from hrmsearch.ir import Builder, Context, DType, Graph, Nest, Type, axis, verify
from hrmsearch.losses.base import IGNORE, Loss
from hrmsearch.losses.cross_entropy import CrossEntropy
from hrmsearch.losses.stablemax import StablemaxCrossEntropy
from hrmsearch.runtime import Executable, Options, Pass, load_backend
from hrmsearch.spec.registry import kinds
from tests.backends import QUICK

Array = NDArray[Any]
Mean = Literal["targets", "rows"]
B, T, C = 2, 3, 4
logits = hnp.arrays(np.float64, (B, T, C), elements=st.floats(-30, 30, width=32))
targets = hnp.arrays(np.int32, (B, T), elements=st.sampled_from([IGNORE, *range(C)]))
EVERY = [kind.model_validate({}) for _, kind in sorted(kinds("loss").items()) if issubclass(kind, Loss)]


def of_stablemax(x: Array) -> Array:
    s = np.array([1.0 / (1.0 - v) if v < 0.0 else v + 1.0 for v in x.ravel()]).reshape(x.shape)
    return np.log(s / s.sum(-1, keepdims=True))


def of_softmax(x: Array) -> Array:
    return x - x.max(-1, keepdims=True) - np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True))


def compiled(loss: Loss, backend: str = "reference") -> Executable:
    """Return a loss as a graph whose logits are a parameter, so that it has a gradient."""
    return _compiled(loss.kind, loss.mean, backend)


@cache
def _compiled(kind: str, mean: Mean | None, backend: str) -> Executable:
    loss = kinds("loss")[kind].model_validate({"mean": mean})
    assert isinstance(loss, Loss)
    graph = Graph("loss", Nest(window=T))
    b = Builder(graph, Context(C, T, C), graph.main)
    targets = b.input("targets", Type(DType.I32, (axis("B"), axis("T"))))
    held = b.param("logits", (axis("P", B), axis("W", T), axis("C", C)), "zeros")
    x = b.take(b.take(held, "W", axis("T")), "P", axis("B"))
    results = loss.call(b, "loss", x, targets, place="loss")
    graph.outputs |= dict(zip(("loss", "nll", "count"), results, strict=True))
    try:
        return load_backend(backend).compile(verify(graph), Options(dtype="float64"))
    except BackendError as error:
        pytest.skip(str(error))


def evaluated(executable: Executable, x: Array, y: Array) -> dict[str, Array]:
    executable.set_params({"logits": x})
    return executable.forward(Pass({"targets": y}, 0), {})[0]


@pytest.mark.parametrize(
    ("loss", "log_p"),
    [(CrossEntropy(), of_softmax), (StablemaxCrossEntropy(), of_stablemax)],
    ids=["softmax", "stablemax"],
)
@given(x=logits, y=targets)
def test_a_loss_is_its_formula_over_the_targets_that_count(loss: Loss, log_p: Any, x: Array, y: Array) -> None:
    found = evaluated(compiled(loss), x, y)
    nll = -np.take_along_axis(log_p(x), np.maximum(y, 0)[..., None], -1)[..., 0] * (y != IGNORE)
    count = (y != IGNORE).sum(1)
    np.testing.assert_allclose(found["nll"], nll.sum(1), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(found["count"], count)
    by_row = (nll.sum(1) / np.maximum(count, 1)).mean()
    mean = by_row if loss.mean == "rows" else nll.sum() / max(count.sum(), 1)
    np.testing.assert_allclose(found["loss"], mean, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mean", ["targets", "rows"])
@pytest.mark.parametrize("loss", EVERY, ids=lambda loss: loss.kind)
@given(x=logits, y=targets)
def test_the_two_means_agree_where_every_row_has_as_many_targets(loss: Loss, mean: Mean, x: Array, y: Array) -> None:
    one, y = type(loss).model_validate({"mean": mean}), np.abs(y) % C
    np.testing.assert_allclose(
        evaluated(compiled(one), x, y)["loss"], evaluated(compiled(loss), x, y)["loss"], rtol=1e-12
    )


@pytest.mark.parametrize("backend", QUICK)
@pytest.mark.parametrize("loss", EVERY, ids=lambda loss: loss.kind)
@given(x=logits, y=targets)
def test_gradients_are_finite_and_zero_where_nothing_counts(backend: str, loss: Loss, x: Array, y: Array) -> None:
    executable = compiled(loss, backend)
    executable.set_params({"logits": x})
    _, gradients = executable.loss_and_grads([Pass({"targets": y}, 0)], {})
    assert np.isfinite(gradients["logits"]).all()
    assert not gradients["logits"][y == IGNORE].any()


@pytest.mark.parametrize("x", [-1.0, 0.0, 1.0, 3.0])
@pytest.mark.parametrize("backend", QUICK)
def test_the_gradient_of_stablemax_is_its_derivative_on_both_sides_and_at_the_seam(backend: str, x: float) -> None:
    executable = compiled(StablemaxCrossEntropy(), backend)
    at, y = np.full((B, T, C), 0.5), np.zeros((B, T), np.int32)
    at[0, 0, 1] = x

    def total(moved: float) -> float:
        changed = at.copy()
        changed[0, 0, 1] += moved
        return float(evaluated(executable, changed, y)["loss"])

    executable.set_params({"logits": at})
    _, gradients = executable.loss_and_grads([Pass({"targets": y}, 0)], {})
    slope = (total(1e-5) - total(-1e-5)) / 2e-5
    np.testing.assert_allclose(gradients["logits"][0, 0, 1], slope, rtol=1e-4)
