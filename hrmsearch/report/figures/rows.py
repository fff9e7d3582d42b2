"""Rows of values below their names: what each seed scored, or how far it lies from a control, with intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hrmsearch.report.figures.labels import broken
from hrmsearch.report.figures.picture import Picture
from hrmsearch.report.figures.tones import colour, marker, tone

# Inches that a row takes, and the rest of a chart.
_ROW, _REST = 0.5, 0.8
# Where seeds stand below their mean, in rows.
_SEEDS_BELOW = 0.2


@dataclass(frozen=True, slots=True)
class Row:
    """A row: a value per seed, their mean, and where there is one a confidence interval and what it says.

    number: of the spec or arm, for its colour. verdict: a few words beside the label.
    """

    label: str
    number: int
    values: Sequence[float]
    interval: tuple[float, float] | None = None
    verdict: str = ""

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return math.fsum(self.values) / len(self.values)


@dataclass(frozen=True, slots=True)
class Mark:
    """A value that all rows are held against, such as zero or a control's."""

    label: str
    value: float


def rows_chart(
    name: str, title: str, rows: Sequence[Row], *, x: str, caption: str, marks: Sequence[Mark] = ()
) -> Picture:
    """Return a chart with a row per spec or arm: seeds as small dots, the mean as a large one, an interval as a bar."""

    def draw(axes: Any) -> None:
        axes.margins(x=0.08)
        for place, row in enumerate(rows):
            _row(axes, row, place)
        for place, mark in enumerate(marks):
            _mark(axes, mark, len(marks) - 1 - place)
        axes.set_ylim(len(rows) - 0.5, -0.75)
        axes.set_yticks([])
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(broken(x))

    lines = sum(broken(_text(row)).count("\n") for row in rows)
    height = _REST + _ROW * len(rows) + 0.16 * lines + 0.17 * len(marks)
    return Picture(name, title, caption, draw, height)


def forest(name: str, title: str, rows: Sequence[Row], *, x: str, control: str, better: str, intervals: str) -> Picture:
    """Return a forest plot of paired differences from a control.

    better: `less` or `more`. intervals: what the bars are, such as `paired t intervals`; empty where rows have none.
    """
    side = "left" if better == "less" else "right"
    bars = f", bars are {intervals}" if intervals else ""
    crossing = "; a bar that crosses zero shows no difference" if intervals else ""
    caption = (
        f"Small dots are seeds, each minus the same seed of {control}; large marks are means{bars}. "
        f"{side.capitalize()} of zero is better than {control}{crossing}."
    )
    return rows_chart(name, title, rows, x=x, caption=caption, marks=[Mark(control, 0.0)])


def _text(row: Row) -> str:
    return f"{row.label}: {row.verdict}" if row.verdict else row.label


def _row(axes: Any, row: Row, place: int) -> None:
    hue = tone(row.number)
    below = [place + _SEEDS_BELOW] * len(row.values)
    axes.plot(row.values, below, linestyle="", marker="o", markersize=3, color=hue, alpha=0.6)
    axes.plot([row.mean], [place], linestyle="", marker=marker(row.number), markersize=7, color=hue)
    if row.interval is not None:
        axes.plot(row.interval, [place, place], color=hue, linewidth=2.2, marker="|", markersize=8)
    where = {"xycoords": ("axes fraction", "data"), "xytext": (0, 7), "textcoords": "offset points"}
    paper = {"facecolor": colour("paper"), "edgecolor": "none", "pad": 0.8}
    axes.annotate(broken(_text(row)), (0, place), va="bottom", bbox=paper, **where)


def _mark(axes: Any, mark: Mark, line: int) -> None:
    """Draw a mark with its label above the plot, on the side that has more room."""
    axes.axvline(mark.value, color=colour("faint"), linestyle=(0, (4, 3)), linewidth=1.0)
    is_left = mark.value < sum(axes.get_xlim()) / 2
    where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "bottom"}
    shift = (-2 if is_left else 2, 2 + 11 * line)
    axes.annotate(mark.label, (mark.value, 1), xytext=shift, ha="left" if is_left else "right", **where)
