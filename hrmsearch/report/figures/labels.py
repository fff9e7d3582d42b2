"""Labels that are read: a legend below the plot, whole numbers on an axis of counts, lines broken where long."""

import math
import textwrap
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from hrmsearch.report.figures.library import matplotlib

#: matplotlib brings it along, so that figures are the same everywhere
FONT: Final = "DejaVu Sans"
#: points of a figure's text
FONT_SIZE: Final = 8.5
#: points that a line of text may take in a figure
_LINE: Final = 296.0
#: points that a legend's entry takes beside its text: key, padding, and the space to the next column
_KEY: Final = 4.8 * FONT_SIZE
#: inches
_LEGEND_LINE: Final = 0.19
#: inches that ticks and a label take below a plot
_BELOW: Final = 0.7
_POINTS_PER_INCH: Final = 72.0


def legend_height(labels: Sequence[str]) -> float:
    """Return the inches that a legend below a plot takes."""
    if not labels:
        return 0.0
    lines = max(broken(label, _LINE - _KEY).count("\n") + 1 for label in labels)
    return _LEGEND_LINE * lines * math.ceil(len(labels) / _columns(labels))


def below(axes: Any, labels: Sequence[str]) -> None:
    """Set a legend below the plot, in as many columns as the longest label leaves room for."""
    handles, names = axes.get_legend_handles_labels()
    if labels:
        shown = [broken(name, _LINE - _KEY) for name in names]
        axes.figure.legend(handles, shown, loc="outside lower left", ncols=_columns(labels))


def broken(text: str, points: float = _LINE) -> str:
    """Return a text in lines that take at most so many points."""
    characters = len(text)
    lines = [text]
    while characters > 1 and max(map(_width, lines), default=0.0) > points:
        characters -= 1
        lines = textwrap.wrap(text, characters)
    return "\n".join(lines)


def name_axes(axes: Any, x: str, y: str, inches: float) -> None:
    """Label both axes of a plot that is so many inches high, in lines that fit."""
    axes.set_xlabel(broken(x, _LINE - _KEY))
    axes.set_ylabel(broken(y, _POINTS_PER_INCH * (inches - _BELOW)))


def whole_numbers(axes: Any) -> None:
    """Put the ticks of the horizontal axis at whole numbers."""
    axes.xaxis.set_major_locator(matplotlib("ticker").MaxNLocator(integer=True, nbins=8, min_n_ticks=1))


def _columns(labels: Sequence[str]) -> int:
    fit = int(_LINE / (max(map(_width, labels)) + _KEY))
    return min(max(fit, 1), len(labels))


@lru_cache(maxsize=4096)
def _width(text: str) -> float:
    """Return the points that a line takes in the font of figures."""
    font = matplotlib("font_manager").FontProperties(family=FONT, size=FONT_SIZE)
    width, _, _ = matplotlib("textpath").text_to_path.get_text_width_height_descent(text, font, False)
    return float(width)
