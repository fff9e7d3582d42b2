"""Running a manifest again, and whether it comes to the same."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hrmsearch.errors import RunError
from hrmsearch.spec.load import loads
from hrmsearch.train import manifest as manifests
from hrmsearch.train.files import MANIFEST
from hrmsearch.train.job import spec_hash
from hrmsearch.train.options import RunOptions
from hrmsearch.train.running import run
from hrmsearch.train.scores import SeedResult
from hrmsearch.train.watch import Silent, Watcher

#: how far losses may lie apart, relative to the first, where the environment differs: other kernels round differently,
#: training amplifies that, and this is about what seeds differ by
TOLERANCE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Comparison:
    """A result, its repetition, and whether they match.

    exact: whether every metric is the same bit for bit. largest: the largest relative difference of two losses.
    tolerance: what `largest` may be for a match; 0 in the same environment. environment: what differs, in words.
    """

    before: SeedResult
    after: SeedResult
    exact: bool
    largest: float
    tolerance: float
    environment: tuple[str, ...]

    @property
    def matches(self) -> bool:
        """Whether the repetition is as close as it should be."""
        return self.exact or (self.tolerance > 0 and self.largest <= self.tolerance)

    def __str__(self) -> str:
        place = "in the same environment" if not self.environment else f"though {'; '.join(self.environment)}"
        if self.exact:
            return f"reproduced bit for bit, {place}"
        word = "reproduced" if self.matches else "NOT reproduced"
        allowed = f"at most {self.tolerance:.0%} allowed" if self.tolerance else "it should be exact"
        return f"{word}: losses differ by up to {self.largest:.2e} relative ({allowed}), {place}"


def reproduce(
    manifest: Path, watcher: Watcher | None = None, *, backend: str | None = None, device: str | None = None
) -> Comparison:
    """Train again what a finished manifest (or the run folder that holds it) describes, and compare the metrics.

    The manifest alone is enough. The repetition is made in a temporary folder, on the same backend and device unless
    told otherwise. Raises RunError where the manifest is unfinished or the same data cannot be had.
    """
    path = manifest / MANIFEST if manifest.is_dir() else manifest
    found = manifests.read(path)
    if found["status"] != manifests.FINISHED:
        raise RunError(f"{path}: the run is not finished ({found['status']}), so it has no result to reproduce")
    before = SeedResult.of(path.parent, found)
    spec = loads(json.dumps({**found["spec"], "seeds": [found["seed"]]}), str(path))
    if spec_hash(spec) != found["spec_hash"]:
        raise RunError(f"{path}: its spec means something else to this version of hrmsearch")
    with TemporaryDirectory() as folder:
        chosen = RunOptions(
            backend or found["backend"],
            device or found["device"],
            Path(folder),
            optimize=found["optimize"],
            kernels=found.get("kernels", True),
        )
        (after,) = run(spec, chosen, watcher or Silent())
        again = manifests.read(after.run_dir / MANIFEST)
    if after.identity != before.identity:
        raise RunError(
            f"{path}: was on other data ({before.identity.corpus}) than can be had ({after.identity.corpus})"
        )
    return _compare(before, after, _differences(found, again))


def _compare(before: SeedResult, after: SeedResult, environment: tuple[str, ...]) -> Comparison:
    pairs = [pair for split, passes in before.scores.items() for pair in zip(passes, after.scores[split], strict=True)]
    largest = max((abs(a.loss - b.loss) / max(abs(a.loss), 1e-12) for a, b in pairs), default=0.0)
    exact = before.metrics == after.metrics
    return Comparison(before, after, exact, largest, TOLERANCE if environment else 0.0, environment)


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        f"{key} was {manifests.plain(before[key])} and is {manifests.plain(after.get(key))}"
        for key in manifests.ENVIRONMENT
        if key in before and before[key] != after.get(key)
    )
