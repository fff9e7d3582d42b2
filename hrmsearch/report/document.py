"""A report before it is written: sections of tables, pictures, findings and text, for HTML and Markdown alike."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hrmsearch.report.boards import Board
from hrmsearch.report.figures import Picture
from hrmsearch.report.table import Table


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Lines to copy or to look up; title: of long ones, which stay folded until they are wanted."""

    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """Diagnostics as a manifest records them."""

    found: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Puzzles:
    """Boards that stand side by side, and what to say of them."""

    caption: str
    boards: Sequence[Board]


Item = Table | Picture | Text | Code | Findings | Puzzles


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands below it; anchor: its name in links."""

    title: str
    anchor: str
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Document:
    """A report; links: the anchor of each name that has a section of its own, for the first column of tables."""

    title: str
    lead: Sequence[str]
    sections: Sequence[Section]
    links: Mapping[str, str] = field(default_factory=dict[str, str])

    def pictures(self) -> Iterator[Picture]:
        """Yield every picture, in order."""
        for section in self.sections:
            yield from (item for item in section.items if isinstance(item, Picture))

    def tables(self) -> Iterator[Table]:
        """Yield every table, in order."""
        for section in self.sections:
            yield from (item for item in section.items if isinstance(item, Table))


def anchor(text: str) -> str:
    """Return a name for links: letters, digits and dashes."""
    return "-".join("".join(c if c.isalnum() and c.isascii() else " " for c in text).split()).lower()


def listed(names: Sequence[str]) -> str:
    """Return names in a sentence: `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
