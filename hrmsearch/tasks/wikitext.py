"""WikiText-2, tokenised: the corpus of the published HRM comparison (Merity et al. 2016, arXiv:1609.07843; CC BY-SA).

The files are those of pytorch/examples at one commit. Valid is checked by its hash; of train the hash of the first
20,000 characters is known, which is all that the published comparison trains on, and all that is fetched for it.
"""

import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

from hrmsearch.errors import DataError
from hrmsearch.tasks.corpora import (
    Corpus,
    Document,
    Location,
    Texts,
    UnavailableError,
    decode,
    folders,
    read_file,
    register,
)
from hrmsearch.tasks.download import cache_dir, get, write_atomic

FOLDER = "wikitext-2"
COMMIT = "77f55b912142e11fcfdf5b530231fb9c52f181e8"
URL = f"https://raw.githubusercontent.com/pytorch/examples/{COMMIT}/word_language_model/data/wikitext-2"
TIMEOUT = 10.0
PREFIX_CHARS = 20_000
PREFIX = "train.first20000.txt"
TRAIN, VALID, REORDERED = "train.txt", "valid.txt", "train.reordered.txt"


@dataclass(frozen=True, slots=True)
class Known:
    """What a file must be: the hash of its first `size` bytes, or of all of it; `remote` is its name at the source."""

    sha256: str
    size: int | None = None
    remote: str | None = None
    limit: int | None = None

    def check(self, body: bytes, place: str) -> None:
        """Raise DataError, which begins with `place`, unless the bytes are the known ones."""
        found = sha256(body[: self.size]).hexdigest()
        if found != self.sha256:
            part = f"its first {self.size} bytes have" if self.size else "it has"
            raise DataError(
                f"{place}: not the known file: {part} sha256 {found}, not {self.sha256}; remove or replace it"
            )


_PREFIX_SHA = "569b77ba598400285d888bec03ca444e5fb4070670915cf173803007a69d5851"
_PREFIX_BYTES = 20_023
FILES = {
    PREFIX: Known(_PREFIX_SHA, remote=TRAIN, limit=_PREFIX_BYTES),
    TRAIN: Known(_PREFIX_SHA, size=_PREFIX_BYTES, remote=TRAIN),
    VALID: Known("f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8", remote=VALID),
    REORDERED: Known("de0ac6b956a57ed088d7372020ba5353055fcabfe7b5e01522bc1df3fb93bd4e"),
}


class WikiText(Corpus):
    """WikiText-2 in its own order; train from its train file, valid and then test from its valid file."""

    name = "wikitext2"
    about = "WikiText-2, tokenised (Merity et al. 2016, CC BY-SA 3.0 and GFDL)"
    train: ClassVar[str] = TRAIN
    notes: ClassVar[tuple[str, ...]] = ()

    def read(self, train_chars: int | None) -> Texts:
        """Return train and valid, downloading within `TIMEOUT` seconds what is not here."""
        deadline = time.monotonic() + TIMEOUT
        enough = train_chars is not None and train_chars <= PREFIX_CHARS and self.train == TRAIN
        # Either train file holds the same first characters; the short one is quicker to read and to fetch.
        train, fetched = self._document([PREFIX, TRAIN] if enough else [self.train], deadline)
        heldout, fetched_too = self._document([VALID], deadline)
        return Texts(self.name, self.about, train, heldout, (*fetched, *fetched_too, *self.notes))

    def locate(self) -> Location:
        """Say which files are here, and which are not."""
        missing = [name for name in (self.train, VALID) if _find(name) is None]
        if not missing:
            return Location(self.name, True, ", ".join(str(_find(name)) for name in (self.train, VALID)), self.about)
        why = f"no {' and no '.join(missing)} in {_searched()}"
        if self.train == TRAIN and missing == [TRAIN] and (prefix := _find(PREFIX)) is not None:
            why += f", only the first {PREFIX_CHARS} characters of train in {prefix}"
        return Location(self.name, False, f"{why}; {self._advice()}", self.about)

    def fetch(self, timeout: float) -> Location:
        """Download the whole files that are not here into the user cache."""
        deadline = time.monotonic() + timeout
        for name in (self.train, VALID):
            if _find(name) is None:
                self._download(name, deadline)
        return self.locate()

    def _advice(self) -> str:
        return "it is downloaded when needed"

    def _document(self, candidates: list[str], deadline: float) -> tuple[Document, tuple[str, ...]]:
        for name in candidates:
            path = _find(name)
            if path is not None:
                return _document(name, read_file(path, str(path)), str(path)), ()
        body = self._download(candidates[0], deadline)
        return _document(candidates[0], body, candidates[0]), (f"{candidates[0]} was downloaded from {URL}",)

    def _download(self, name: str, deadline: float) -> bytes:
        known = FILES[name]
        absent = f"{self.name} was not found: no {name} in {_searched()}"
        if known.remote is None:
            raise UnavailableError(f"{absent}; {self._advice()}")
        try:
            body = get(f"{URL}/{known.remote}", deadline, known.limit)
            known.check(body, "what came")
            write_atomic(cache_dir() / FOLDER / name, body)
        except (OSError, DataError) as error:
            raise UnavailableError(f"{absent}, and the download failed ({error})") from error
        return body


class ReorderedWikiText(WikiText):
    """All of WikiText-2, but with the articles of train after the first in another order than the official one."""

    name = "wikitext2_reordered"
    about = "WikiText-2, tokenised, articles of train reordered (Merity et al. 2016, CC BY-SA 3.0 and GFDL)"
    train = REORDERED
    notes = ("the articles of train after the first are not in the official order",)

    def _advice(self) -> str:
        return f"it cannot be downloaded: put {REORDERED} into $HRMSEARCH_DATA/{FOLDER}"


def _find(name: str) -> Path | None:
    paths = (folder / name for folder in folders(FOLDER))
    return next((path for path in paths if path.is_file()), None)


def _searched() -> str:
    # Not the paths themselves: the words end up in manifests, which travel.
    shared = f"$HRMSEARCH_DATA/{FOLDER} or " if len(folders(FOLDER)) > 1 else ""
    return f"{shared}the user cache"


def _document(name: str, body: bytes, place: str) -> Document:
    FILES[name].check(body, place)
    return Document(f"{FOLDER}/{name}", decode(body, place))


register(WikiText())
register(ReorderedWikiText())
