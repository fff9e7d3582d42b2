"""How many paired seeds it takes to find a difference, by the noncentral t distribution.

With n seeds, and a true difference of `effect` standard deviations of the paired difference, the statistic of the
paired t test has the noncentral t distribution with n - 1 degrees of freedom and noncentrality effect * sqrt(n) (Cohen
1988, Statistical Power Analysis, chapter 2). A difference counts as found on its own side of zero only.
"""

import math
from typing import Final

from hrmsearch.study import student

POWER: Final = 0.8
MOST_SEEDS: Final = 1_000_000
#: how closely the smallest detectable effect is found, relative
_CLOSE: Final = 1e-9


def chance(effect: float, seeds: int, *, alpha: float = 0.05) -> float:
    """Return how often a two-sided test at alpha finds an effect; seeds: at least 2."""
    return student.tail(student.critical(seeds - 1, alpha), seeds - 1, abs(effect) * math.sqrt(seeds))


def seeds_needed(effect: float, *, alpha: float = 0.05, power: float = POWER) -> int | None:
    """Return the fewest seeds with at least this chance to find an effect; None where a million are too few."""
    few, enough = 1, 2
    while chance(effect, enough, alpha=alpha) < power:
        if enough == MOST_SEEDS:
            return None
        few, enough = enough, min(2 * enough, MOST_SEEDS)
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (middle, enough) if chance(effect, middle, alpha=alpha) < power else (few, middle)
    return enough


def detectable(seeds: int, *, alpha: float = 0.05, power: float = POWER) -> float:
    """Return the smallest effect, in standard deviations, that so many seeds (at least 2) have this chance to find."""
    below, above = 0.0, 1.0
    while chance(above, seeds, alpha=alpha) < power:
        below, above = above, 2 * above
    while above - below > _CLOSE * above:
        middle = (below + above) / 2
        below, above = (middle, above) if chance(middle, seeds, alpha=alpha) < power else (below, middle)
    return above
