"""Holm's step-down rule (1979, Scandinavian Journal of Statistics 6, 65-70): many tests, one error rate."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """What the rule makes of one p: adjusted for its family, and the level of the step that decided it.

    `p_adjusted <= alpha` and `p <= level` say the same.
    """

    p_adjusted: float
    level: float


def holm(p: Sequence[float], alpha: float) -> list[Step]:
    """Return what the rule makes of each p of a family, in the order given.

    The k-th smallest of m is multiplied by m - k + 1, and made at least as large as any before it. Its level is alpha
    divided by the same number; equal p share the strictest, and all that come after the first that is not rejected
    share the level that this one failed at.
    """
    ordered = sorted(p)
    left = [len(p) - ordered.index(value) for value in ordered]
    adjusted: list[float] = []
    for value, factor in zip(ordered, left, strict=True):
        adjusted.append(max([value * factor, *adjusted[-1:]]))
    stopped = next((factor for value, factor in zip(adjusted, left, strict=True) if value > alpha), 1)
    steps = {
        value: Step(min(bound, 1.0), alpha / max(factor, stopped))
        for value, bound, factor in zip(ordered, adjusted, left, strict=True)
    }
    return [steps[value] for value in p]
