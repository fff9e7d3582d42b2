"""Checkpoints: one safetensors file with all that the rest of a run depends on.

Arrays: `snapshot/<name>` is the executable's (parameters, optimiser, averages, random state), `carry/<i>/<path>` the
carry of micro-batch i, `best/<path>` the best parameters, `rolling/<name>` the rows of a nest that halts,
`kept/<name>` what is kept of each window. `json` is
u8[n]: the rest as JSON in UTF-8, whose floats keep every bit.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from hrmsearch.errors import RunError
from hrmsearch.ir.checkpoint import below, read_arrays, write_arrays
from hrmsearch.runtime import Array
from hrmsearch.train.progress import Progress

FORMAT: Final = "hrmsearch checkpoint 2"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a checkpoint belongs to; it continues nothing else."""

    spec: str
    data: str
    seed: int
    backend: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A moment of a run, between two batches.

    metrics_bytes: how long `metrics.jsonl` was. carries, rows: of each micro-batch, its carry and number of rows.
    """

    origin: Origin
    progress: Progress
    metrics_bytes: int
    snapshot: Mapping[str, Array]
    carries: Sequence[Mapping[str, Array]]
    rows: Sequence[int]
    best: Mapping[str, Array]
    rolling: Mapping[str, Array] = field(default_factory=dict[str, Array])
    kept: Mapping[str, Array] = field(default_factory=dict[str, Array])

    def save(self, path: Path) -> None:
        """Write the checkpoint; a crash leaves the one before it. Raises RunError where it cannot be written."""
        arrays = {"json": self._header()}
        arrays |= {f"snapshot/{name}": array for name, array in self.snapshot.items()}
        arrays |= {f"best/{name}": array for name, array in self.best.items()}
        arrays |= {f"rolling/{name}": array for name, array in self.rolling.items()}
        arrays |= {f"kept/{name}": array for name, array in self.kept.items()}
        for i, carry in enumerate(self.carries):
            arrays |= {f"carry/{i}/{name}": array for name, array in carry.items()}
        write_arrays(path, arrays)

    def _header(self) -> Array:
        header = {
            "format": FORMAT,
            "origin": asdict(self.origin),
            "progress": self.progress.record(),
            "metrics_bytes": self.metrics_bytes,
            "rows": list(self.rows),
        }
        return np.frombuffer(json.dumps(header, allow_nan=False).encode(), np.uint8)


def load(path: Path, origin: Origin) -> Checkpoint:
    """Return the checkpoint in a file.

    Raises RunError that leads with the file, where it is missing, truncated, no checkpoint, or of another origin.
    """
    arrays = read_arrays(path)
    header = _header_of(path, arrays)
    try:
        found, rows = Origin(**header["origin"]), [int(count) for count in header["rows"]]
        progress, length = Progress.of(header["progress"]), int(header["metrics_bytes"])
    except (KeyError, TypeError, ValueError, AttributeError, RunError) as error:
        raise RunError(f"{path}: a broken checkpoint, or one of another version ({error})") from error
    check(path, "a checkpoint", found, origin)
    kept = [below(f"carry/{i}/", arrays) for i in range(len(rows))]
    return Checkpoint(
        found,
        progress,
        length,
        below("snapshot/", arrays),
        kept,
        rows,
        below("best/", arrays),
        below("rolling/", arrays),
        below("kept/", arrays),
    )


def _header_of(path: Path, arrays: Mapping[str, Array]) -> dict[str, Any]:
    if "json" not in arrays:
        raise RunError(f"{path}: holds arrays, but is no checkpoint of a run")
    try:
        header = json.loads(arrays["json"].tobytes())
    except ValueError as error:
        raise RunError(f"{path}: a broken checkpoint ({error})") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:  # pyright: ignore[reportUnknownMemberType]
        raise RunError(f"{path}: a checkpoint of another version; this one reads {FORMAT!r}")
    return header  # pyright: ignore[reportUnknownVariableType]


def check(path: Path, what: str, found: Origin, wanted: Origin) -> None:
    """Raise RunError that leads with the path, where one thing is found and another was wanted."""
    words = {"spec": "another spec", "data": "other data", "seed": "another seed", "backend": "another backend"}
    for name, other in words.items():
        was, now = getattr(found, name), getattr(wanted, name)
        if was != now:
            raise RunError(f"{path}: {what} of {other} ({_short(was)}, wanted is {_short(now)})")


def _short(value: str | int) -> str:
    return str(value)[:12]
