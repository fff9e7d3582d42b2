"""The search of a study: every trial as a table, and pictures of where it looked and what it found."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hrmsearch.report.document import Item, Text, anchor, listed
from hrmsearch.report.figures import Picture
from hrmsearch.report.figures.bands import Series, band_chart
from hrmsearch.report.figures.bars import importance as importance_chart
from hrmsearch.report.figures.heat import heat_map
from hrmsearch.report.figures.pareto import Better, Objective, pareto
from hrmsearch.report.figures.pareto import Trial as Marked
from hrmsearch.report.numbers import count, metric
from hrmsearch.report.study_file import StudyFolder, Trial
from hrmsearch.report.table import Table
from hrmsearch.study.importance import FEWEST, importance

_SIZE = "flops_per_token"
#: the last word of paths that say how often a level ticks
_CLOCKS = ("period", "cycles")
_IMPORTANCE = "Share of each path in what sets the better trials apart: PED-ANOVA over the trials that were trained."


def trials_table(study: StudyFolder) -> Table:
    """Return every trial of every arm; a star marks those that valid chose."""
    rows = [[_row(study, trial) for trial in study.of_arm(arm)] for arm in study.arms]
    titles = ["trial", "what came of it", *(f"{name} ({way})" for name, way in study.objectives.items())]
    titles += ["parameters", "point"]
    align = "ll" + "r" * (len(study.objectives) + 1) + "l"
    return Table(titles, align, [section for section in rows if section], "trials; * was chosen")


def search_items(study: StudyFolder, *, figures: bool) -> Iterator[Item]:
    """Yield what the search did, as pictures where there is something to search, and as a table of every trial."""
    if study.is_searched:
        if figures:
            yield from _pictures(study)
        if lacking := [arm for arm in study.arms if study.of_arm(arm) and not _importance(study, arm)]:
            yield Text(
                f"How much each path matters is not said of {listed(lacking)}: that takes {FEWEST} trials that were "
                "trained, at points that differ."
            )
    yield trials_table(study)


def trials_csv(study: StudyFolder) -> str:
    """Return every trial as a row, its point and sizes as JSON."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["arm", "trial", "outcome", "why", "repeats", *study.objectives, "point", "sizes", "chosen"])
    for arm in study.arms:
        for one in study.of_arm(arm):
            values = [*one.values, *[""] * (len(study.objectives) - len(one.values))]
            head = [arm, one.number, one.what, one.why, one.repeats, *values]
            writer.writerow([*head, *map(json.dumps, (one.point, one.sizes)), study.chosen.get(arm) == one.number])
    return stream.getvalue()


# -- pictures ----------------------------------------------------------------------------------------------------------


def _pictures(study: StudyFolder) -> Iterator[Picture]:
    prefix = anchor(study.name)
    if any(trial.counts for trial in study.trials):
        yield _progress(study, prefix)
        yield _front(study, prefix)
    for number, arm in enumerate(study.arms):
        shares = _importance(study, arm)
        if shares:
            name, title = f"{prefix}-{anchor(arm)}-importance", f"what matters in {arm}"
            yield importance_chart(name, title, shares, _IMPORTANCE, number)
        yield from _clocks(study, prefix, arm)


def _progress(study: StudyFolder, prefix: str) -> Picture:
    name, way = next(iter(study.objectives.items()))
    series = [Series(arm, i, {0: _best_so_far(study.of_arm(arm), way)}) for i, arm in enumerate(study.arms)]
    return band_chart(
        f"{prefix}-search",
        "the search",
        [one for one in series if one.seeds[0]],
        x="trials",
        y=f"best {_said(name)} so far",
        caption="The best value of each arm after so many of its trials.",
    )


def _best_so_far(trials: Sequence[Trial], way: str) -> dict[float, float]:
    better, found = (min if way == "min" else max), dict[float, float]()
    best: float | None = None
    for place, trial in enumerate(trials, 1):
        if trial.counts:
            best = trial.values[0] if best is None else better(best, trial.values[0])
        if best is not None:
            found[float(place)] = best
    return found


def _front(study: StudyFolder, prefix: str) -> Picture:
    """Draw the first objective against the second one, or against what a token costs where there is one only."""
    (first, way), *others = study.objectives.items()
    y = Objective(_said(first), _better(way))
    if others:
        x = Objective(_said(others[0][0]), _better(others[0][1]))
    else:
        x = Objective("training FLOPs per token", "less", log=True)
    trials = [
        Marked(arm, number, one.values[1] if others else one.sizes[_SIZE], one.values[0])
        for number, arm in enumerate(study.arms)
        for one in study.of_arm(arm)
        if one.counts and (others or _SIZE in one.sizes)
    ]
    return pareto(f"{prefix}-front", f"{_said(first)} against {x.label}", trials, x, y)


def _importance(study: StudyFolder, arm: str) -> Mapping[str, float]:
    sign = 1.0 if next(iter(study.objectives.values())) == "min" else -1.0
    return importance([(one.point, sign * one.values[0]) for one in study.of_arm(arm) if one.counts])


def _clocks(study: StudyFolder, prefix: str, arm: str) -> Iterator[Picture]:
    """Draw the leading objective over two searched settings of how often levels tick."""
    objective, way = next(iter(study.objectives.items()))
    trials = [one for one in study.of_arm(arm) if one.counts]
    paths = sorted(path for path in (trials[0].point if trials else ()) if path.rpartition(".")[2] in _CLOCKS)
    if len(paths) != 2 or not all(isinstance(one.point[path], int) for one in trials for path in paths):
        return
    cells: dict[tuple[float, float], list[float]] = {}
    for one in trials:
        cells.setdefault((one.point[paths[0]], one.point[paths[1]]), []).append(one.values[0])
    y, x = (".".join(path.split(".")[-2:]) for path in paths)
    name, title = f"{prefix}-{anchor(arm)}-clocks", f"how often {arm} ticks"
    yield heat_map(name, title, cells, x=x, y=y, value=_said(objective), better=_better(way))


# -- words -------------------------------------------------------------------------------------------------------------


def _row(study: StudyFolder, trial: Trial) -> Sequence[str]:
    mark = " *" if study.chosen.get(trial.arm) == trial.number else ""
    what = trial.what.replace("_", " ") + (", as an earlier trial" if trial.repeats else "")
    why = f": {trial.why.splitlines()[0]}" if trial.why else ""
    values = [metric(value, 4) for value in trial.values] or [""] * len(study.objectives)
    size = count(trial.sizes["params"]) if "params" in trial.sizes else ""
    point = ", ".join(f"{path}={_short(value)}" for path, value in trial.point.items()) or "as written"
    return f"{trial.arm}-{trial.number}{mark}", what + why, *values, size, point


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _said(objective: str) -> str:
    """Return an objective in words: `valid bpc`."""
    return objective.replace(".", " ")


def _better(way: str) -> Better:
    return "less" if way == "min" else "more"
