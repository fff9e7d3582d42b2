"""A grid of results over two searched settings, such as the periods of H and L."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hrmsearch.report.figures.labels import name_axes
from hrmsearch.report.figures.picture import Picture
from hrmsearch.report.figures.tones import colour

# On colours of a map the two papers do not matter: text is dark or light as the cell is.
_ON_LIGHT, _ON_DARK = "#101010", "#fdfdfd"
_CELL, _REST = 0.42, 0.9
# Rows that a map is at least as high as, so that its label has room.
_FEWEST = 3

#: what was measured, by the values of the vertical and the horizontal setting
Cells = Mapping[tuple[float, float], Sequence[float]]


def heat_map(name: str, title: str, cells: Cells, *, x: str, y: str, value: str, better: str) -> Picture:
    """Return a grid with the mean of each cell's values and how many there are.

    x, y: the settings. value: what was measured. better: `less` or `more`; better cells are darker.
    """
    rows, columns = (sorted({key[i] for key in cells}) for i in (0, 1))
    height = _REST + _CELL * max(len(rows), _FEWEST)
    means = {key: math.fsum(values) / len(values) for key, values in cells.items() if values}

    def draw(axes: Any) -> None:
        grid = [[means.get((row, column), math.nan) for column in columns] for row in rows]
        drawn = axes.pcolormesh(grid, cmap="viridis" if better == "less" else "viridis_r", edgecolors="none")
        for (row, column), mean in means.items():
            place = columns.index(column) + 0.5, rows.index(row) + 0.5
            shade = _text_on(drawn.to_rgba(mean))
            count = len(cells[row, column])
            axes.text(*place, f"{mean:.4g}\nn={count}", ha="center", va="center", color=shade, fontsize="small")
        axes.set_xticks([i + 0.5 for i in range(len(columns))], [f"{column:g}" for column in columns])
        axes.set_yticks([i + 0.5 for i in range(len(rows))], [f"{row:g}" for row in rows])
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        name_axes(axes, x, y, height)
        axes.set_facecolor(colour("grid"))

    caption = f"Each cell is the mean {value} of n trials, darker is better; empty cells were not tried."
    return Picture(name, title, caption, draw, height)


def _text_on(rgba: Sequence[float]) -> str:
    luminance = 0.299 * rgba[0] + 0.587 * rgba[1] + 0.114 * rgba[2]
    return _ON_LIGHT if luminance > 0.5 else _ON_DARK
