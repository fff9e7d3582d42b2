"""A report as Markdown, with its figures beside it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hrmsearch.report.boards import beside
from hrmsearch.report.document import Code, Document, Findings, Item, Puzzles, Text
from hrmsearch.report.figures import Picture
from hrmsearch.report.table import Table


def markdown(document: Document, figures: Path) -> str:
    """Return a report as Markdown; figures: the folder of SVG files, from where the text is read."""
    parts = [f"# {document.title}", "\n".join(f"- {line}" for line in document.lead)]
    for section in document.sections:
        parts += [f"## {section.title}", *(part for item in section.items for part in _item(item, figures))]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _item(item: Item, figures: Path) -> Iterator[str]:
    match item:
        case Table():
            yield item.markdown()
        case Picture():
            yield f"![{item.title}]({(figures / item.name).as_posix()}.svg)"
            yield f"*{item.title}.* {item.caption}"
        case Text():
            yield item.text
        case Code():
            yield f"{item.title}:\n\n```\n{item.text.strip()}\n```" if item.title else f"```\n{item.text.strip()}\n```"
        case Puzzles():
            yield "\n".join(["```", *beside(item.boards), "```"])
            yield f"*{item.caption}*"
        case Findings():
            yield "\n".join(line for found in item.found for line in _finding(found))


def _finding(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"- **{found['code']} {found['name']}** ({found['severity']}): {found['message']}"
    yield f"  - at {place(found)}"
    if found["path"]:
        yield f"  - path: {' -> '.join(found['path'])}"
    yield from (f"  - {note}" for note in found["notes"])
    yield from [f"  - help: {found['suggestion']}"] if found["suggestion"] else []
    yield f"  - accepted: {found['accepted']}" if found["accepted"] is not None else "  - not accepted"


def place(found: Mapping[str, Any]) -> str:
    """Return where a diagnostic stands: the spec's file without its folder, line, column and field."""
    return f"{Path(found['file']).name}:{found['line']}:{found['column']} ({found['field']})"
