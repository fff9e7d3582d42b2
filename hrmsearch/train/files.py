"""A run's folder: which files it holds, and when it may be written."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hrmsearch.errors import RunError

MANIFEST: Final = "manifest.json"
#: in the folder of a study: its file, and the folder of the runs of its search, which chose the finalists
STUDY, TRIALS = "study.yaml", "trials"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one seed's run, and its files by name."""

    path: Path

    @property
    def spec(self) -> Path:
        """The spec as written, the overrides as comments below it."""
        return self.path / "spec.yaml"

    @property
    def resolved(self) -> Path:
        """The spec with overrides and every default; it loads as the spec that ran."""
        return self.path / "spec.resolved.yaml"

    @property
    def graph(self) -> Path:
        """The graph that ran as text, after the compiler passes."""
        return self.path / "graph.ir"

    @property
    def source(self) -> Path:
        """The source that ran."""
        return self.path / "model.py"

    @property
    def manifest(self) -> Path:
        """What ran, where, on what, and what came of it."""
        return self.path / MANIFEST

    @property
    def metrics(self) -> Path:
        """One score a line."""
        return self.path / "metrics.jsonl"

    @property
    def weights(self) -> Path:
        """The parameters with the best validation loss so far."""
        return self.path / "model.safetensors"

    @property
    def answers(self) -> Path:
        """What the best parameters say to a few puzzles, where the task has a board to show them on."""
        return self.path / "answers.json"

    @property
    def probe(self) -> Path:
        """What a probe read back from the carry, where one was kept."""
        return self.path / "probe.json"

    @property
    def checkpoint(self) -> Path:
        """All that training needs to go on; gone once the run is finished."""
        return self.path / "checkpoint.safetensors"

    @property
    def is_used(self) -> bool:
        """Whether the path is taken: by anything but an empty folder."""
        if not os.path.lexists(self.path):
            return False
        return not self.path.is_dir() or any(self.path.iterdir())

    def refuse_if_used(self) -> None:
        """Raise RunError where a fresh run would overwrite something."""
        if self.is_used:
            raise RunError(
                f"{self.path}: exists, and a run overwrites nothing; "
                "go on with it by --resume, or choose another folder by --out"
            )

    def refuse_if_foreign(self) -> None:
        """Raise RunError where the folder holds anything that no run wrote."""
        if not self.is_used:
            return
        if not self.path.is_dir():
            raise RunError(f"{self.path}: is no folder")
        own = {path.name for path in self._own}
        foreign = sorted(e.name for e in self.path.iterdir() if e.name.removesuffix(".part") not in own)
        if foreign:
            raise RunError(f"{self.path}: is no run's folder, it holds {foreign[0]}; choose another one by --out")

    @property
    def _own(self) -> tuple[Path, ...]:
        described = (self.spec, self.resolved, self.graph, self.source, self.manifest)
        later = (self.answers, self.probe, self.checkpoint, self.path / "__pycache__")
        return (*described, self.metrics, self.weights, *later)

    def make(self) -> None:
        """Make the folder; raises RunError where that is impossible."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{self.path}: cannot be made ({error.strerror or error})") from error

    def remove_checkpoint(self) -> None:
        """Remove the checkpoint of a finished run, and what a killed write of it left."""
        for path in (self.checkpoint, self.checkpoint.with_name(f"{self.checkpoint.name}.part")):
            path.unlink(missing_ok=True)
