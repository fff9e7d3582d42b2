"""Boards of puzzles: what was asked, what is right, and what a model said, with wrong cells marked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from hrmsearch.tasks.base import IGNORE
from hrmsearch.tasks.drawing import Drawing

if TYPE_CHECKING:
    from rich.text import Text

#: between boards that stand side by side
_GAP = "   "
_WRONG = "bold white on #b3261e"


@dataclass(frozen=True, slots=True)
class Board:
    """A board with a title: its tokens row by row, and which of them are wrong; IGNORE leaves a cell empty."""

    title: str
    drawing: Drawing
    tokens: Sequence[int]
    wrong: Sequence[bool]

    @classmethod
    def of(cls, title: str, drawing: Drawing, tokens: NDArray[Any], wrong: NDArray[Any] | None = None) -> "Board":
        """Return a board of arrays, [cells] each; without `wrong`, nothing is."""
        return cls(title, drawing, tokens.tolist(), [False] * len(tokens) if wrong is None else wrong.tolist())

    def lines(self) -> Iterator[str]:
        """Yield the board as text, two characters a cell: its mark, and `!` where it is wrong."""
        for cells in self._rows():
            yield "".join("".join(self._cell(i)) if isinstance(i, int) else i for i in cells)

    def texts(self) -> "Iterator[Text]":
        """Yield the board for a rich console, in colours."""
        from rich.text import Text

        for cells in self._rows():
            line = Text()
            for i in cells:
                text = "".join(self._cell(i)) if isinstance(i, int) else i
                line.append(text, self._style(i) if isinstance(i, int) else "dim")
            yield line

    def html(self) -> Iterator[str]:
        """Yield the board as an HTML table; a wrong cell is told by its class and by its title."""
        side, box = self.drawing.side, self.drawing.box
        yield f'<table class="board"><caption>{escape(self.title)}</caption><tbody>'
        for y in range(side):
            thick = ' class="below"' if box and y % box == box - 1 and y < side - 1 else ""
            cells = "".join(self._html_cell(y * side + x, x) for x in range(side))
            yield f"<tr{thick}>{cells}</tr>"
        yield "</tbody></table>"

    def _rows(self) -> "Iterator[list[int | str]]":
        """Yield each line as the places of its cells, and lines between boxes as text."""
        side, box = self.drawing.side, self.drawing.box or self.drawing.side
        for y in range(side):
            if y and y % box == 0:
                yield ["+".join(["--" * box] * (side // box))]
            row: list[int | str] = []
            for x in range(side):
                row += ["|"] if x and x % box == 0 else []
                row.append(y * side + x)
            yield row

    def _cell(self, i: int) -> tuple[str, str]:
        return self._mark(i), "!" if self.wrong[i] else " "

    def _mark(self, i: int) -> str:
        return " " if self.tokens[i] == IGNORE else self.drawing.marks[self.tokens[i]]

    def _colour(self, i: int) -> str | None:
        return None if self.tokens[i] == IGNORE else self.drawing.colours[self.tokens[i]]

    def _style(self, i: int) -> str:
        if self.wrong[i]:
            return _WRONG
        colour = self._colour(i)
        return f"black on {colour}" if colour else ""

    def _html_cell(self, i: int, x: int) -> str:
        box, side = self.drawing.box, self.drawing.side
        classes = ["wrong"] if self.wrong[i] else []
        classes += ["right"] if box and x % box == box - 1 and x < side - 1 else []
        colour = self._colour(i)
        style = f' style="background:{colour}"' if colour and not self.wrong[i] else ""
        named = f' class="{" ".join(classes)}"' if classes else ""
        told = ' title="wrong"' if self.wrong[i] else ""
        mark = "" if self.tokens[i] in (IGNORE, *self.drawing.blank) else self._mark(i)
        return f"<td{named}{told}{style}>{escape(mark)}</td>"


def cropped(boards: Sequence[Board]) -> list[Board]:
    """Return boards of one puzzle without the rows and columns at their ends that are padding in all of them."""
    drawing = boards[0].drawing
    if drawing.pad is None:
        return list(boards)
    empty = (IGNORE, drawing.pad)
    held = [divmod(i, drawing.side) for board in boards for i, token in enumerate(board.tokens) if token not in empty]
    side = max((max(place) + 1 for place in held), default=1)
    kept = [y * drawing.side + x for y in range(side) for x in range(side)]
    smaller = replace(drawing, side=side)
    return [
        replace(board, drawing=smaller, tokens=[board.tokens[i] for i in kept], wrong=[board.wrong[i] for i in kept])
        for board in boards
    ]


def fitting(boards: Sequence[Board], width: int) -> list[Sequence[Board]]:
    """Return the boards that stand side by side, all of them, or each alone where `width` characters are too few."""
    needed = max(map(len, beside(boards)))
    return [boards] if needed <= width else [[board] for board in boards]


def beside(boards: Sequence[Board]) -> Iterator[str]:
    """Yield boards side by side as text, each below its title."""
    columns = [[board.title, *board.lines()] for board in boards]
    widths = [max(map(len, column)) for column in columns]
    for cells in zip(*columns, strict=True):
        yield _GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def beside_in_colour(boards: Sequence[Board]) -> "Iterator[Text]":
    """Yield boards side by side for a rich console."""
    from rich.text import Text

    columns = [[Text(board.title, "bold"), *board.texts()] for board in boards]
    widths = [max(map(len, column)) for column in columns]
    for cells in zip(*columns, strict=True):
        line = Text()
        for cell, width in zip(cells, widths, strict=True):
            line.append_text(cell).append(" " * (width - len(cell)) + _GAP)
        yield line
