"""How far specs lie from one of them over paired seeds, and, where that one was named beforehand, what it shows."""

import math
from collections.abc import Iterator, Sequence

from hrmsearch.errors import RunError
from hrmsearch.report.comparison import differences_table
from hrmsearch.report.document import Item, Text, anchor
from hrmsearch.report.figures import Picture
from hrmsearch.report.figures.rows import Row, forest
from hrmsearch.report.plots import axis_label, best_on_valid
from hrmsearch.report.runs import Compared, Trained
from hrmsearch.study.comparing import RunComparison, compare_runs
from hrmsearch.study.runs import RunArm, SeedRun
from hrmsearch.study.statistics import Difference
from hrmsearch.study.verdicts import confidence, sentences
from hrmsearch.tasks.judging import METRICS

_UNNAMED = (
    "These differences are described, not judged: the spec they are taken from was chosen by looking at the results. "
    "Name one before looking, by --control, and the report says what the differences show."
)


def differences(compared: Compared, control: str | None, *, figures: bool) -> Iterator[Item]:
    """Yield what differs, as a picture and, where a control is named, as a table with verdicts.

    Nothing for a single spec; a sentence where specs cannot be compared.
    """
    if len(compared.specs) < 2:
        return
    try:
        found = _compared(compared, control or best_on_valid(compared))
    except RunError as error:
        yield Text(f"No differences: {error}.")
        return
    if figures:
        yield _picture(compared, found, judged=control is not None)
    if control is None:
        yield Text(_UNNAMED)
    else:
        yield differences_table(found.comparison, found.metric.measure)
        yield from map(Text, found.sentences())
        yield from (Text(f"Warning: {line}.") for line in found.warnings)


def verdicts(compared: Compared, control: str) -> list[str]:
    """Return in sentences what differences from a control show; none for a single spec or where none can be taken."""
    if len(compared.specs) < 2:
        return []
    try:
        found = _compared(compared, control)
    except RunError:
        return []
    return sentences(found.comparison, found.metric.measure)


def _compared(compared: Compared, control: str) -> RunComparison:
    """Compare specs over the seeds that all have; raises RunError where they cannot be."""
    return compare_runs([_arm(spec) for spec in compared.specs], metric=compared.metric, control=control)


def _arm(spec: Trained) -> RunArm:
    runs = [SeedRun(one.file, one.manifest) for one in [*spec.seeds, *spec.diverged]]
    return RunArm(spec.label, spec.seeds[0].file.parent, tuple(sorted(runs, key=lambda run: run.seed)), ())


def _picture(compared: Compared, found: RunComparison, *, judged: bool) -> Picture:
    """Draw a forest of the differences; judged: with intervals and verdicts."""
    control, metric = found.comparison.control, found.metric
    numbers = {spec.label: number for number, spec in enumerate(compared.specs)}
    scale = 100.0 if metric.measure.share else 1.0
    rows = [
        Row(one.arm, numbers[one.arm], values, _interval(one, scale) if judged else None, _words(one) if judged else "")
        for one in found.comparison.differences
        if (values := _values(found, one.arm, scale))
    ]
    return forest(
        f"{anchor(compared.corpus)}-differences",
        f"differences from {control}",
        rows,
        x=f"{axis_label(str(metric))}, minus that of {control}",
        control=control,
        better=METRICS[metric.name].better,
        intervals="paired t intervals at the confidence that Holm's rule asks of each" if judged else "",
    )


def _values(found: RunComparison, arm: str, scale: float) -> Sequence[float]:
    """Return the differences of an arm by seed, those that are numbers."""
    pairs = zip(found.values[arm], found.values[found.comparison.control], strict=True)
    return [scale * (a - b) for a, b in pairs if math.isfinite(a - b)]


def _interval(one: Difference, scale: float) -> tuple[float, float] | None:
    return None if one.interval is None else (scale * one.interval[0], scale * one.interval[1])


def _words(one: Difference) -> str:
    """Return the verdict with the interval's confidence, or why there is none."""
    return f"no verdict, {one.reason}" if one.verdict is None else f"{one.verdict} ({confidence(one)} interval)"
