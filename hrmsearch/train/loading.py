"""Runs and weights read back, and evaluation on any split, corpus or number of passes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hrmsearch.errors import DataError, RunError
from hrmsearch.lowering import lower
from hrmsearch.runtime import Executable
from hrmsearch.spec import problems
from hrmsearch.spec.load import load
from hrmsearch.spec.model import Spec
from hrmsearch.tasks.base import Control, Task, TaskData
from hrmsearch.tasks.controls import controls_of
from hrmsearch.train import manifest, metrics
from hrmsearch.train.compiling import compile_for
from hrmsearch.train.files import RunFolder
from hrmsearch.train.job import spec_hash, task_of
from hrmsearch.train.options import RunOptions
from hrmsearch.train.scores import Identity, Score
from hrmsearch.train.scoring import Scored, score
from hrmsearch.train.workshop import sound


@dataclass(frozen=True)
class LoadedModel:
    """A spec, and an executable that holds parameters of its model; place: where they are from."""

    place: Path
    spec: Spec
    executable: Executable

    @cached_property
    def data(self) -> TaskData:
        """The data of the spec's task; raises DataError where they cannot be had."""
        return self.task.load()

    @property
    def task(self) -> Task:
        """The spec's task."""
        return task_of(self.spec)


@dataclass(frozen=True)
class LoadedRun(LoadedModel):
    """A run read back from its folder, with its best parameters; it may still be going on.

    metrics: the lines of `metrics.jsonl`.
    """

    manifest: dict[str, Any]
    metrics: list[dict[str, Any]]

    @property
    def run_dir(self) -> Path:
        """Its folder."""
        return self.place

    @cached_property
    def data(self) -> TaskData:
        """The data it was trained on; raises RunError where the same text cannot be had any more."""
        data = self.task.load()
        if data.provenance["sha256"] != self.manifest["data"]["sha256"]:
            was, now = self.manifest["data"]["corpus"], data.provenance["corpus"]
            raise RunError(f"{self.place}: was trained on other data ({was}) than can be had now ({now})")
        return data


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores by pass of one split of one corpus; targets: how many were scored."""

    split: str
    headline: str
    identity: Identity
    targets: int
    scores: tuple[Score, ...]
    controls: tuple[Control, ...]


def load_run(run_dir: Path, backend: str | None = None, device: str | None = None) -> LoadedRun:
    """Return a run with its best parameters, on the backend and device it was trained on unless told otherwise.

    Raises RunError where the folder is no run's, its files do not belong together, or it was never validated.
    """
    folder = RunFolder(run_dir)
    found = manifest.read(folder.manifest)
    spec = load(folder.resolved)
    if spec_hash(spec) != found["spec_hash"]:
        raise RunError(f"{folder.resolved}: is not the spec that {folder.manifest} describes")
    if not folder.weights.exists():
        raise RunError(f"{folder.weights}: no such file; a run has weights once its last phase was validated")
    options = RunOptions(
        backend or found["backend"],
        device or found["device"],
        optimize=found["optimize"],
        kernels=found.get("kernels", True),
    )
    executable = compile_for(spec, lower(spec), options, training=False)
    executable.load(folder.weights)
    return LoadedRun(run_dir, spec, executable, found, metrics.read(folder.metrics))


def load_weights(weights: Path, spec: Spec, options: RunOptions | None = None) -> LoadedModel:
    """Return a spec's model with parameters from a file of safetensors, whoever trained them.

    Raises RunError where the file holds no parameters of this model, UnsoundError where a diagnostic that the spec does
    not accept makes any score of it void.
    """
    graph = lower(spec)
    sound(graph, spec, "not scored")
    executable = compile_for(spec, graph, options or RunOptions(), training=False)
    try:
        executable.load(weights)
    except RunError as error:
        place = spec.source.file if spec.source else spec.name
        hint = "name the spec that they are of; `hrmsearch import-checkpoint` takes what HRM and TRM published"
        raise RunError(f"{error}\n  the graph is of {place}: {hint}") from error
    return LoadedModel(weights, spec, executable)


def evaluate(
    model: LoadedModel,
    split: str = "test",
    *,
    passes: int | None = None,
    scored: Scored | None = None,
    corpus: str | None = None,
    batch: int | None = None,
) -> Evaluation:
    """Score a split of the task's corpus, or of another one, after each of `passes` passes.

    Nothing is chosen by it. scored: rows after all passes (`max`) or as they halt (`halt`), by default as the spec
    says. `batch` rows at a time (by default as in training) only if windows are independent of each other: with a
    contiguous loader the split is one stream, as in validation. Raises DataError for a corpus that cannot be had, a
    split that does not exist, no pass at all, and rows that cannot halt.
    """
    if passes is not None and passes < 1:
        raise DataError(f"{passes} passes are impossible; use at least 1")
    if scored == "halt" and model.executable.graph.nest.halt is None:
        raise DataError(f"{model.place}: rows do not halt one by one; {model.spec.name} has no nest.halt")
    data = model.data if corpus is None else _on(model.task, corpus).load()
    if split not in data.splits:
        raise DataError(f"there is no split {split!r}; there are {', '.join(data.splits)}")
    found, rows = data.splits[split], batch or data.rows_at_once(split, model.spec.train.batch)
    scores = score(model.executable, found, model.task, batch=rows, count=passes, scored=scored)
    identity = Identity(data.provenance["corpus"], data.provenance["sha256"], spec_hash(model.spec))
    controls = _about(controls_of(model.task, data), split)
    return Evaluation(split, data.headline, identity, found.judged, scores, controls)


def _about(controls: Sequence[Control], split: str) -> tuple[Control, ...]:
    """Return the controls that were scored on a split."""
    return tuple(control for control in controls if split in control.metrics)


def _on(task: Task, corpus: str) -> Task:
    """Return a task on another corpus."""
    if "corpus" not in type(task).model_fields:
        raise DataError(f"the task {task.kind!r} has no corpus to replace")
    try:
        return type(task).model_validate({**task.model_dump(), "corpus": corpus})
    except ValidationError as error:
        why = "; ".join(map(problems.standalone, error.errors(include_url=False)))
        raise DataError(f"corpus: {why}") from error
