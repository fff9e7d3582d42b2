"""What a report stands on: finished runs, their manifests with hashes, and every score that was logged."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrmsearch.errors import RunError
from hrmsearch.train import SeedResult, manifest, metrics
from hrmsearch.train.files import MANIFEST


@dataclass(frozen=True, slots=True)
class Evidence:
    """A finished run.

    file: its manifest, with the SHA-256 of its bytes. lines: those of `metrics.jsonl`; none where only the manifest was
    kept.
    """

    result: SeedResult
    file: Path
    sha256: str
    manifest: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.result.seed

    @classmethod
    def of(cls, file: Path, found: Mapping[str, Any]) -> "Evidence":
        """Return what a finished manifest and the files beside it hold; raises RunError where they are foreign."""
        log = file.parent / "metrics.jsonl"
        lines = metrics.read(log) if file.name == MANIFEST and log.exists() else []
        return cls(SeedResult.of(file.parent, found), file, sha256_of(file), found, lines)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A run without a result; a report says what it leaves out."""

    file: Path
    manifest: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.manifest["seed"]

    @property
    def diverged(self) -> bool:
        """Whether it ran away, rather than being stopped or under way."""
        return self.manifest.get("status") == manifest.DIVERGED

    def __str__(self) -> str:
        return f"{self.file.parent}: {'diverged' if self.diverged else 'not finished'}, left out"


def gather(folders: Sequence[Path]) -> tuple[list[Evidence], list[LeftOut]]:
    """Return the finished runs in or below folders, each once, and the others.

    Raises RunError for a folder that is missing or holds no run.
    """
    finished: list[Evidence] = []
    others: list[LeftOut] = []
    for file in dict.fromkeys(file for above in folders for file in manifest.below(above)):
        found = manifest.read(file)
        if found.get("status") == manifest.FINISHED:
            finished.append(Evidence.of(file, found))
        else:
            others.append(LeftOut(file, found))
    return finished, others


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's bytes; raises RunError where it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise RunError(f"{file}: cannot be read ({error.strerror or error})") from error
