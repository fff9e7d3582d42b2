"""Tasks whose data follow from a rule: rows are drawn, not read, so every split is a pure function of spec and seed.

Valid and test are drawn from the task's `seed`, so every run is judged on the same rows. Training rows are `fresh`,
another draw in every epoch of every run, or one fixed set that all runs share.
"""

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from pydantic import NonNegativeInt

from hrmsearch.tasks.base import IGNORE, Control, Ids, Split, Task, TaskData
from hrmsearch.tasks.judging import Tally, chosen
from hrmsearch.tasks.words import Words

#: rows of training data that join the hash of generated data, so that another generator has another hash
_WITNESSES = 64
#: rows drawn at a time, so that the words of a large set are never in memory together
_BLOCK = 1 << 13


class Section(Protocol):
    """Rows of one kind: how many, and how many tokens each has."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        ...

    @property
    def tokens(self) -> int:
        """Tokens in a row, T."""
        ...


class Generated(Task):
    """Rows drawn by rule.

    seed: of valid, test and a fixed training set. fresh: every epoch draws new training rows; otherwise all epochs and
    all runs train on the same ones. best: what chooses the best epoch on valid. idle: a ClassVar, the fields that no
    row depends on; whole: another, whether all rows of a section have to be drawn together.
    """

    idle: ClassVar[frozenset[str]] = frozenset({"loader", "best", "window"})
    whole: ClassVar[bool] = False
    loader: Literal["shuffled"] = "shuffled"
    seed: NonNegativeInt = 0
    fresh: bool = True
    best: Literal["accuracy", "exact", "loss"] = "accuracy"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Right answers, per target and per row."""
        return ("accuracy", "exact")

    @property
    def criterion(self) -> str:
        """What `best` says."""
        return self.best

    @property
    def answers(self) -> bool:
        """True."""
        return True

    @abstractmethod
    def sections(self) -> Mapping[str, Sequence[Any]]:
        """Return the sections of each split: `train` and `valid`, and the splits that are scored at the end."""

    @abstractmethod
    def draw(self, words: Words, section: Any, split: str, rows: int) -> tuple[Ids, ...]:
        """Return tokens and targets, i32[rows, T] each, of a section of a split.

        A task with several puzzles also returns which one each row is of, i32[rows].
        """

    def guesses(self, split: Split) -> Mapping[str, Mapping[str, float]]:
        """Return what guessing with some knowledge of the task achieves on average: metrics by control."""
        del split
        return {}

    @property
    def stream(self) -> int | None:
        """How many rows make a stream, where they are windows of streams; a section then holds whole ones."""
        return None

    @property
    def renews(self) -> bool:
        """Whether the training rows of one epoch are not those of another."""
        return self.fresh

    def load(self) -> "GeneratedData":
        """Draw every split but train."""
        splits = {name: _joined(self._drawn(name)) for name in self.sections() if name != "train"}
        provenance = self._provenance(splits)
        return GeneratedData(splits, provenance, self._headline(splits), self)

    def train_set(self, *key: int) -> list[Split]:
        """Return the training rows that a key names; without one, the fixed set."""
        return self._drawn("train", *key)

    def renewed(self, rows: Sequence[Split], *key: int) -> Sequence[Split]:
        """Return the fixed set as an epoch that a key names trains on it, where epochs differ but none is fresh."""
        del key
        return rows

    def _drawn(self, name: str, *key: int) -> list[Split]:
        """Draw a split's sections; each has words of its own."""
        found: list[Split] = []
        for number, section in enumerate(self.sections()[name]):
            words = Words(self.seed, self.kind, name, number, *key)
            most = section.rows if self.whole else _BLOCK - _BLOCK % (self.stream or 1)
            blocks = [min(most, section.rows - at) for at in range(0, section.rows, most)]
            drawn = zip(*(self.draw(words, section, name, rows) for rows in blocks), strict=True)
            tokens, targets, *numbers = map(np.concatenate, drawn)
            only = np.zeros(section.rows, np.int32) if self.puzzles else None
            found.append(Split(tokens, targets, numbers[0] if numbers else only, self.stream))
        return found

    @property
    def label(self) -> str:
        """The task's name for tables: its kind, and the preset it equals."""
        own = self._settings
        for name, fields in type(self).presets.items():
            if type(self).model_validate({"kind": self.kind, **fields})._settings == own:
                return f"{self.kind}/{name}"
        return self.kind

    @property
    def _settings(self) -> dict[str, Any]:
        """The fields that rows depend on."""
        return self.model_dump(mode="json", exclude=set(self.idle))

    def _provenance(self, splits: Mapping[str, Split]) -> dict[str, Any]:
        records = {name: _record(split) for name, split in splits.items()}
        witnesses = [_hash(*self._witness(i)) for i in range(len(self.sections()["train"]))]
        told = json.dumps([self._settings, records, witnesses], sort_keys=True)
        return {
            "corpus": self.label,
            "about": (type(self).__doc__ or "").partition("\n")[0],
            "settings": self._settings,
            "sha256": sha256(told.encode()).hexdigest(),
            "splits": records,
            "notes": [],
        }

    def _witness(self, number: int) -> tuple[Ids, ...]:
        section = self.sections()["train"][number]
        rows = _WITNESSES - _WITNESSES % (self.stream or 1) or self.stream or 1
        return self.draw(Words(self.seed, self.kind, "witness", number), section, "train", rows)

    def _headline(self, splits: Mapping[str, Split]) -> str:
        train = sum(section.rows for section in self.sections()["train"])
        each = "new in every epoch" if self.renews else "the same in every epoch"
        scored = ", ".join(f"{name} {len(split)}" for name, split in splits.items())
        return f"task {self.label} (train {train} rows, {each}; {scored})"


