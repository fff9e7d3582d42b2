"""Labels that are read: a legend below the plot, whole numbers on an axis of counts, lines broken where long."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

# Characters of the font that fit beside each other below a plot, keys and gaps included.
_LINE, _KEY = 64, 7
# Inches.
_LEGEND_LINE = 0.19


def legend_height(labels: Sequence[str]) -> float:
    """Return the inches that a legend below a plot takes."""
    return _LEGEND_LINE * math.ceil(len(labels) / _columns(labels)) if labels else 0.0


def below(axes: Any, labels: Sequence[str]) -> None:
    """Set a legend below the plot, in as many columns as the longest label leaves room for."""
    handles, names = axes.get_legend_handles_labels()
    if labels:
        shown = [broken(name, _LINE - _KEY) for name in names]
        axes.figure.legend(handles, shown, loc="outside lower left", ncols=_columns(labels))


def _columns(labels: Sequence[str]) -> int:
    fit = max(1, _LINE // (max(len(label) for label in labels) + _KEY))
    return min(fit, len(labels))


def broken(text: str, width: int) -> str:
    """Return a text in lines of at most so many characters."""
    return "\n".join(textwrap.wrap(text, width)) or text


def whole_numbers(axes: Any) -> None:
    """Put the ticks of the horizontal axis at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
