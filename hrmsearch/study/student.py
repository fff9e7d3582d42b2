"""Student's t as scipy has it, behind types: the one-sample test, its interval, and the noncentral distribution."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TTest:
    """The two-sided t test of a mean of zero."""

    p: float
    result: Any

    def interval(self, level: float) -> tuple[float, float]:
        """Return the interval of the mean at confidence 1 - level; it excludes zero exactly where p < level."""
        low, high = self.result.confidence_interval(1 - level)
        return float(low), float(high)


def t_test(values: NDArray[np.float64]) -> TTest:
    """Return the test of f64[n] values that are not all the same."""
    result = _stats().ttest_1samp(values, 0.0)
    return TTest(float(result.pvalue), result)


def critical(freedom: int, alpha: float) -> float:
    """Return what the magnitude of t exceeds with probability alpha."""
    return float(_stats().t.isf(alpha / 2, freedom))


def tail(value: float, freedom: int, noncentrality: float) -> float:
    """Return the probability that noncentral t exceeds a value."""
    return float(_stats().nct.sf(value, freedom, noncentrality))


def _stats() -> Any:
    # imported when used, since it takes most of a second; scipy has no types of its own
    return import_module("scipy.stats")
