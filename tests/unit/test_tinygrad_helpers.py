"""What emitted tinygrad files bring along, where tinygrad's own would be wrong."""

# parts of tinygrad are unannotated
# pyright: reportUnknownMemberType=false

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("tinygrad", reason="tinygrad is not installed")

from tinygrad.tensor import Tensor

from hrmsearch_tinygrad.devices import as_default, available
from hrmsearch_tinygrad.helpers import atan, sigmoid, silu

FAR = np.array([-1e30, -104.0, -88.0, -80.0, -10.0, 0.0, 3.0, 88.0, 1e30], np.float32)

Real = NDArray[np.float64]


def logistic(x: Real) -> Real:
    return np.exp(np.minimum(x, 0.0)) / (1.0 + np.exp(-np.abs(x)))


def logistic_slope(x: Real) -> Real:
    return logistic(x) * logistic(-x)


def swish(x: Real) -> Real:
    return x * logistic(x)


def swish_slope(x: Real) -> Real:
    return logistic(x) + x * logistic_slope(x)


def angle(x: Real) -> Real:
    return np.arctan(x)


def angle_slope(x: Real) -> Real:
    return 1.0 / (1.0 + x * x)


@pytest.mark.skipif(not available(), reason="no device of tinygrad is here")
@pytest.mark.parametrize(
    ("helper", "value", "slope"),
    [(sigmoid, logistic, logistic_slope), (silu, swish, swish_slope), (atan, angle, angle_slope)],
)
def test_a_value_and_its_gradient_are_right_however_large_the_argument(
    helper: Callable[[Tensor], Tensor], value: Callable[[Real], Real], slope: Callable[[Real], Real]
) -> None:
    with as_default(available()[0]):
        x = Tensor(FAR)
        y = helper(x)
        found = y.numpy(), y.sum().gradient(x)[0].numpy()
    for got, exact in zip(found, (value, slope), strict=True):
        np.testing.assert_allclose(got, exact(FAR.astype(np.float64)), rtol=1e-5, atol=1e-35)
