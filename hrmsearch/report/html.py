"""A report as one HTML file that asks for nothing from elsewhere: style and figures are in it, scripts are none."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from hrmsearch.report.document import Code, Document, Findings, Item, Puzzles, Section, Text
from hrmsearch.report.figures import Picture
from hrmsearch.report.figures.tones import themed, variables
from hrmsearch.report.markdown import place
from hrmsearch.report.table import Table

# The browser itself forbids what this page must not do.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def html(document: Document) -> str:
    """Return a report as HTML; raises HrmsearchError where it has figures and matplotlib is missing."""
    body = [f"<h1>{escape(document.title)}</h1>", *_lead(document)]
    body += [line for section in document.sections for line in _section(section, document.links)]
    return "\n".join([*_head(document.title), "<body>", "<main>", *body, "</main>", "</body>", "</html>", ""])


def _head(title: str) -> list[str]:
    style = files("hrmsearch.report").joinpath("page.css").read_text(encoding="utf-8")
    dark = f"@media (prefers-color-scheme: dark) {{ @media screen {{ :root {{ {variables(dark=True)} }} }} }}"
    return [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<link rel="icon" href="data:,">',
        f"<title>{escape(title)}</title>",
        f"<style>\n:root {{ {variables(dark=False)} }}\n{dark}\n{style}</style>",
        "</head>",
    ]


def _lead(document: Document) -> Iterator[str]:
    yield from (f"<p>{escape(line)}</p>" for line in document.lead)
    links = (f'<a href="#{one.anchor}">{escape(one.title)}</a>' for one in document.sections)
    yield f"<nav>{' '.join(links)}</nav>"


def _section(section: Section, links: Mapping[str, str]) -> Iterator[str]:
    yield f'<section id="{section.anchor}">'
    yield f"<h2>{escape(section.title)}</h2>"
    for items in _runs(section.items):
        pictured = isinstance(items[0], Picture)
        yield from ['<div class="figures">'] if pictured else []
        for item in items:
            yield from _item(item, links)
        yield from ["</div>"] if pictured else []
    yield "</section>"


def _runs(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Yield items in runs of pictures and of others, so that pictures may stand side by side."""
    run: list[Item] = []
    for item in items:
        if run and isinstance(run[0], Picture) != isinstance(item, Picture):
            yield run
            run = []
        run.append(item)
    yield from [run] if run else []


def _item(item: Item, links: Mapping[str, str]) -> Iterator[str]:
    match item:
        case Table():
            yield from _table(item, links)
        case Picture():
            yield from _figure(item)
        case Text():
            yield f"<p>{escape(item.text)}</p>"
        case Code():
            code = f"<pre><code>{escape(item.text)}</code></pre>"
            yield f"<details><summary>{escape(item.title)}</summary>{code}</details>" if item.title else code
        case Puzzles():
            boards = (line for board in item.boards for line in board.html())
            yield f'<figure class="boards">{"".join(boards)}<figcaption>{escape(item.caption)}</figcaption></figure>'
        case Findings():
            yield from (line for found in item.found for line in _finding(found))


def _figure(picture: Picture) -> Iterator[str]:
    label = escape(f"{picture.title}. {picture.caption}", quote=True)
    svg = themed(picture.svg).replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    yield f'<figure id="figure-{picture.name}">'
    yield f"<h3>{escape(picture.title)}</h3>"
    yield svg.strip()
    yield f"<figcaption>{escape(picture.caption)}</figcaption>"
    yield "</figure>"


def _table(table: Table, links: Mapping[str, str]) -> Iterator[str]:
    yield f"<h3>{escape(table.title)}</h3>"
    yield f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title, quote=True)}"><table>'
    heads = (
        f"<th{_side(align)}>{_head_cell(name)}</th>" for name, align in zip(table.columns, table.align, strict=True)
    )
    yield f"<thead><tr>{''.join(heads)}</tr></thead>"
    for rows in table.sections:
        yield f"<tbody>{''.join(_row(row, table.align, links) for row in rows)}</tbody>"
    yield "</table></div>"


def _head_cell(name: str) -> str:
    """Return a column's name that breaks before `pass 2`, not within it."""
    return escape(name).replace("pass ", "pass&nbsp;")


def _row(row: Sequence[str], aligned: str, links: Mapping[str, str]) -> str:
    name, *others = row
    shown = escape(name).replace("_", "_<wbr>")
    first = f'<a href="#{links[name]}">{shown}</a>' if name in links else shown
    cells = (f"<td{_side(align)}>{escape(cell)}</td>" for cell, align in zip(others, aligned[1:], strict=True))
    return f'<tr><th scope="row"{_side(aligned[0])}>{first}</th>{"".join(cells)}</tr>'


def _side(align: str) -> str:
    return ' class="number"' if align == "r" else ""


def _finding(found: Mapping[str, Any]) -> Iterator[str]:
    severity, accepted = str(found["severity"]), found["accepted"]
    yield f'<article class="finding {severity}">'
    yield f"<h3>{escape(found['code'])} {escape(found['name'])} <small>{escape(severity)}</small></h3>"
    yield f"<p>{escape(found['message'])}</p>"
    yield f"<p><code>{escape(place(found))}</code></p>"
    if found["path"]:
        yield f"<p>Path: <code>{escape(' -> '.join(found['path']))}</code></p>"
    yield from (f"<p>{escape(note)}</p>" for note in found["notes"])
    yield from [f"<p>Help: {escape(found['suggestion'])}</p>"] if found["suggestion"] else []
    yield f"<p><strong>Accepted</strong>: {escape(accepted)}</p>" if accepted is not None else "<p>Not accepted.</p>"
    yield "</article>"
