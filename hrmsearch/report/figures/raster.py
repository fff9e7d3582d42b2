"""A value over two scales of time, such as ticks of a pass and steps of training, as a field of colours."""

from collections.abc import Mapping, Sequence
from typing import Any

from hrmsearch.report.figures.labels import name_axes, whole_numbers
from hrmsearch.report.figures.picture import Picture

_HEIGHT = 2.6
#: lines that can still be told apart; of more, evenly many are left out
_MOST = 100


def raster(name: str, title: str, lines: Mapping[int, Sequence[float]], *, x: str, y: str, value: str) -> Picture:
    """Return a field with a line per place of the vertical scale, each with a value for 1, 2, .. of the horizontal one.

    lines: all of one length, at least one.
    """
    places = sorted(lines)
    shown = places[:: -(-len(places) // _MOST)]
    columns = len(lines[shown[0]])

    def draw(axes: Any) -> None:
        grid = [list(lines[place]) for place in shown]
        ticks = range(1, columns + 1)
        field = axes.pcolormesh(ticks, range(len(shown)), grid, cmap="viridis", shading="nearest")
        bar = axes.figure.colorbar(field, ax=axes)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)
        whole_numbers(axes)
        marked = sorted({0, len(shown) // 2, len(shown) - 1})
        axes.set_yticks(marked, [str(shown[i]) for i in marked])
        axes.grid(visible=False)
        name_axes(axes, x, y, _HEIGHT)

    return Picture(name, title, f"Colours are {value}.", draw, _HEIGHT)
