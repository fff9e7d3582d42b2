"""One arm against the control, seed by seed: whether anything can be said, and what the tests say of it alone."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrmsearch.study import student
from hrmsearch.study.permutation import sign_flip_p

Values = NDArray[np.float64]

#: what is smaller, relative to the largest value, is the rounding of a subtraction and no difference
_ROUNDING: Final = 32 * float(np.finfo(np.float64).eps)


def diverged(values: Values) -> tuple[int, ...]:
    """Return the positions, from 0, of the seeds whose value is not finite."""
    return tuple(int(seed) for seed in np.flatnonzero(~np.isfinite(values)))


@dataclass(frozen=True)
class Pair:
    """The values of an arm and of the control, each f64[seeds], the same seeds in the same order."""

    name: str
    arm: Values
    control_name: str
    control: Values

    @property
    def seeds(self) -> int:
        """Number of paired seeds."""
        return len(self.arm)

    @cached_property
    def is_finite(self) -> bool:
        """Whether no seed of either diverged."""
        return not diverged(self.arm) and not diverged(self.control)

    @cached_property
    def values(self) -> Values:
        """Arm minus control by seed, f64[seeds], of finite values; all the same where they differ by rounding only."""
        values = self.arm - self.control
        rounding = _ROUNDING * max(np.abs(self.arm).max(), np.abs(self.control).max())
        middle = values.mean()
        if np.abs(values - middle).max() > rounding:
            return values
        return np.full_like(values, middle if abs(middle) > rounding else 0.0)

    @cached_property
    def spread(self) -> float | None:
        """Sample standard deviation of the differences; None of one seed, and where a seed diverged."""
        if self.seeds == 1 or not self.is_finite:
            return None
        return float(self.values.std(ddof=1)) if np.ptp(self.values) else 0.0

    @property
    def reason(self) -> str:
        """Why nothing can be said; empty where something can."""
        if not self.is_finite:
            rows = ((self.name, self.arm), (self.control_name, self.control))
            lost = [(name, len(seeds)) for name, row in rows if (seeds := diverged(row))]
            return " and ".join(f"{count} of {self.seeds} seeds of {name} diverged" for name, count in lost)
        if self.seeds == 1:
            return "one seed has no spread"
        if self.spread == 0 and self.values[0] != 0:
            return "every seed differs by the same amount, which leaves no spread to judge it by"
        return ""

    @cached_property
    def p(self) -> float | None:
        """Two-sided p of the paired t test; 1 of no difference at all, None where nothing can be said."""
        if self.reason:
            return None
        return self._test.p if self.spread else 1.0

    @cached_property
    def permutation_p(self) -> float | None:
        """Two-sided p of the sign-flip test; None where nothing can be said, and of too few or too many seeds."""
        return None if self.reason else sign_flip_p(self.values)

    def interval(self, level: float) -> tuple[float, float] | None:
        """Return the paired t interval at confidence 1 - level; a point where there is no difference at all."""
        if self.reason:
            return None
        return self._test.interval(level) if self.spread else (0.0, 0.0)

    @cached_property
    def _test(self) -> student.TTest:
        return student.t_test(self.values)
