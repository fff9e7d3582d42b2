"""Corpora: texts by name, found on this machine or fetched, and any text file by its path.

A new corpus is a subclass of `Corpus` and one `register(...)`. A corpus that cannot be had raises UnavailableError, and
a list of corpora goes on to its next; one that is there but unfit raises DataError: going on would hide a mistake.
"""

import os
import platform
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar

from hrmsearch.errors import DataError
from hrmsearch.tasks.download import cache_dir


class UnavailableError(DataError):
    """A corpus cannot be had on this machine now."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text and the file it came from, named without the machine's own folders."""

    file: str
    text: str


@dataclass(frozen=True, slots=True)
class Texts:
    """A corpus as read: `train`, and `heldout` for valid and then test; without it, all three are cut from `train`."""

    corpus: str
    about: str
    train: Document
    heldout: Document | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Location:
    """Whether a corpus is on this machine; `where` is its place, or why it is not here and how to get it."""

    name: str
    found: bool
    where: str
    about: str


class Corpus(ABC):
    """A text that a task can ask for by name."""

    name: str
    about: str

    @abstractmethod
    def read(self, train_chars: int | None) -> Texts:
        """Return the texts, of which only the first `train_chars` training characters matter (None: all).

        Raises UnavailableError when the corpus cannot be had, DataError when what is there is not what it should be.
        """

    @abstractmethod
    def locate(self) -> Location:
        """Say where the corpus is, without fetching anything."""

    def fetch(self, timeout: float) -> Location:
        """Bring the whole corpus to this machine within `timeout` seconds; raises UnavailableError when it cannot."""
        del timeout
        location = self.locate()
        if not location.found:
            raise UnavailableError(f"{self.name}: {location.where}")
        return location


_CORPORA: dict[str, Corpus] = {}


def register(corpus: Corpus) -> None:
    """Make a corpus known by its name."""
    _CORPORA[corpus.name] = corpus


def names() -> list[str]:
    """Return the names of all known corpora."""
    return sorted(_CORPORA)


def locate(name: str) -> Location:
    """Say where a corpus (a name or a path) is, or why it is not here."""
    return find(name).locate()


def fetch(name: str, timeout: float = 600.0) -> Location:
    """Bring a corpus to this machine and return its place; raises DataError when that fails."""
    return find(name).fetch(timeout)


def read_first(entries: Sequence[str], train_chars: int | None = None) -> Texts:
    """Return the first corpus of a list that can be had; its notes say which ones could not, and why.

    Raises DataError when none can be had, or when the first that is there is unfit.
    """
    missed: list[str] = []
    for entry in entries:
        try:
            texts = find(entry).read(train_chars)
        except UnavailableError as error:
            missed.append(str(error))
        else:
            return replace(texts, notes=(*(f"{why}; fell through to {entry}" for why in missed), *texts.notes))
    raise DataError("no corpus can be had: " + "; ".join(missed))


def find(entry: str) -> Corpus:
    """Return the corpus that a name or a path means; raises DataError for a word that is neither."""
    if entry in _CORPORA:
        return _CORPORA[entry]
    if not is_path(entry):
        raise DataError(unknown(entry))
    return TextFile(entry)


def is_path(entry: str) -> bool:
    """Whether an entry is read as a path: it has a separator, a dot or a tilde, so that a misspelt name is no path."""
    return any(mark in entry for mark in "/\\.~")


def unknown(entry: str) -> str:
    """Return what is wrong with an entry that is neither a known name nor a path."""
    close = get_close_matches(entry, _CORPORA, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"unknown corpus {entry!r}; {hint}known: {', '.join(names())}; a file in this folder is ./{entry}"


def folders(folder: str) -> list[Path]:
    """Return the places where a corpus keeps its files: `$HRMSEARCH_DATA/<folder>` if set, then the user cache."""
    shared = os.environ.get("HRMSEARCH_DATA")
    return [*([Path(shared) / folder] if shared else []), cache_dir() / folder]


def read_file(path: Path, place: str) -> bytes:
    """Return the bytes of a file; raises DataError, which begins with `place`, when they cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{place}: cannot be read: {error.strerror}") from error


def decode(body: bytes, place: str) -> str:
    """Return the text of a file, line ends as they are; raises DataError, which begins with `place`, if it is none."""
    if not body.strip():
        raise DataError(f"{place}: the file is empty; a corpus needs text")
    if b"\0" in body:
        raise DataError(f"{place}: the file is binary; a corpus is plain text in UTF-8")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: not UTF-8 at byte {error.start}; convert it, for example with iconv") from None


class TextFile(Corpus):
    """Any text file of the user; a relative path starts at the current folder."""

    def __init__(self, path: str) -> None:
        self.name = path
        self.about = "a text file"
        self.path = Path(os.path.expanduser(path))

    def read(self, train_chars: int | None) -> Texts:
        """Return the text of the file, to be cut into all three splits."""
        del train_chars
        location = self.locate()
        if not location.found:
            raise UnavailableError(f"{self.name}: {location.where}")
        # A device or a pipe would be read for ever.
        if not os.path.isfile(self.path):
            raise DataError(f"{self.name}: not a file; a corpus is one text file")
        return Texts(self.name, self.about, Document(self.name, decode(read_file(self.path, self.name), self.name)))

    def locate(self) -> Location:
        """Say whether the file exists."""
        found = os.path.exists(self.path)
        where = str(self.path) if found else f"no such file (looked for {os.path.abspath(self.path)})"
        return Location(self.name, found, where, self.about)


class Pydoc(Corpus):
    """The reference texts inside CPython: English prose about Python, some 460,000 characters, always at hand.

    Topics in alphabetical order of their names, each once, joined by line ends. The text differs between Python
    versions, so its hash and version are recorded.
    """

    name = "pydoc"
    about = "pydoc_data.topics of the running Python (PSF licence)"
    module: ClassVar[str] = "pydoc_data.topics"

    def read(self, train_chars: int | None) -> Texts:
        """Return all topics as one text, to be cut into all three splits."""
        del train_chars
        topics = self._topics()
        text = "\n".join(dict.fromkeys(topics[name] for name in sorted(topics)))
        note = f"{self.module} of Python {platform.python_version()}; another version has another text"
        return Texts(self.name, self.about, Document(self.module, text), notes=(note,))

    def locate(self) -> Location:
        """Say whether this Python has the texts."""
        try:
            self._topics()
        except UnavailableError as error:
            return Location(self.name, False, str(error), self.about)
        return Location(self.name, True, f"inside Python {platform.python_version()}", self.about)

    def _topics(self) -> dict[str, str]:
        from importlib import import_module

        try:
            return import_module(self.module).topics
        except ImportError:
            raise UnavailableError(f"pydoc was not found: this Python comes without {self.module}") from None


register(Pydoc())
