"""`manifest.json`: what ran, on what data, where, under which versions, and what came of it."""

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, Final, cast

from hrmsearch.errors import RunError
from hrmsearch.spec.load import resolved
from hrmsearch.spec.model import Spec
from hrmsearch.train.checkpoint import Origin
from hrmsearch.train.files import MANIFEST, STUDY, TRIALS
from hrmsearch.train.form import DIVERGED as DIVERGED
from hrmsearch.train.form import FINISHED, RUNNING, broken
from hrmsearch.train.job import Job, Plan
from hrmsearch.train.progress import Progress
from hrmsearch.train.scores import Score

FORMAT: Final = "hrmsearch manifest 1"

#: copies that `hrmsearch results --manifests` makes
_COPY: Final = "seed-*.json"

#: what a result is bit for bit the same under; `reproduce` says which of them differ
ENVIRONMENT: Final = ("versions", "platform", "backend", "device", "precision", "optimize", "kernels", "threads")


def describe(job: Job) -> dict[str, Any]:
    """Return the manifest of a run that has begun: everything but its results."""
    plan, options, train = job.plan, job.plan.options, job.plan.spec.train
    return {
        "format": FORMAT,
        "status": RUNNING,
        "name": plan.spec.name,
        "seed": job.seed,
        "spec_hash": plan.spec_hash,
        "spec": resolved(plan.spec),
        "overrides": overrides_of(plan.spec),
        "command": list(options.command),
        "data": plan.data.provenance,
        "versions": _versions(options.backend),
        "platform": {"system": platform.platform(), "machine": platform.machine(), "cpus": os.cpu_count()},
        "backend": options.backend,
        "device": options.device,
        "precision": train.precision,
        "optimize": options.optimize,
        "kernels": options.kernels,
        "threads": _threads(),
        "params": plan.params,
        "budget": _budget(plan),
        "diagnostics": [found.as_json() for found in plan.diagnostics],
        "accepted": dict(plan.spec.accept),
    }


def results(job: Job, progress: Progress, tested: Mapping[str, Sequence[Score]]) -> dict[str, Any]:
    """Return what a finished run adds to its manifest; tested: the scores on splits that chose nothing."""
    seconds = progress.epoch_seconds
    halted = {"halted": progress.all_halted} if job.plan.graph.nest.halt is not None else {}
    return {
        "status": FINISHED,
        "metrics": {
            "best_epoch": progress.best_epoch,
            "epochs": progress.epoch,
            "steps": progress.step,
            "valid": [score.record() for score in progress.valid_scores()],
            **{split: [score.record() for score in passes] for split, passes in tested.items()},
        },
        "controls": [asdict(control) for control in job.plan.controls],
        **halted,
        "seconds_per_epoch": math.fsum(seconds) / len(seconds),
    }


def dump(manifest: Mapping[str, Any]) -> str:
    """Return a manifest as strict JSON for people to read."""
    return json.dumps(manifest, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def read(path: Path) -> dict[str, Any]:
    """Return the manifest in a file, whole as `broken` says; raises RunError where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path}: no such manifest; is the folder that of a run?") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: no manifest of a run ({error})") from error
    except RecursionError:
        raise RunError(f"{path}: no manifest of a run (nested too deeply)") from None
    if not isinstance(found, dict) or cast("dict[str, Any]", found).get("format") != FORMAT:
        raise RunError(f"{path}: no manifest of a run, or one of another version; this one reads {FORMAT!r}")
    whole = cast("dict[str, Any]", found)
    if why := broken(whole):
        raise RunError(f"{path}: a broken manifest ({why})")
    return whole


def below(place: Path) -> list[Path]:
    """Return the manifests in or below a folder, by path; a file is taken for one.

    Those are of runs, or, where no run lies there, the copies of manifests that are kept beside results. Trials of a
    study are left out unless the folder is that of trials: they chose by their seed, which is no fresh one. Raises
    RunError where there are neither.
    """
    if place.is_file():
        return [place]
    runs = sorted(place.rglob(MANIFEST)) or sorted(place.rglob(_COPY))
    found = [run for run in runs if not _is_trial(run, place)]
    if not found:
        what = "no run in it but trials of a study" if runs else "no run in it"
        raise RunError(f"{place}: {what if place.is_dir() else 'no such folder or manifest'}")
    return found


def _is_trial(run: Path, place: Path) -> bool:
    """Return whether a manifest below a folder is of a study's search, and the folder holds more than that search."""
    inner = run.parents[: len(run.relative_to(place).parts) - 1]
    return any(above.name == TRIALS and (above.parent / STUDY).is_file() for above in inner)


def origin_of(manifest: Mapping[str, Any]) -> Origin:
    """Return what a manifest's run is of."""
    return Origin(manifest["spec_hash"], manifest["data"]["sha256"], manifest["seed"], manifest["backend"])


def plain(value: Any) -> str:
    """Return a manifest's value in words: `torch 2.13.0, numpy 2.4.6`."""
    if not isinstance(value, dict):
        return str(value)
    return ", ".join(f"{key} {part}" for key, part in cast("dict[str, Any]", value).items())


def overrides_of(spec: Spec) -> list[str]:
    """Return the overrides of a spec, in the order they were applied."""
    source = spec.source
    return [text.text for file, text in source.texts.items() if file != source.file] if source else []


def _budget(plan: Plan) -> dict[str, float]:
    return {
        "params": plan.params,
        "flops_per_token": plan.cost.flops_per_token,
        "state_bytes": plan.cost.state_bytes,
        "activation_bytes": plan.cost.activation_bytes,
    }


def _versions(backend: str) -> dict[str, str]:
    names = ("hrmsearch", "numpy", "safetensors", backend)
    found = {name: version for name in names if (version := _version(name)) is not None}
    return {"python": platform.python_version(), **found}


def _version(name: str) -> str | None:
    """Return the version of an installed distribution; a backend is named like its framework, where it has one."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _threads() -> int:
    """Return how many threads arithmetic may use: sums in another order are other sums."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() else os.cpu_count() or 1