@dataclass(frozen=True)
class GeneratedData(TaskData):
    """Drawn splits, and the task that draws what is trained on."""

    task: Generated

    @property
    def train_rows(self) -> Sequence[int]:
        """How many rows each section of an epoch has."""
        return [section.rows for section in self.task.sections()["train"]]

    @property
    def stream(self) -> int | None:
        """How many rows make a stream."""
        return self.task.stream

    @property
    def train_window(self) -> int:
        """Tokens in the longest row that is trained on."""
        return max(section.tokens for section in self.task.sections()["train"])

    def train(self, seed: int, epoch: int) -> Sequence[Split]:
        """Draw the rows of an epoch of the run with a seed, or return the fixed ones."""
        if self.task.fresh:
            return self.task.train_set(seed, epoch)
        return self.task.renewed(self._fixed, seed, epoch) if self.task.renews else self._fixed

    @cached_property
    def _fixed(self) -> list[Split]:
        return self.task.train_set()

    def controls(self) -> Sequence[Control]:
        """Return the best constant answer, which is the most frequent target of valid, and the task's guesses."""
        targets = self.splits["valid"].targets
        answer = int(np.bincount(targets[targets != IGNORE]).argmax())
        constant = {name: self._constant(split, answer) for name, split in self.splits.items()}
        found = [Control("constant", f"always {answer}, the most frequent target of valid", constant)]
        guesses = {name: self.task.guesses(split) for name, split in self.splits.items()}
        for control in guesses["valid"]:
            found.append(Control(control, "guessing", {name: guess[control] for name, guess in guesses.items()}))
        return found

    def _constant(self, split: Split, answer: int) -> dict[str, float]:
        tally = Tally(self.task.vocabulary)
        tally.add(np.full_like(split.targets, answer), split.targets)
        return chosen(self.task.metrics, tally.values())


def _joined(sections: Sequence[Split]) -> Split:
    """Return sections as one split; shorter rows end in token 0, which is not judged."""
    longest = max(section.window for section in sections)

    def padded(array: Ids, fill: int) -> Ids:
        return np.pad(array, ((0, 0), (0, longest - array.shape[1])), constant_values=fill)

    tokens = np.concatenate([padded(section.tokens, 0) for section in sections])
    targets = np.concatenate([padded(section.targets, IGNORE) for section in sections])
    puzzles = [section.puzzles for section in sections if section.puzzles is not None]
    return Split(tokens, targets, np.concatenate(puzzles) if puzzles else None, sections[0].stream)


def _record(split: Split) -> dict[str, Any]:
    digest = _hash(split.tokens, split.targets)
    return {"sha256": digest, "windows": len(split), "window": split.window, "targets": split.judged}


def _hash(*arrays: Ids) -> str:
    digest = sha256()
    for array in arrays:
        digest.update(f"{array.shape}".encode() + array.astype("<i4").tobytes())
    return digest.hexdigest()
