"""Alphabets of character-level language tasks: text to ids and back.

`ascii97` is the table of the HRM comparison this project began from: code points 32..126 as 0..94, newline 95, tab 96,
anything else 0. `bytes` is UTF-8, where one symbol is one byte, so that lengths and bits count bytes.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

import numpy as np

from hrmsearch.tasks.base import Ids

Units = TypeVar("Units", str, bytes)


class Alphabet(ABC, Generic[Units]):
    """A set of symbols; `Units` is text in the form whose slices are symbols."""

    size: ClassVar[int]
    unit: ClassVar[str]

    @abstractmethod
    def units(self, text: str) -> Units:
        """Return text as a sequence of symbols that can be sliced."""

    @abstractmethod
    def ids(self, units: Units) -> tuple[Ids, int]:
        """Return i32[n] ids, and how many of the symbols are unknown (they became 0)."""

    @abstractmethod
    def decode(self, ids: Ids) -> str:
        """Return the text of i32[n] ids."""


class Ascii97(Alphabet[str]):
    """Printable ASCII, newline and tab; an unknown character is read as a space."""

    size = 97
    unit = "character"
    _symbols = "".join(map(chr, range(32, 127))) + "\n\t"
    _points = np.frombuffer(_symbols.encode("utf-32-le"), np.uint32)
    _table = np.full(128, -1, np.int32)
    _table[_points] = np.arange(97)

    def units(self, text: str) -> str:
        """Return the text itself: a symbol is a character."""
        return text

    def ids(self, units: str) -> tuple[Ids, int]:
        """Return i32[n] ids, and how many characters are outside the table."""
        # surrogatepass: a prompt from the command line may hold lone surrogates, and they are merely unknown
        points = np.frombuffer(units.encode("utf-32-le", "surrogatepass"), np.uint32)
        found = np.where(points < 128, self._table[np.minimum(points, 127)], -1)
        return np.maximum(found, 0), int(np.count_nonzero(found < 0))

    def decode(self, ids: Ids) -> str:
        """Return the text of i32[n] ids, each below 97."""
        return "".join(self._symbols[i] for i in ids)


class Utf8Bytes(Alphabet[bytes]):
    """The 256 bytes; nothing is unknown, and bytes that are no UTF-8 decode to U+FFFD."""

    size = 256
    unit = "byte"

    def units(self, text: str) -> bytes:
        """Return the text in UTF-8: a symbol is a byte."""
        return text.encode("utf-8", "surrogatepass")

    def ids(self, units: bytes) -> tuple[Ids, int]:
        """Return the bytes as i32[n], and that none is unknown."""
        return np.frombuffer(units, np.uint8).astype(np.int32), 0

    def decode(self, ids: Ids) -> str:
        """Return the text of i32[n] bytes, with U+FFFD for what is no UTF-8."""
        return np.asarray(ids, np.uint8).tobytes().decode("utf-8", "replace")
