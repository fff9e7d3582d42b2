"""A spec as the user wrote it: YAML text -> plain data in which every value and key has a place.

source = read("specs/infini_hrm.yaml").with_override("model.dim=96")
source.tree["model"]["dim"]                   # 96
source.place(("model", "levels", "H"))        # specs/infini_hrm.yaml:25:10
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from hrmsearch.errors import Place, Problem, SpecError
from hrmsearch.spec.node import Data, Node, Path, spell
from hrmsearch.spec.override import Resolve, read_override
from hrmsearch.spec.reader import LARGEST_TEXT, compose
from hrmsearch.spec.text import Text


def _as_written(path: Path) -> Path:
    return path


@dataclass(frozen=True)
class Source:
    """A text, its tree, and the overrides applied to it; `text` stays as written, `tree` has the overrides."""

    file: str
    text: str
    root: Node = field(repr=False)
    texts: Mapping[str, Text] = field(repr=False)  # by file: the text first, then overrides as they were applied

    @cached_property
    def tree(self) -> Data:
        """The values as plain Python data."""
        return self.root.data()

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Return where the value at `path` starts, or with `key` where its key starts.

        A path that does not exist gives the place of its nearest ancestor that does; so does the key of the root or of
        a list's item, which has none: there it is the value's own place.
        """
        node = self.root
        for step in path:
            child = node.child(step)
            if child is None:
                break
            node = child
        return node.key or node.place if key else node.place

    def value(self, path: Path) -> Data:
        """Return the plain value at `path`, or None if there is none."""
        node: Node | None = self.root
        for step in path:
            node = node.child(step) if node else None
        return node.data() if node else None

    def excerpt(self, place: Place) -> str:
        """Return the line of a place and a caret below it, as a compiler shows it."""
        return self.texts[place.file].excerpt(place)

    def problem(self, path: Path, message: str, *, key: bool = False) -> Problem:
        """Return a problem with the value at `path`, or with its key."""
        place = self.place(path, key=key)
        return Problem(place, spell(path), message, self.excerpt(place))

    def order(self, place: Place) -> tuple[int, int, int]:
        """Return a sort key for document order; overrides follow the file in the order they were applied."""
        return list(self.texts).index(place.file), place.line, place.column

    def with_override(self, assignment: str, resolve: Resolve = _as_written) -> "Source":
        """Return a source with one value replaced, added or appended: `memory[0].lifetime=pass`.

        The value is YAML under the same limits as a file. Mapping keys on the way are created, an index one past the
        end appends, and a mapping is replaced as a whole. `resolve` completes the path before it is used. Raises
        SpecError whose file is `--set ASSIGNMENT`; so is the file of every later error in the value.
        """
        override = read_override(assignment, resolve)
        texts = {**self.texts, override.text.file: override.text}
        return Source(self.file, self.text, override.apply(self.root), texts)


def parse(text: str, file: str) -> Source:
    """Read YAML text; `file` names it in errors."""
    text = text.removeprefix("\ufeff")
    source = Text(file, text)
    return Source(file, text, compose(source), {file: source})


def read(path: str | os.PathLike[str]) -> Source:
    """Read a YAML file in UTF-8; raises SpecError if it cannot be read, is not text, or is not the YAML of a spec."""
    file = os.fspath(path)
    try:
        with open(path, "rb") as stream:
            content = stream.read(LARGEST_TEXT + 1)
    except FileNotFoundError:
        raise _unreadable(file, "no such file") from None
    except IsADirectoryError:
        raise _unreadable(file, "a directory, not a file") from None
    except (OSError, ValueError) as error:
        raise _unreadable(file, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > LARGEST_TEXT:
        raise _unreadable(file, f"larger than {LARGEST_TEXT // 1024} KiB")
    return parse(_decode(content, file), file)


def _decode(content: bytes, file: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        if b"\0" in content:
            raise _unreadable(file, "binary data, not YAML text") from None
        before = content[: error.start].decode()
        place = Text(file, before).place(len(before))
        message = f"not UTF-8 text: the byte 0x{content[error.start]:02x} stands here"
        raise SpecError([Problem(place, "", message)]) from None


def _unreadable(file: str, message: str) -> SpecError:
    return SpecError([Problem(Place(file, 1, 1), "", message)])
