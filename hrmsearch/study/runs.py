"""Trained runs as arms of a comparison: what lies in run folders, or in copies of their manifests, by spec and seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from hrmsearch.errors import RunError
from hrmsearch.train import SeedResult, manifest


@dataclass(frozen=True, slots=True)
class SeedRun:
    """One seed of a spec: its manifest, and where that lies."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """The seed."""
        return self.manifest["seed"]

    @property
    def is_over(self) -> bool:
        """Whether it finished or diverged, rather than being stopped or under way."""
        return self.manifest["status"] != manifest.RUNNING

    @property
    def result(self) -> SeedResult | None:
        """What it came to; None where it diverged."""
        if self.manifest["status"] == manifest.DIVERGED:
            return None
        return SeedResult.of(self.path.parent, self.manifest)


@dataclass(frozen=True, slots=True)
class RunArm:
    """The seeds of one spec found in one place that came to an end; unfinished: those that did not."""

    name: str
    place: Path
    runs: tuple[SeedRun, ...]
    unfinished: tuple[int, ...]

    @property
    def first(self) -> Mapping[str, Any]:
        """The manifest of one of its seeds, for what they share."""
        return self.runs[0].manifest

    @property
    def seeds(self) -> list[int]:
        """The seeds that came to an end."""
        return [run.seed for run in self.runs]

    def results(self) -> dict[int, SeedResult | None]:
        """Return what its seeds came to, None for those that diverged."""
        return {run.seed: run.result for run in self.runs}


def arms_in(places: Sequence[Path]) -> list[RunArm]:
    """Return an arm for every spec in every place, in the order given, in a folder by path.

    A place is a manifest, a run's folder, or a folder above runs. An arm has the name of its spec; where two have the
    same, its place is added. Raises RunError for a place without a run that came to an end, for a manifest that is
    foreign or named twice, and for a seed that occurs twice in an arm.
    """
    groups: dict[tuple[Path, str], list[SeedRun]] = {}
    read: set[Path] = set()
    for place in places:
        for path in manifest.below(place):
            if path.resolve() in read:
                raise RunError(f"{path}: is named twice; an arm is compared with another one")
            read.add(path.resolve())
            run = SeedRun(path, manifest.read(path))
            groups.setdefault((place, run.manifest["spec_hash"]), []).append(run)
    names = [runs[0].manifest["name"] for runs in groups.values()]
    return [
        _arm(name if names.count(name) == 1 else f"{name} ({place})", place, runs)
        for name, ((place, _), runs) in zip(names, groups.items(), strict=True)
    ]


def _arm(name: str, place: Path, runs: Sequence[SeedRun]) -> RunArm:
    over = sorted((run for run in runs if run.is_over), key=lambda run: run.seed)
    if not over:
        raise RunError(f"{place}: no seed of {name} is finished")
    for one, other in pairwise(over):
        if one.seed == other.seed:
            raise RunError(f"{other.path}: seed {other.seed} of {name} is in {one.path} too; name one of them")
    return RunArm(name, place, tuple(over), tuple(sorted(run.seed for run in runs if not run.is_over)))
