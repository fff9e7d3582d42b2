"""Arms that were trained, compared: whether they may be, over which seeds, by which metric, and what comes of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hrmsearch.errors import RunError
from hrmsearch.study.caveats import caveats, listed
from hrmsearch.study.floors import floors
from hrmsearch.study.runs import RunArm
from hrmsearch.study.statistics import Better, Comparison, compare_arms
from hrmsearch.study.verdicts import Measure, sentences
from hrmsearch.tasks.base import Control
from hrmsearch.tasks.judging import METRICS, is_share
from hrmsearch.train import SeedResult


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric on a split, after the last pass."""

    split: str
    name: str

    @property
    def better(self) -> Better:
        """Which direction is."""
        return "lower" if METRICS[self.name].better == "less" else "higher"

    @property
    def measure(self) -> Measure:
        """How it is called and written."""
        return Measure(str(self), is_share(self.name))

    def of(self, result: SeedResult | None) -> float:
        """Return the value of a seed; NaN where it diverged."""
        return math.nan if result is None else result.scores[self.split][-1][self.name]

    def __str__(self) -> str:
        return f"{self.split} {self.name}"


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Arms by name, the first one the control, over paired seeds.

    values: by arm, in the order of the seeds. controls: what needs no neural model on the same data. warnings: what a
    reader should know before believing the rest.
    """

    metric: Metric
    arms: tuple[RunArm, ...]
    seeds: tuple[int, ...]
    values: Mapping[str, Sequence[float]]
    comparison: Comparison
    controls: tuple[Control, ...]
    warnings: tuple[str, ...]

    def sentences(self) -> list[str]:
        """Return what may be said of each arm but the control, and of all against what needs no neural model."""
        return [*sentences(self.comparison, self.metric.measure), *floors(self.comparison, self.floors)]

    @property
    def floors(self) -> dict[str, float]:
        """What the controls that need no neural model score, by name."""
        return {one.name: one.metrics[self.metric.split][self.metric.name] for one in self.controls}

    def record(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "metric": asdict(self.metric),
            "seeds": list(self.seeds),
            "budgets": {arm.name: arm.first["budget"] for arm in self.arms},
            "values": {name: list(row) for name, row in self.values.items()},
            **self.comparison.record(),
            "verdicts": self.sentences(),
            "controls": self.floors,
            "warnings": list(self.warnings),
        }


def compare_runs(arms: Sequence[RunArm], *, metric: str | None = None, control: str | None = None) -> RunComparison:
    """Compare trained arms with one of them over the seeds that all have.

    metric: `NAME` or `SPLIT.NAME`; by default bits per character where a task has them and otherwise its first metric,
    on test where there is such a split. control: the name of an arm, by default the first one's.

    Raises RunError for a single arm, an unknown control or metric, arms of different tasks, data or windows, and arms
    without a common seed.
    """
    ordered = _control_first(arms, control)
    for arm in ordered[1:]:
        _refuse_other_data(arm, ordered[0])
    seeds = _common(ordered)
    results = {arm.name: arm.results() for arm in ordered}
    finished = [one for row in results.values() for one in row.values() if one is not None]
    chosen = _metric(finished, metric)
    values = {name: [chosen.of(row[seed]) for seed in seeds] for name, row in results.items()}
    return RunComparison(
        metric=chosen,
        arms=tuple(ordered),
        seeds=tuple(seeds),
        values=values,
        comparison=compare_arms(ordered[0].name, values, better=chosen.better),
        controls=tuple(one for one in finished[0].controls if chosen.name in one.metrics.get(chosen.split, {})),
        warnings=tuple(caveats(ordered, seeds, chosen.split)),
    )


def _control_first(arms: Sequence[RunArm], control: str | None) -> list[RunArm]:
    if len(arms) < 2:
        raise RunError(f"{arms[0].place}: holds one arm, {arms[0].name}; name the run to compare it with")
    names = [arm.name for arm in arms]
    if control is not None and control not in names:
        raise RunError(f"--control {control}: is no arm; the arms are {', '.join(names)}")
    return sorted(arms, key=lambda arm: arm.name != (control or names[0]))


def _refuse_other_data(arm: RunArm, control: RunArm) -> None:
    """Raise RunError where an arm is scored on other targets than the control, so that their difference means nothing.

    The hash of data covers its text but not how it is cut, which the window says.
    """
    asked: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
        "task": lambda found: found["spec"]["task"]["kind"],
        "corpus": lambda found: found["data"]["corpus"],
        "data": lambda found: found["data"]["sha256"],
        "window": lambda found: found["spec"]["task"]["window"],
    }
    for what, of in asked.items():
        here, there = of(arm.first), of(control.first)
        if here != there:
            raise RunError(
                f"{arm.place}: {arm.name} has {what} {here}, {control.name} in {control.place} has {there}; "
                "only arms that are scored on the same targets compare"
            )


def _common(arms: Sequence[RunArm]) -> list[int]:
    seeds = sorted(set[int].intersection(*(set(arm.seeds) for arm in arms)))
    if not seeds:
        had = "; ".join(f"{arm.name} has {listed(arm.seeds)}" for arm in arms)
        raise RunError(f"{arms[-1].place}: no seed is in every arm, and seeds are compared in pairs: {had}")
    return seeds


def _metric(finished: Sequence[SeedResult], asked: str | None) -> Metric:
    """Return the metric asked for; raises RunError for one that not every seed has."""
    if not finished:
        raise RunError("every seed of every arm diverged; there is nothing to compare")
    scored = [
        {split: [*passes[-1].metrics, "loss"] for split, passes in one.scores.items() if passes} for one in finished
    ]
    had = {split: names for split, names in scored[0].items() if all(split in one for one in scored)}
    split, _, name = (asked or "").rpartition(".")
    split = split or ("test" if "test" in had else "valid")
    name = name or ("bpc" if "bpc" in had["valid"] else had["valid"][0])
    if any(name not in one.get(split, []) for one in scored):
        known = ", ".join(f"{split}.{name}" for split, names in had.items() for name in names)
        raise RunError(f"--metric {asked}: not every run has {split}.{name}; there are {known}")
    return Metric(split, name)
