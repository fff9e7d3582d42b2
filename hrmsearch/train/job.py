"""One seed of one spec on one corpus: what every part of its training needs to know, and nothing that changes."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from math import prod
from typing import Any, Final

from hrmsearch import passes
from hrmsearch.analyses import Cost, Diagnostic, cost
from hrmsearch.ir import Graph, moves
from hrmsearch.spec.load import resolved
from hrmsearch.spec.model import Spec
from hrmsearch.tasks.base import Control, Task, TaskData
from hrmsearch.tasks.controls import controls_of
from hrmsearch.train.checkpoint import Origin
from hrmsearch.train.files import RunFolder
from hrmsearch.train.nest import updates_per_epoch
from hrmsearch.train.options import RunOptions

#: fields that no number of a result depends on; the seed is recorded apart
_IDLE: Final = (("about",), ("accept",), ("seeds",), ("train", "checkpoint"))

#: cached facts of a plan that do not depend on how the model is trained
_OF_STRUCTURE: Final = ("data_hash", "controls", "params", "cost")


def spec_hash(spec: Spec) -> str:
    """Return the SHA-256 of a resolved spec without the fields that no result depends on."""
    tree: dict[str, Any] = resolved(spec)
    for *outer, last in _IDLE:
        holder = tree
        for key in outer:
            holder = holder[key]
        holder.pop(last, None)
    return sha256(json.dumps(tree, sort_keys=True, allow_nan=False).encode()).hexdigest()


def task_of(spec: Spec) -> Task:
    """Return a spec's task."""
    assert isinstance(spec.task, Task)
    return spec.task


@dataclass(frozen=True)
class Plan:
    """What the seeds of a run share: the spec, its graph as lowered, the data, the options, and what analyses found."""

    spec: Spec
    graph: Graph
    data: TaskData
    options: RunOptions
    diagnostics: tuple[Diagnostic, ...] = ()

    def twin(self, spec: Spec) -> "Plan":
        """Return the plan of another spec of the same structure and data, with what follows from those."""
        other = replace(self, spec=spec)
        # asked of this plan, so that they are computed once for all twins
        vars(other).update({name: getattr(self, name) for name in _OF_STRUCTURE})
        return other

    @property
    def task(self) -> Task:
        """The spec's task."""
        return task_of(self.spec)

    @cached_property
    def spec_hash(self) -> str:
        """The spec's hash."""
        return spec_hash(self.spec)

    @cached_property
    def data_hash(self) -> str:
        """The hash of everything the splits hold."""
        return str(self.data.provenance["sha256"])

    @cached_property
    def controls(self) -> tuple[Control, ...]:
        """The task's controls, computed once for all seeds."""
        return controls_of(self.task, self.data)

    @cached_property
    def params(self) -> int:
        """Number of parameters that the optimiser trains."""
        return sum(prod(op.result.type.shape({})) for op in self.graph.params.values() if moves(op) == "trained")

    @cached_property
    def cost(self) -> Cost:
        """What the model costs as it runs, after the compiler passes."""
        return cost(passes.run(self.graph))

    @property
    def batch_flops(self) -> int:
        """Contraction FLOPs of all passes over one batch of the longest training windows, forward and backward."""
        sizes = {"B": self.batch, "T": self.data.train_window}
        return sum(one.training.at(sizes) for one in self.cost.passes)

    @property
    def batch(self) -> int:
        """Rows of a whole batch, of which `train.batch` at a time are computed."""
        return self.spec.train.batch * self.spec.train.accumulate

    @cached_property
    def epoch_steps(self) -> int:
        """Optimiser steps in an epoch."""
        return updates_per_epoch(self.data.train_rows, self.graph.nest, self.batch, self.data.stream)

    @property
    def steps(self) -> int:
        """Optimiser steps, if all epochs run."""
        return self.spec.train.all_epochs * self.epoch_steps


@dataclass(frozen=True)
class Job:
    """One seed of a plan, and the folder its files go to."""

    plan: Plan
    seed: int
    folder: RunFolder

    @property
    def origin(self) -> Origin:
        """What its checkpoints belong to."""
        return Origin(self.plan.spec_hash, self.plan.data_hash, self.seed, self.plan.options.backend)
