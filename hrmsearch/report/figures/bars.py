"""How much each searched parameter matters, as bars."""

from collections.abc import Mapping
from typing import Any

from hrmsearch.report.figures.labels import broken
from hrmsearch.report.figures.picture import Picture
from hrmsearch.report.figures.tones import tone

_ROW, _REST = 0.42, 0.65


def importance(name: str, title: str, shares: Mapping[str, float], about: str, number: int = 0) -> Picture:
    """Return bars of the share of each parameter, the largest first.

    shares: by spec path. about: how they were computed. number: of the arm, for its colour.
    """
    ordered = sorted(shares.items(), key=lambda item: (-item[1], item[0]))

    def draw(axes: Any) -> None:
        places = range(len(ordered))
        axes.barh(places, [share for _, share in ordered], height=0.3, color=tone(number))
        where = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "bottom"}
        for place, (path, share) in enumerate(ordered):
            text = broken(f"{path}: {100 * share:.0f} %")
            axes.annotate(text, (0, place - 0.15), xytext=(1, 1), **where)
        axes.set_ylim(len(ordered) - 0.6, -0.85)
        axes.set_xlim(0, 1)
        axes.set_yticks([])
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("share of the variation between trials")

    return Picture(name, title, about, draw, _REST + _ROW * len(ordered))
