"""A figure before it is drawn, and its two forms: SVG text and PNG bytes, the same for the same values."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any, Final

from hrmsearch.report.figures.labels import FONT, FONT_SIZE
from hrmsearch.report.figures.library import matplotlib
from hrmsearch.report.figures.tones import colour

#: inches; a figure is as wide as a column of two on a screen, and as a phone
_WIDTH: Final = 4.4
_DOTS_PER_INCH: Final = 200
#: settings of a process rather than of a figure
_KEPT: Final = ("backend", "backend_fallback", "interactive", "toolbar", "timezone", "webagg.port")


@dataclass(frozen=True)
class Picture:
    """A figure of one plot.

    name: the stem of its files. title, caption: what it shows, and how to read it. draw: draws on matplotlib axes.
    height: inches.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Any], None]
    height: float = 3.0

    @cached_property
    def svg(self) -> str:
        """The figure as SVG on no paper, its text as paths; raises HrmsearchError without matplotlib."""
        drawn = self._saved("svg", transparent=True, metadata={"Date": None, "Creator": None, "Title": self.title})
        text = drawn.decode()
        return _own_ids(text[text.index("<svg") :], self.name)

    @cached_property
    def png(self) -> bytes:
        """The figure as PNG on white paper; raises HrmsearchError without matplotlib."""
        return self._saved("png", dpi=_DOTS_PER_INCH, facecolor="white", metadata={"Software": None})

    def figure(self) -> Any:
        """Return the drawn matplotlib figure; raises HrmsearchError without matplotlib."""
        with _settings(self.name):
            figure = matplotlib("figure").Figure(figsize=(_WIDTH, self.height), layout="constrained")
            self.draw(figure.add_subplot())
            return figure

    def _saved(self, form: str, **how: Any) -> bytes:
        figure, stream = self.figure(), BytesIO()
        # some settings count when a figure is drawn, others when it is saved
        with _settings(self.name):
            figure.savefig(stream, format=form, **how)
        return stream.getvalue()


def _settings(name: str) -> AbstractContextManager[None]:
    """Return a context with settings of our own, all of them, whatever the user's are."""
    mpl = matplotlib()
    ink, faint, grid = colour("ink"), colour("faint"), colour("grid")
    own = {
        "font.family": [FONT],
        "svg.fonttype": "path",
        "svg.hashsalt": name,
        "font.size": FONT_SIZE,
        "text.color": ink,
        "axes.edgecolor": faint,
        "axes.labelcolor": ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.titlesize": "medium",
        "grid.color": grid,
        "grid.linewidth": 0.6,
        "xtick.color": faint,
        "ytick.color": faint,
        "xtick.labelcolor": ink,
        "ytick.labelcolor": ink,
        "legend.frameon": False,
        "legend.fontsize": "medium",
        "lines.linewidth": 1.6,
        "lines.markersize": 4.5,
    }
    plain = {key: value for key, value in mpl.rcParamsDefault.items() if key not in _KEPT}
    return mpl.rc_context(plain | own)


def _own_ids(svg: str, name: str) -> str:
    """Return an SVG whose ids begin with its name, so that several fit into one page."""
    return re.sub(r'(\bid="|href="#|url\(#)', lambda found: f"{found[1]}{name}-", svg)
