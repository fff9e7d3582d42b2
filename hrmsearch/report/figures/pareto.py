"""Trials by two objectives, and the front of those that no other trial beats in both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hrmsearch.report.figures.labels import below, legend_height, name_axes
from hrmsearch.report.figures.picture import Picture
from hrmsearch.report.figures.tones import colour, marker, tone

Better = Literal["less", "more"]

_PLOT = 3.0


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial of an arm at the values of two objectives; number: of the arm, for its colour."""

    arm: str
    number: int
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Objective:
    """What is measured, and which way is better."""

    label: str
    better: Better
    log: bool = False

    def beats(self, one: float, other: float) -> bool:
        """Return whether a value is better than another."""
        return one < other if self.better == "less" else one > other


def front(trials: Sequence[Trial], x: Objective, y: Objective) -> list[Trial]:
    """Return the trials that none beats in one objective without losing in the other, by x; of equals each once."""

    def beaten(one: Trial) -> bool:
        return any(
            (x.beats(other.x, one.x) and not y.beats(one.y, other.y))
            or (y.beats(other.y, one.y) and not x.beats(one.x, other.x))
            for other in trials
        )

    left = {(one.x, one.y): one for one in trials if not beaten(one)}
    return [left[place] for place in sorted(left)]


def pareto(name: str, title: str, trials: Sequence[Trial], x: Objective, y: Objective) -> Picture:
    """Return a chart of trials with their front."""
    arms = dict.fromkeys((one.arm, one.number) for one in trials)
    best = front(trials, x, y)
    labels = [*(arm for arm, _ in arms), "front"]

    def draw(axes: Any) -> None:
        where = "steps-post" if x.better == "less" else "steps-pre"
        for arm, number in arms:
            own = [one for one in trials if (one.arm, one.number) == (arm, number)]
            style = {"linestyle": "", "marker": marker(number), "color": tone(number), "alpha": 0.75}
            axes.plot([one.x for one in own], [one.y for one in own], label=arm, **style)
        style = {"color": colour("ink"), "linewidth": 1.0, "drawstyle": where, "zorder": 1.5}
        axes.plot([one.x for one in best], [one.y for one in best], label="front", **style)
        name_axes(axes, x.label, y.label, _PLOT)
        for axis, objective in (("x", x), ("y", y)):
            if objective.log:
                getattr(axes, f"set_{axis}scale")("log")
        below(axes, labels)

    corner = f"{'left' if x.better == 'less' else 'right'} and {'down' if y.better == 'less' else 'up'}"
    caption = (
        f"A marker per trial; better lies to the {corner}. On the line are the trials that no other beats in both."
    )
    return Picture(name, title, caption, draw, _PLOT + legend_height(labels))
