"""Colours: tones that stay apart for colour-blind readers, each in a shade for light and one for dark paper."""

import re
from typing import Final

#: name: shade on light paper, shade on dark paper
INK: Final = {
    "paper": ("#ffffff", "#14171b"),
    "ink": ("#1c2128", "#e6e8eb"),
    "faint": ("#5d6670", "#a3abb5"),
    "grid": ("#dde1e6", "#3a4048"),
}
TONES: Final = {
    "tone-0": ("#076f93", "#4a99ff"),
    "tone-1": ("#e34201", "#da7c44"),
    "tone-2": ("#0c9c5f", "#55e792"),
    "tone-3": ("#9b2ab6", "#c983c1"),
    "tone-4": ("#728819", "#d0d22f"),
    "tone-5": ("#24355a", "#bfe5e0"),
}
MARKERS: Final = "osD^vP"
_DASHES: Final = ("-", (0, (5, 2)), (0, (1.5, 1.5)))


def colour(name: str) -> str:
    """Return the shade of `paper`, `ink`, `faint`, `grid` or `tone-<i>` on light paper."""
    return (INK | TONES)[name][0]


def tone(number: int) -> str:
    """Return the colour of the number-th spec or arm; after the last tone they begin again."""
    return colour(f"tone-{number % len(TONES)}")


def marker(number: int) -> str:
    """Return the marker of the number-th spec or arm, so that its colour is not all that tells it."""
    return MARKERS[number % len(MARKERS)]


def dashes(number: int) -> object:
    """Return the line style of the number-th spec or arm: solid for the first, another when tones begin again."""
    return _DASHES[number // len(TONES) % len(_DASHES)]


def variables(dark: bool) -> str:
    """Return CSS that declares every colour for one paper."""
    return " ".join(f"--{name}: {shades[dark]};" for name, shades in (INK | TONES).items())


def themed(svg: str) -> str:
    """Return an SVG whose colours follow the page's variables, and are as before outside of such a page."""
    names = {shades[0]: name for name, shades in (INK | TONES).items()}
    return re.sub(r"#[0-9a-f]{6}\b", lambda found: _variable(found[0], names), svg)


def _variable(shade: str, names: dict[str, str]) -> str:
    return f"var(--{names[shade]}, {shade})" if shade in names else shade
