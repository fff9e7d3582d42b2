"""The exact sign-flip test of paired differences (Fisher 1935, The Design of Experiments, section 21)."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

#: with fewer seeds the smallest possible p is 2 / 2^n > 0.01: too coarse to show beside a t test
FEWEST: Final = 8
#: with more seeds the sums of half of them no longer fit into a few megabytes
MOST: Final = 40
#: sums that differ by less, relative to the sum of all magnitudes, are equal but for the order of summation
_ROUNDING: Final = 1e-12


def sign_flip_p(differences: Sequence[float] | NDArray[np.float64]) -> float | None:
    """Return the share of the 2^n signings of n differences whose sum is as far from zero; None outside 8 to 40 seeds.

    Exact: the signed sums of either half are listed, and those of the second that complete a sum of the first to one as
    far out are counted by binary search (Pagano and Tritchler 1983 count permutations without listing them, too).
    """
    values = np.asarray(differences, np.float64)
    if not FEWEST <= len(values) <= MOST:
        return None
    magnitudes = np.sort(np.abs(values))
    bound = float(abs(values.sum()) - _ROUNDING * magnitudes.sum())
    if bound <= 0:
        return 1.0
    first, second = _signed_sums(magnitudes[::2]), np.sort(_signed_sums(magnitudes[1::2]))
    short = np.searchsorted(second, bound - first)
    above = int(np.sum(len(second) - short))
    # every signing has its mirror image, so as many sums are as far below zero
    return 2 * above / 2 ** len(values)


def smallest_p(seeds: int) -> float:
    """Return the smallest p there is: of the two signings in which all differences agree."""
    return 2.0 ** (1 - seeds)


def _signed_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums - value, sums + value])
    return sums
