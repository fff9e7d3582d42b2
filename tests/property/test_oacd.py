"""OACD against its formula and the derivative of that, in NumPy float64; what it depends on and what it does not."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from hrmsearch.errors import BackendError
from hrmsearch.ir import Builder, Context, Graph, Nest, axis, verify
from hrmsearch.losses.oacd import Oacd
from hrmsearch.runtime import Executable, Options, Pass, load_backend
from tests.backends import COMPILING, QUICK

Array = NDArray[Any]
B, T, D = 2, 3, 4
rows = hnp.arrays(np.float64, (B, T, D), elements=st.floats(-8, 8, width=32))
weights = st.sampled_from([0.0, 0.1, 1.0])


def oacd(x: Array, centroid: float) -> float:
    c = x.reshape(-1, x.shape[-1])
    mu = c.mean(0)
    return float(-np.linalg.norm(c - mu) / len(c) + centroid * mu @ mu)


def slope(x: Array, centroid: float) -> Array:
    c = x.reshape(-1, x.shape[-1])
    mu, n = c.mean(0), len(c)
    # the mean of deviations is zero, so the centre adds nothing to the slope of the norm
    return (-(c - mu) / np.linalg.norm(c - mu) / n + 2.0 * centroid * mu / n).reshape(x.shape)


@cache
def compiled(centroid: float, widths: tuple[int, ...] = (D,), backend: str = "reference") -> Executable:
    """Return OACD as a graph whose streams are parameters, so that they have gradients."""
    graph = Graph("oacd", Nest(window=T, causal=False))
    b = Builder(graph, Context(D, T, 1), graph.main)
    names = [f"x{i}" for i in range(len(widths))]
    held = [
        b.param(name, (axis("B", B), axis("T", T), axis("D", w)), "zeros")
        for name, w in zip(names, widths, strict=True)
    ]
    graph.outputs["loss"] = Oacd(read=tuple(names), centroid=centroid).apply(b, "loss", *held, place="loss")
    try:
        return load_backend(backend).compile(verify(graph), Options(dtype="float64"))
    except BackendError as error:
        pytest.skip(str(error))


def value(executable: Executable, *streams: Array) -> float:
    executable.set_params({f"x{i}": x for i, x in enumerate(streams)})
    return float(executable.forward(Pass({}, 0), {})[0]["loss"])


@given(rows, weights)
def test_it_is_its_formula(x: Array, centroid: float) -> None:
    assume(np.ptp(x.reshape(-1, D), axis=0).max() > 1e-3)
    assert value(compiled(centroid), x) == pytest.approx(oacd(x, centroid), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("backend", QUICK)
@given(rows, weights)
def test_its_gradient_is_the_derivative_of_its_formula(backend: str, x: Array, centroid: float) -> None:
    assume(np.ptp(x.reshape(-1, D), axis=0).max() > 1e-3)
    executable = compiled(centroid, backend=backend)
    executable.set_params({"x0": x})
    _, found = executable.loss_and_grads([Pass({}, 0)], {})
    np.testing.assert_allclose(found["x0"], slope(x, centroid), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("backend", [*QUICK, *COMPILING])
def test_equal_rows_have_no_slope_but_that_of_their_centre(backend: str) -> None:
    executable, x = compiled(0.1, backend=backend), np.broadcast_to(np.arange(D) / 3.0, (B, T, D)).copy()
    executable.set_params({"x0": x})
    _, found = executable.loss_and_grads([Pass({}, 0)], {})
    np.testing.assert_allclose(found["x0"], 2.0 * 0.1 * x / (B * T), rtol=1e-6, atol=1e-9)


@given(rows, hnp.arrays(np.float64, (D,), elements=st.floats(-4, 4, width=32)), weights)
def test_a_shift_of_all_rows_moves_the_centre_alone(x: Array, by: Array, centroid: float) -> None:
    assume(np.ptp(x.reshape(-1, D), axis=0).max() > 1e-3)
    executable, mu = compiled(centroid), x.reshape(-1, D).mean(0)
    moved = centroid * ((mu + by) @ (mu + by) - mu @ mu)
    assert value(executable, x + by) - value(executable, x) == pytest.approx(moved, rel=1e-9, abs=1e-9)


@given(rows, st.permutations(range(B * T)), weights)
def test_the_order_of_rows_is_nothing_to_it(x: Array, order: list[int], centroid: float) -> None:
    shuffled = x.reshape(-1, D)[order].reshape(x.shape)
    executable = compiled(centroid)
    assert value(executable, shuffled) == pytest.approx(value(executable, x), rel=1e-9, abs=1e-9)


@given(rows, weights)
def test_rows_of_several_streams_are_joined(x: Array, centroid: float) -> None:
    assume(np.ptp(x.reshape(-1, D), axis=0).max() > 1e-3)
    halves = compiled(centroid, (1, D - 1))
    assert value(halves, x[..., :1], x[..., 1:]) == pytest.approx(oacd(x, centroid), rel=1e-9, abs=1e-9)
