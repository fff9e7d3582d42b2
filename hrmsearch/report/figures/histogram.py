"""How often each whole number occurred, as shares, bars of several specs side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from hrmsearch.report.figures.labels import below, legend_height, name_axes, whole_numbers
from hrmsearch.report.figures.picture import Picture
from hrmsearch.report.figures.tones import tone

_PLOT = 2.5
# of the distance between two numbers, what their bars take
_TAKEN = 0.8

#: a label, the number of a spec for its colour, and counts
Counted = tuple[str, int, Mapping[int, int]]


def histogram(name: str, title: str, counted: Sequence[Counted], *, x: str, y: str, caption: str) -> Picture:
    """Return bars of the share of each number in its spec's counts."""
    labels = [label for label, _, _ in counted]
    width = _TAKEN / len(counted)

    def draw(axes: Any) -> None:
        for i, (label, number, counts) in enumerate(counted):
            total = sum(counts.values())
            places = [value - _TAKEN / 2 + (i + 0.5) * width for value in counts]
            shares = [100.0 * count / total for count in counts.values()]
            axes.bar(places, shares, width=0.9 * width, color=tone(number), label=label)
        name_axes(axes, x, y, _PLOT)
        whole_numbers(axes)
        axes.grid(visible=False, axis="x")
        below(axes, labels)

    return Picture(name, title, caption, draw, _PLOT + legend_height(labels))
