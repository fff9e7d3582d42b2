"""Pictures of runs on the same data: scores, differences, learning curves, passes and telemetry."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from hrmsearch.ir import TELEMETRY
from hrmsearch.report.document import anchor
from hrmsearch.report.evidence import Evidence
from hrmsearch.report.figures import Picture
from hrmsearch.report.figures.bands import Level, Series, band_chart
from hrmsearch.report.figures.rows import Mark, Row, rows_chart
from hrmsearch.report.numbers import measured
from hrmsearch.report.runs import Compared, Trained
from hrmsearch.tasks.judging import METRICS, is_better, is_share
from hrmsearch.train import Score

#: what a reading means, by the beginning of its name
_READINGS = {
    "energy": "The energy of a level is the sum of z² over the width, as a mean over tokens and windows.",
    "ponder": "Ponder counts the ticks that a model took, as a mean over windows.",
    "passes": "Counted are the passes that a row took until it halted, as a mean over windows.",
    "halted": "The share of rows that halted after this very pass.",
}


def of_scores(compared: Compared) -> list[Picture]:
    """Return a picture of the scores on each split that chose nothing."""
    return [_scores(anchor(compared.corpus), compared, split) for split in _reported(compared)]


def of_learning(compared: Compared) -> list[Picture]:
    """Return pictures of how scores came about: over epochs and passes, and what models told of themselves."""
    prefix = anchor(compared.corpus)
    curves = (_learning(prefix, compared, "valid", compared.metric), _learning(prefix, compared, "train", "loss"))
    found = [*curves, _halting(prefix, compared), _passes(prefix, compared), *_telemetry(prefix, compared)]
    return [picture for picture in found if picture is not None]


def scored_split(compared: Compared) -> str:
    """Return the split that results are read from: test, which chose nothing, where there is one."""
    found = _reported(compared)
    return "test" if "test" in found else "valid"


def best_on_valid(compared: Compared) -> str:
    """Return the spec with the best mean on valid: valid chooses, test reports."""
    return _best_first(compared, "valid")[0][1].label


def best_control(compared: Compared, split: str) -> tuple[str, float] | None:
    """Return the best of the task's controls on a split, and its value of the leading metric."""
    name = compared.metric
    found = [(c.name, c.metrics[split][name]) for c in compared.controls if name in c.metrics.get(split, {})]
    return min(found, key=lambda control: _rank(name, control[1]), default=None)


def _reported(compared: Compared) -> list[str]:
    """Return the splits that chose nothing and that every spec was scored on; valid where there is none."""
    first = compared.specs[0].summary.metrics
    everywhere = [split for split in first if all(spec.summary.metrics.get(split) for spec in compared.specs)]
    return [split for split in everywhere if split != "valid"] or ["valid"]


def _scores(prefix: str, compared: Compared, split: str) -> Picture:
    metric = compared.metric
    rows = [
        Row(spec.label, number, values, verdict=measured(metric, mean))
        for number, spec in _best_first(compared, split)
        if (values := _plotted(metric, _last(spec, split, metric)))
        for mean in [spec.summary.metrics[split][-1][metric].mean]
    ]
    best = best_control(compared, split)
    marks = [Mark(f"{best[0]}, the best control", *_plotted(metric, [best[1]]))] if best else []
    caption = f"Small dots are seeds, large marks are means. {METRICS[metric].better.capitalize()} is better."
    name = axis_label(f"{split} {metric}")
    return rows_chart(
        f"{prefix}-{split}-scores", f"{split} {metric}", rows, x=name, caption=caption, marks=marks[: len(rows)]
    )


def _learning(prefix: str, compared: Compared, split: str, metric: str) -> Picture | None:
    series = _series(compared, lambda one: _by_epoch(one, split, metric), metric)
    best = best_control(compared, split) if split == "valid" else None
    levels = [Level(f"{best[0]}, the best control", *_plotted(metric, [best[1]]))] if best else []
    y, title = f"{axis_label(f'{split} {metric}')}, last pass", f"{split} {metric} while training"
    if not series:
        return None
    return band_chart(f"{prefix}-{split}-{metric}", title, series, x="epoch", y=y, levels=levels)


