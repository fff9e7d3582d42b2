"""A report as a folder: one HTML file that holds everything, Markdown, CSV and figures for other uses."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hrmsearch.errors import RunError
from hrmsearch.files import write
from hrmsearch.report import tidy
from hrmsearch.report.document import Document
from hrmsearch.report.html import html
from hrmsearch.report.markdown import markdown
from hrmsearch.report.runs import Compared

_PAGE, _FIGURES = Path("report.html"), Path("figures")


def contents(document: Document, compared: Sequence[Compared], *, png: bool = False) -> dict[Path, bytes | str]:
    """Return every file of a report by its path in the folder; png: figures as PNG too."""
    return {
        _PAGE: html(document),
        Path("report.md"): markdown(document, _FIGURES),
        Path("curves.csv"): tidy.curves(compared),
        Path("scores.csv"): tidy.scores(compared),
        Path("controls.csv"): tidy.controls(compared),
        **dict(_drawn(document, png=png)),
    }


def refuse_if_used(folder: Path, *, force: bool) -> None:
    """Raise RunError where a report would replace another one unasked, or a folder holds something else."""
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / _PAGE).exists():
            raise RunError(f"{folder}: holds no report but other files; choose another folder by --output")
        if not force:
            raise RunError(f"{folder / _PAGE}: exists already; --force replaces it")


def save(folder: Path, files: Mapping[Path, bytes] | Mapping[Path, bytes | str]) -> None:
    """Write files into a folder; raises RunError where one cannot be written."""
    for name, content in files.items():
        write(folder / name, content, parents=True)


def _drawn(document: Document, *, png: bool) -> Iterator[tuple[Path, bytes | str]]:
    for picture in document.pictures():
        yield _FIGURES / f"{picture.name}.svg", picture.svg
        if png:
            yield _FIGURES / f"{picture.name}.png", picture.png
