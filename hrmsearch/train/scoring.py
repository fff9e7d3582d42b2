"""Scoring a split: every window once, through the same nest of passes that trains, with a loss for each pass."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal

import numpy as np

from hrmsearch.ir import TELEMETRY, Graph
from hrmsearch.runtime import Array, Carry, Executable
from hrmsearch.tasks.base import Split, Task
from hrmsearch.tasks.judging import Tally, chosen, of_loss
from hrmsearch.tasks.loaders import eval_batches
from hrmsearch.train.halting import halts
from hrmsearch.train.kept import begun
from hrmsearch.train.nest import fitting, passes, rows_of
from hrmsearch.train.scores import Score

#: rows are scored after all passes, or each as it halts
Scored = Literal["max", "halt"]
#: where rows are scored as they halt: how many passes they took so far, and the share that halted after this very pass
PASSES: Final = f"{TELEMETRY}nest.passes"
HALTED: Final = f"{TELEMETRY}nest.halted"


def score(
    executable: Executable,
    split: Split,
    task: Task,
    *,
    batch: int,
    count: int | None = None,
    scored: Scored | None = None,
    loader: str | None = None,
) -> tuple[Score, ...]:
    """Return the mean loss over all targets and the task's metrics after each of `count` passes, by default the nest's.

    The loader decides the rows: `contiguous` reads the split as one stream, so that state of lifetime `stream` has seen
    all text before a window; `shuffled` reads `batch` windows at a time, in document order. The targets are the same.
    Every pass's loss is the summed loss over the summed number of targets, so short batches weigh what they hold;
    telemetry is the mean over windows. Where rows are scored as they halt, by default where the nest says so, a row
    keeps what it said when it did. What is kept by sample begins empty for every window, and `settle` passes fill it.
    """
    graph = executable.graph
    halt = graph.nest.halt
    halting = halt is not None and (scored or halt.scored) == "halt"
    found = [_Pass(graph, task, halting) for _ in range(count or graph.nest.passes)]
    carry: Carry | None = None
    rows = 0
    for dealt in fitting(eval_batches(split, loader or graph.nest.loader, batch), graph):
        carry, rows = begun(executable, dealt, carry if rows_of(dealt) == rows else None, split.window), rows_of(dealt)
        kept = _Kept(graph, len(found) if halting else 0, rows)
        for one, call in zip(found, passes(dealt, len(found)), strict=True):
            outputs, carry = executable.eval_step(call, carry)
            one.add(kept.merge(outputs), dealt.arrays["targets"])
    return tuple(one.score(i + 1, split) for i, one in enumerate(found))


def score_of(number: int, loss: float, task: Task, shares: Mapping[str, float] | None = None) -> Score:
    """Return the score of a pass: its loss, and what the task is judged by as far as that is known."""
    return Score(number, loss, chosen(task.metrics, of_loss(loss), shares or {}))


class _Pass:
    """The sums that make a pass's score: losses and answers over targets, telemetry over windows."""

    def __init__(self, graph: Graph, task: Task, halting: bool) -> None:
        self.task = task
        self.loss = self.targets = 0.0
        self.tally = Tally(task.vocabulary)
        self.told = {name: 0.0 for name in graph.outputs if name.startswith(TELEMETRY)}
        if halting:
            self.told |= {PASSES: 0.0, HALTED: 0.0}
        self.windows = 0
        self.said: list[Array] = []

    def add(self, outputs: Mapping[str, Array], targets: Array) -> None:
        """Add what came of a batch of windows."""
        self.loss += _sum(outputs, "nll")
        self.targets += _sum(outputs, "count")
        self.windows += len(targets)
        for name in self.told:
            self.told[name] += _sum(outputs, name)
        if self.task.answers:
            self.tally.add(outputs["predicted"], targets)
        if self.task.takes_votes:
            self.said.append(outputs["predicted"])

    def score(self, number: int, split: Split) -> Score:
        """Return the means over a split, and what its rows come to together."""
        shares = self.tally.values() if self.task.answers else {}
        if self.said:
            shares |= self.task.voted(split, np.concatenate(self.said))
        told = {name: total / self.windows for name, total in self.told.items()}
        return replace(score_of(number, self.loss / max(self.targets, 1.0), self.task, shares), telemetry=told)


class _Kept:
    """What rows said when they halted, after `most` passes at the latest; nothing where they do not: 0."""

    def __init__(self, graph: Graph, most: int, rows: int) -> None:
        self._rows = {n for n, value in graph.outputs.items() if value.type.names[:1] == ("B",)}
        self._most, self._passes = most, np.zeros(rows, np.int32)
        self._done = np.zeros(rows, np.bool_)
        self._said: dict[str, Array] = {}

    def merge(self, outputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return a pass's outputs with those of rows that halted before it as they were then."""
        if not self._most:
            return outputs
        merged = dict(outputs)
        for name in self._rows & self._said.keys():
            done = self._done.reshape(-1, *[1] * (outputs[name].ndim - 1))
            merged[name] = np.where(done, self._said[name], outputs[name])
        self._passes += ~self._done
        now = ~self._done & halts(outputs, self._passes, self._most)
        self._done |= now
        self._said = merged
        return {**merged, PASSES: self._passes, HALTED: now}


def _sum(outputs: Mapping[str, Array], name: str) -> float:
    return float(np.sum(outputs[name], dtype=np.float64))