def _passes(prefix: str, compared: Compared) -> Picture | None:
    split, metric = scored_split(compared), compared.metric
    series = _series(compared, lambda one: _by_pass(one, split, lambda score: score[metric]), metric)
    if all(len(one.common()) < 2 for one in series):
        return None
    title, y = f"{split} {metric} after each pass", axis_label(f"{split} {metric}")
    return band_chart(f"{prefix}-passes", title, series, x="pass", y=y, points=True)


def _halting(prefix: str, compared: Compared) -> Picture | None:
    """Draw after how many passes rows halted in training, where they may halt by themselves."""
    series = _series(compared, lambda one: _by_epoch(one, "train", "passes"))
    if not series:
        return None
    title, y = "passes until a row halts, train", "passes, mean over rows"
    return band_chart(f"{prefix}-halting", title, series, x="epoch", y=y)


def _telemetry(prefix: str, compared: Compared) -> Iterator[Picture]:
    """Yield what models told of themselves: over passes where there are several, and over epochs."""
    split = scored_split(compared)
    told = {name: None for spec in compared.specs for each in spec.summary.telemetry.get(split, ()) for name in each}
    for name in told:
        reading = name.removeprefix(TELEMETRY)
        note = _READINGS.get(reading.rpartition(".")[2].partition("_")[0], "")
        passes = _series(compared, lambda one, name=name: _by_pass(one, split, lambda s: s.telemetry.get(name)))
        if any(len(one.common()) > 1 for one in passes):
            file, title = f"{prefix}-{anchor(reading)}-passes", f"{reading} over passes, {split}"
            yield band_chart(file, title, passes, x="pass", y=reading, note=note, points=True)
        epochs = _series(compared, lambda one, name=name: _by_epoch(one, "valid", name))
        if epochs:
            file, title = f"{prefix}-{anchor(reading)}-epochs", f"{reading} while training, valid"
            yield band_chart(file, title, epochs, x="epoch", y=f"{reading}, last pass", note=note)


# -- values ------------------------------------------------------------------------------------------------------------


def _series(compared: Compared, values: Callable[[Evidence], Mapping[float, float]], metric: str = "") -> list[Series]:
    """Return a series per spec of what its seeds have, percent for shares; without specs that have nothing."""
    scale = 100.0 if is_share(metric) else 1.0
    found = [
        Series(spec.label, number, {one.seed: {x: scale * y for x, y in values(one).items()} for one in spec.seeds})
        for number, spec in enumerate(compared.specs)
    ]
    return [one for one in found if any(one.seeds.values())]


def _by_epoch(one: Evidence, split: str, metric: str) -> dict[float, float]:
    """Return a logged value after the last pass by epoch; infinite ones are logged as null."""
    lines: list[Mapping[str, Any]] = [line for line in one.lines if line["split"] == split and metric in line]
    last = max((line["pass"] for line in lines), default=0)
    values = ((line["epoch"], line[metric]) for line in lines if line["pass"] == last)
    return {epoch: math.inf if value is None else value for epoch, value in values}


def _by_pass(one: Evidence, split: str, value: Callable[[Score], float | None]) -> dict[float, float]:
    scores = one.result.scores.get(split, ())
    return {score.number: found for score in scores if (found := value(score)) is not None}


def _by_seed(spec: Trained, split: str, metric: str) -> dict[int, float]:
    return {one.seed: one.result.scores[split][-1][metric] for one in spec.seeds}


def _last(spec: Trained, split: str, metric: str) -> Iterable[float]:
    return _by_seed(spec, split, metric).values()


def _best_first(compared: Compared, split: str) -> list[tuple[int, Trained]]:
    """Return specs with their numbers, the best mean first."""
    metric = compared.metric

    def rank(item: tuple[int, Trained]) -> float:
        return _rank(metric, item[1].summary.metrics[split][-1][metric].mean)

    return sorted(enumerate(compared.specs), key=rank)


def _rank(metric: str, value: float) -> float:
    """Return a number that is smaller for better values."""
    return value if is_better(metric, 0.0, 1.0) else -value


def _plotted(metric: str, values: Iterable[float]) -> list[float]:
    """Return values as they are drawn: shares in percent, infinite ones left out."""
    scale = 100.0 if is_share(metric) else 1.0
    return [scale * value for value in values if math.isfinite(value)]


def axis_label(name: str) -> str:
    """Return the label of an axis: `test accuracy, %`."""
    return f"{name}, %" if is_share(name.rpartition(" ")[2]) else name
