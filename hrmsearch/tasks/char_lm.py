"""Character-level language modelling on the first characters of a text.

The protocol of the HRM comparison this project began from: train is the first `train_chars` characters of the train
file, valid the first `valid_chars` of the valid file, and windows do not overlap. Ours: a test split, which follows
valid in its file; a corpus that is one file is cut into train, valid and test, in this order and disjoint; `none`
takes what the other splits of the same file leave; a text shorter than asked is an error, not silently used up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from hrmsearch.errors import DataError
from hrmsearch.spec.fields import OrNone
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.tasks import corpora, ngram
from hrmsearch.tasks.alphabets import Alphabet, Ascii97, Utf8Bytes
from hrmsearch.tasks.base import Control, Ids, Split, Task, TaskData

Count = Annotated[PositiveInt | None, OrNone()]

_ALPHABETS: dict[str, Alphabet[Any]] = {"ascii97": Ascii97(), "bytes": Utf8Bytes()}


@dataclass(frozen=True)
class TextData(TaskData):
    """Loaded text: windows, the alphabet that made them, and all ids of the training text, i32[train_chars]."""

    alphabet: Alphabet[Any]
    train_ids: Ids

    def encode(self, text: str) -> tuple[Ids, int]:
        """Return i32[n] ids, and how many symbols of the text are unknown to the alphabet."""
        return self.alphabet.ids(self.alphabet.units(text))

    def decode(self, ids: Ids) -> str:
        """Return the text of i32[n] ids."""
        return self.alphabet.decode(ids)

    def controls(self) -> Sequence[Control]:
        """Return n-gram controls of orders 1 to 5 for valid and test."""
        scored = {name: split for name, split in self.splits.items() if name != "train"}
        return ngram.controls(self.train_ids, scored, self.alphabet.size)


class CharLm(Task):
    """Predict each next character of a text; lengths count symbols of the alphabet (bytes for `bytes`)."""

    kind: Literal["char_lm"] = "char_lm"
    corpus: str | tuple[str, ...] = Field(default=("wikitext2", "pydoc"))
    alphabet: Literal["ascii97", "bytes"] = "ascii97"
    train_chars: Count = 20_000
    valid_chars: Count = 5_000
    test_chars: Count = 15_000
    window: PositiveInt = 64
    loader: Literal["shuffled", "contiguous"] = "shuffled"

    @model_validator(mode="after")
    def _corpora_are_known(self) -> Self:
        if not self.corpus:
            raise FieldProblem("names no corpus; the default is [wikitext2, pydoc]", "corpus")
        for index, entry in enumerate(_entries(self.corpus)):
            if entry not in corpora.names() and not corpora.is_path(entry):
                at = () if isinstance(self.corpus, str) else (index,)
                raise FieldProblem(corpora.unknown(entry), "corpus", *at)
        return self

    @model_validator(mode="after")
    def _lengths_hold_a_window(self) -> Self:
        if self.valid_chars is None and self.test_chars is None:
            raise FieldProblem("valid_chars and test_chars share a file, so only one of them can be none", "test_chars")
        for split in ("train", "valid", "test"):
            chars = self._chars(split)
            if chars is not None and chars <= self.window:
                message = f"{chars} characters hold no window of {self.window}; at least {self.window + 1} are needed"
                raise FieldProblem(message, f"{split}_chars")
        return self

    @property
    def vocabulary(self) -> int:
        """Size of the alphabet, C."""
        return _ALPHABETS[self.alphabet].size

    @property
    def causal(self) -> bool:
        """True: a character is predicted from those before it."""
        return True

    def load(self) -> TextData:
        """Find the corpus, cut it and encode it; raises DataError when it cannot be had or is too short."""
        texts = corpora.read_first(_entries(self.corpus), self.train_chars)
        alphabet = _ALPHABETS[self.alphabet]
        parts = self._parts(texts, alphabet)
        encoded = {part.split: alphabet.ids(part.units) for part in parts}
        splits = {p.split: Split.of_text(encoded[p.split][0], self.window, f"{p.file}, {p.split} split") for p in parts}
        records = {p.split: _record(p, encoded[p.split][1], splits[p.split], alphabet) for p in parts}
        return TextData(
            splits=splits,
            provenance=self._provenance(texts, records),
            headline=_headline(texts, records),
            alphabet=alphabet,
            train_ids=encoded["train"][0],
        )

    def _chars(self, split: str) -> int | None:
        return {"train": self.train_chars, "valid": self.valid_chars, "test": self.test_chars}[split]

    def _parts(self, texts: corpora.Texts, alphabet: Alphabet[Any]) -> list["_Part"]:
        if texts.heldout is None:
            return self._cut(texts.train, ["train", "valid", "test"], alphabet)
        train = self._cut(texts.train, ["train"], alphabet)
        return [*train, *self._cut(texts.heldout, ["valid", "test"], alphabet)]

    def _cut(self, document: corpora.Document, splits: list[str], alphabet: Alphabet[Any]) -> list["_Part"]:
        """Cut a document into consecutive splits; one of them may be open, and takes what the others leave."""
        units = alphabet.units(document.text)
        asked = {split: self._chars(split) for split in splits}
        open_, fixed = [s for s in splits if asked[s] is None], sum(n or 0 for n in asked.values())
        if len(open_) > 1:
            raise DataError(f"{document.file}: one text serves {_names(splits)}, so only one of them can be none")
        if fixed + len(open_) * (self.window + 1) > len(units):
            wanted = f"{_names(splits)} ask for {fixed}" + (f" and a window of {self.window}" if open_ else "")
            raise DataError(f"{document.file}: has {len(units)} {alphabet.unit}s, but {wanted}; ask for less")
        parts: list[_Part] = []
        start = 0
        for split in splits:
            end = start + (asked[split] or len(units) - fixed)
            parts.append(_Part(split, document.file, units[start:end]))
            start = end
        return parts

    def _provenance(self, texts: corpora.Texts, records: dict[str, dict[str, Any]]) -> dict[str, Any]:
        joint = "\n".join(record["sha256"] for record in records.values())
        return {
            "corpus": texts.corpus,
            "asked": _entries(self.corpus),
            "about": texts.about,
            "alphabet": self.alphabet,
            "sha256": sha256(joint.encode()).hexdigest(),
            "splits": records,
            "notes": list(texts.notes),
        }


@dataclass(frozen=True, slots=True)
class _Part:
    split: str
    file: str
    units: Any


def _entries(corpus: str | tuple[str, ...]) -> list[str]:
    return [corpus] if isinstance(corpus, str) else list(corpus)


def _names(splits: list[str]) -> str:
    return " and ".join(f"{split}_chars" for split in splits)


def _record(part: _Part, unknown: int, split: Split, alphabet: Alphabet[Any]) -> dict[str, Any]:
    text = part.units if isinstance(part.units, bytes) else part.units.encode()
    return {
        "file": part.file,
        "sha256": sha256(text).hexdigest(),
        f"{alphabet.unit}s": len(part.units),
        "unknown": unknown,
        "windows": len(split),
        "targets": split.targets.size,
    }


def _headline(texts: corpora.Texts, records: dict[str, dict[str, Any]]) -> str:
    files = ", ".join(f"{name} {record['targets']} targets" for name, record in records.items())
    return "; ".join([f"corpus {texts.corpus} ({files})", *texts.notes])
