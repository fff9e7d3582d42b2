"""Lines over epochs, passes or ticks: the mean over seeds, a band from the lowest seed to the highest, every seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hrmsearch.report.figures.labels import below, legend_height, name_axes, whole_numbers
from hrmsearch.report.figures.picture import Picture
from hrmsearch.report.figures.tones import colour, dashes, marker, tone

#: how a caption explains the band
BAND = "Lines are means over seeds, bands reach from the lowest seed to the highest."
_AHEAD = "Where some seeds have stopped, each of the others goes on as a thin line."
# Inches without the legend.
_PLOT = 2.7
# With values this many times apart, a linear axis would show the largest alone.
_FAR_APART = 20.0


@dataclass(frozen=True, slots=True)
class Series:
    """What several seeds measured along an axis: `seeds[seed][x]`; number: of the spec, for its colour."""

    label: str
    number: int
    seeds: Mapping[int, Mapping[float, float]]

    def common(self) -> list[float]:
        """Return the places that every seed has."""
        shared = set[float].intersection(*map(set, self.seeds.values())) if self.seeds else set[float]()
        return sorted(shared)

    def band(self) -> list[tuple[float, float, float, float]]:
        """Return place, mean, lowest and highest wherever every seed has a finite value."""
        found = [(x, [seed[x] for seed in self.seeds.values()]) for x in self.common()]
        return [(x, math.fsum(y) / len(y), min(y), max(y)) for x, y in found if all(map(math.isfinite, y))]

    def ahead(self) -> list[list[tuple[float, float]]]:
        """Return what some seeds have beyond the last place that all have, beginning with that place."""
        last = max(self.common(), default=-math.inf)
        tails = [[(x, y) for x, y in sorted(seed.items()) if x >= last] for seed in self.seeds.values()]
        return [tail for tail in tails if len(tail) > 1]


@dataclass(frozen=True, slots=True)
class Level:
    """A value to hold lines against, such as a control's."""

    label: str
    value: float


def band_chart(
    name: str,
    title: str,
    series: Sequence[Series],
    *,
    x: str,
    y: str,
    note: str = "",
    caption: str = "",
    levels: Sequence[Level] = (),
    points: bool = False,
) -> Picture:
    """Return a chart of lines with bands.

    note: a sentence ahead of the caption. caption: in place of the one that explains seeds and bands. points: mark the
    means, where places are few.
    """
    labels = [one.label for one in [*series, *levels]]

    def draw(axes: Any) -> None:
        for one in series:
            _draw(axes, one, points=points or len(one.common()) == 1)
        for level in levels:
            axes.axhline(level.value, color=colour("faint"), linestyle=(0, (4, 3)), linewidth=1.0, label=level.label)
        name_axes(axes, x, y, _PLOT)
        whole_numbers(axes)
        if _far_apart(series, levels):
            axes.set_yscale("log")
        below(axes, labels)

    several = any(len(one.seeds) > 1 for one in series)
    parts = [note, BAND if several else "One seed each.", _AHEAD if any(one.ahead() for one in series) else ""]
    return Picture(name, title, caption or " ".join(filter(None, parts)), draw, _PLOT + legend_height(labels))


def _draw(axes: Any, series: Series, *, points: bool) -> None:
    style = {"color": tone(series.number), "linestyle": dashes(series.number)}
    band = series.band()
    x, mean, low, high = zip(*band, strict=True) if band else ((), (), (), ())
    axes.plot(x, mean, label=series.label, marker=marker(series.number) if points else "", **style)
    if len(series.seeds) > 1:
        if points:
            reach = [[m - a for m, a in zip(mean, low, strict=True)], [b - m for m, b in zip(mean, high, strict=True)]]
            axes.errorbar(x, mean, reach, color=tone(series.number), linestyle="", elinewidth=1.0, capsize=2.5)
        axes.fill_between(x, low, high, color=tone(series.number), alpha=0.2, linewidth=0)
    for tail in series.ahead():
        axes.plot(*zip(*tail, strict=True), linewidth=0.8, alpha=0.8, **style)


def _far_apart(series: Sequence[Series], levels: Sequence[Level]) -> bool:
    values = [value for one in series for seed in one.seeds.values() for value in seed.values()]
    values = [value for value in [*values, *(level.value for level in levels)] if math.isfinite(value)]
    return bool(values) and min(values) > 0 and max(values) / min(values) > _FAR_APART
