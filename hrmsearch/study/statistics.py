"""Arms compared with a control over paired seeds: paired t tests, Holm over the arms, and what may be claimed.

A seed's difference is arm minus control. An arm's p is that of the paired t test (Student 1908); Holm's step-down rule
(1979, Scandinavian Journal of Statistics 6) adjusts it for the number of arms, and `p_adjusted <= alpha` decides. The
interval of an arm is the paired t interval at the level of the step that decided it, so it spans zero exactly where no
difference is shown. `docs/statistics.md` says what such a claim means and what it does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from hrmsearch.study import power
from hrmsearch.study.holm import Step, holm
from hrmsearch.study.pairing import Pair, Values, diverged

Better = Literal["lower", "higher"]
Verdict = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """The values of one arm: mean and sample standard deviation over its seeds.

    mean: None where a seed diverged: over the others it would be that of the survivors. sd: None for one seed too.
    diverged: positions, from 0, of seeds whose value is not finite.
    """

    name: str
    mean: float | None
    sd: float | None
    seeds: int
    diverged: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """An arm minus the control over paired seeds, and what may be claimed of it.

    interval: at confidence 1 - level, where `level` is what Holm's rule left for this arm; it spans zero exactly where
    the verdict is `no difference shown`. p: of the paired t test; p_adjusted: Holm's. permutation_p and its adjustment:
    of the sign-flip test, shown beside the verdict from 8 seeds on. verdict: None where nothing can be said, and then
    `reason` says why. alpha, comparisons: the error rate of the whole comparison, and how many arms share it.
    """

    arm: str
    seeds: int
    alpha: float
    comparisons: int
    mean: float | None = None
    sd: float | None = None
    level: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None
    p_adjusted: float | None = None
    permutation_p: float | None = None
    permutation_p_adjusted: float | None = None
    verdict: Verdict | None = None
    reason: str = ""

    @property
    def permutation_agrees(self) -> bool | None:
        """Whether the sign-flip test says the same at the same error rate; None without one."""
        if self.permutation_p_adjusted is None or self.verdict is None:
            return None
        return (self.permutation_p_adjusted <= self.alpha) == (self.verdict != "no difference shown")

    @property
    def seeds_needed(self) -> int | None:
        """Paired seeds that find a difference as large as this one in 80 % of studies; a plan, not evidence.

        At the level of Holm's first step. None without a difference or its deviation, or above a million seeds.
        """
        if not self.mean or not self.sd:
            return None
        return power.seeds_needed(self.mean / self.sd, alpha=self.alpha / self.comparisons)

    @property
    def detectable(self) -> float | None:
        """The smallest difference that so many seeds find in 80 % of studies, at the deviation seen."""
        if not self.sd:
            return None
        return self.sd * power.detectable(self.seeds, alpha=self.alpha / self.comparisons)

    def record(self) -> dict[str, Any]:
        """Return the difference as JSON values."""
        plans = {"seeds_needed": self.seeds_needed, "detectable": self.detectable}
        return {**asdict(self), "permutation_agrees": self.permutation_agrees, **plans}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Arms over the same seeds, and the differences of all others from the control, in the order given."""

    control: str
    better: Better
    alpha: float
    arms: tuple[ArmSummary, ...]
    differences: tuple[Difference, ...]

    def record(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        own = {"control": self.control, "better": self.better, "alpha": self.alpha}
        arms, differences = map(asdict, self.arms), (one.record() for one in self.differences)
        return {**own, "arms": list(arms), "differences": list(differences)}


def compare_arms(
    control: str, values: Mapping[str, Sequence[float]], *, better: Better, alpha: float = 0.05
) -> Comparison:
    """Compare every other arm with the control over paired seeds.

    values: by arm one value per seed, the same seeds in the same order for every arm; NaN and infinity mean that the
    seed diverged. better: which direction is. alpha: how often, at most, any arm that does not differ may be called
    different. All arms count in Holm's rule, those without a verdict too. Raises ValueError for an unknown control, no
    seeds, arms that are not paired, and an alpha outside (0, 1).
    """
    arrays = {name: np.asarray(list(row), np.float64) for name, row in values.items()}
    _check(control, arrays, alpha)
    pairs = [Pair(name, row, control, arrays[control]) for name, row in arrays.items() if name != control]
    steps = _family([pair.p for pair in pairs], alpha)
    flips = _family([pair.permutation_p for pair in pairs], alpha)
    found = (_difference(*one, better, alpha, len(pairs)) for one in zip(pairs, steps, flips, strict=True))
    return Comparison(control, better, alpha, tuple(_arm(*item) for item in arrays.items()), tuple(found))


def _check(control: str, values: Mapping[str, Values], alpha: float) -> None:
    if control not in values:
        raise ValueError(f"control: {control!r} is no arm; the arms are {', '.join(values) or 'none'}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha: {alpha} is no error rate; it lies between 0 and 1")
    counts = {name: len(row) for name, row in values.items()}
    if not counts[control]:
        raise ValueError(f"values: {control} has no seeds; at least one is needed")
    for name, count in counts.items():
        if count != counts[control]:
            raise ValueError(
                f"values: {name} has {count} seeds and {control} {counts[control]}; arms are paired seed by seed"
            )


def _family(p: Sequence[float | None], alpha: float) -> list[Step]:
    """Return Holm's steps; an arm without a p takes part as one that differs in nothing."""
    return holm([1.0 if value is None else value for value in p], alpha)


def _difference(pair: Pair, step: Step, flip: Step, better: Better, alpha: float, comparisons: int) -> Difference:
    is_judged = pair.p is not None
    return Difference(
        arm=pair.name,
        seeds=pair.seeds,
        alpha=alpha,
        comparisons=comparisons,
        mean=float(pair.values.mean()) if pair.is_finite else None,
        sd=pair.spread,
        level=step.level if is_judged else None,
        interval=pair.interval(step.level),
        p=pair.p,
        p_adjusted=step.p_adjusted if is_judged else None,
        permutation_p=pair.permutation_p,
        permutation_p_adjusted=None if pair.permutation_p is None else flip.p_adjusted,
        verdict=_verdict(pair, step, better, alpha) if is_judged else None,
        reason=pair.reason,
    )


def _verdict(pair: Pair, step: Step, better: Better, alpha: float) -> Verdict:
    if step.p_adjusted > alpha:
        return "no difference shown"
    return "better" if (pair.values.mean() < 0) == (better == "lower") else "worse"


def _arm(name: str, values: Values) -> ArmSummary:
    lost = diverged(values)
    if lost:
        return ArmSummary(name, None, None, len(values), lost)
    return ArmSummary(name, float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None, len(values))
