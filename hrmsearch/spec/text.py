"""A text the user wrote, and how an error shows a position in it."""

import re
from bisect import bisect_right
from functools import cached_property
from typing import Final
from unicodedata import east_asian_width

from hrmsearch.errors import Place, Problem, SpecError

WIDEST: Final = 160  # characters of a line that an excerpt shows

_LINE_BREAK = re.compile(r"\r\n|\r|\n")


class Text:
    """A file's text or an override, with its lines numbered from 1 as YAML counts them."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(found.end() for found in _LINE_BREAK.finditer(self.text))]

    def place(self, index: int) -> Place:
        """Return the line and column of a character, or of the end for an index past it."""
        index = min(index, len(self.text))
        line = bisect_right(self._starts, index)
        return Place(self.file, line, index - self._starts[line - 1] + 1)

    def excerpt(self, place: Place) -> str:
        """Return the line of a place and, below it, a caret; long lines are cut around the caret."""
        line, caret = self._line(place.line), place.column - 1
        left = max(0, caret - WIDEST // 2) if len(line) > WIDEST else 0
        shown = line[left : left + WIDEST]
        before = "..." if left else ""
        after = "..." if left + WIDEST < len(line) else ""
        number = f"{place.line:5}"
        indent = " " * len(before) + "".join(map(_blank, shown[: caret - left]))
        printable = "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in shown)
        return f"{number} | {before}{printable}{after}\n{' ' * len(number)} | {indent}^"

    def error(self, index: int, message: str, field: str = "") -> SpecError:
        """Return the error that one thing is wrong at a character."""
        place = self.place(index)
        return SpecError([Problem(place, field, message, self.excerpt(place))])

    def _line(self, number: int) -> str:
        start = self._starts[number - 1]
        end = self._starts[number] if number < len(self._starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")


def _blank(character: str) -> str:
    # The caret stands under its character on a terminal: a tab stays a tab, and a wide character takes two cells.
    if character == "\t":
        return "\t"
    return "  " if east_asian_width(character) in "WF" else " "
