"""A table of text, and its three forms: rich for a terminal, plain for a pipe, Markdown for a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table as RichTable

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text below named columns, in sections that a line divides; `align` has a letter per column, l or r."""

    columns: Sequence[str]
    align: str
    sections: Sequence[Rows]
    title: str = ""

    def __post_init__(self) -> None:
        widths = {len(row) for row in (self.columns, self.align, *self.rows)}
        if widths != {len(self.columns)}:
            raise ValueError(f"a table of {len(self.columns)} columns has rows of {sorted(widths)} cells")

    @property
    def rows(self) -> list[Sequence[str]]:
        """The rows of all sections."""
        return [row for section in self.sections for row in section]

    def rich(self) -> "RichTable":
        """Return the table for a rich console."""
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        title = Text(self.title, style="bold") if self.title else None
        table = RichTable(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for name, align in zip(self.columns, self.align, strict=True):
            is_number = align == "r"
            table.add_column(Text(name), justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
        for section in self.sections:
            for row in section:
                table.add_row(*map(Text, row))
            table.add_section()
        return table

    def plain(self) -> str:
        """Return the table as aligned text, ending in a line break; nothing is wrapped or cut."""
        widths = [max(map(len, cells)) for cells in zip(self.columns, *self.rows, strict=True)]
        ruler = "  ".join("-" * width for width in widths)
        lines = [self.title] if self.title else []
        lines.append(self._aligned(self.columns, widths))
        for section in self.sections:
            lines += [ruler, *(self._aligned(row, widths) for row in section)]
        return "\n".join(lines) + "\n"

    def markdown(self) -> str:
        """Return the table as Markdown, ending in a line break; sections follow each other."""
        heading = f"**{_escape(self.title)}**\n\n" if self.title else ""
        ruler = ["---:" if align == "r" else ":---" for align in self.align]
        lines = [list(map(_escape, self.columns)), ruler, *(list(map(_escape, row)) for row in self.rows)]
        return heading + "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def _aligned(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = zip(row, self.align, widths, strict=True)
        return "  ".join(f"{cell:>{w}}" if align == "r" else f"{cell:<{w}}" for cell, align, w in cells).rstrip()


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
