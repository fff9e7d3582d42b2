"""How people see a puzzle."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drawing:
    """A square board of one character a cell.

    side: of the board, in cells. marks: one character for each token. colours: the background of each token as HTML
    knows it, None where there is none. box: lines divide the board into parts of that side; 0 for none. blank: the
    tokens that leave a cell empty. pad: the token beyond what is on the board, where boards are of several sizes.
    """

    side: int
    marks: Sequence[str]
    colours: Sequence[str | None]
    box: int = 0
    blank: tuple[int, ...] = (0,)
    pad: int | None = None
