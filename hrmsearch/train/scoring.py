"""Scoring a split: every window once, through the same nest of passes that trains, with a loss for each pass."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hrmsearch.runtime import Array, Carry, Executable
from hrmsearch.tasks.base import Split, Task
from hrmsearch.tasks.judging import Tally, chosen, of_loss
from hrmsearch.tasks.loaders import eval_batches
from hrmsearch.train.nest import passes, rows_of
from hrmsearch.train.scores import Score


def score(
    executable: Executable,
    split: Split,
    task: Task,
    *,
    batch: int,
    count: int | None = None,
    loader: str | None = None,
) -> tuple[Score, ...]:
    """Return the mean loss over all targets and the task's metrics after each of `count` passes, by default the nest's.

    The loader decides the rows: `contiguous` reads the split as one stream, so that state of lifetime `stream` has seen
    all text before a window; `shuffled` reads `batch` windows at a time, in document order. The targets are the same.
    Every pass's loss is the summed loss over the summed number of targets, so short batches weigh what they hold.
    """
    nest = executable.graph.nest
    count = count or nest.passes
    total, targets = np.zeros(count), np.zeros(count)
    tallies = [Tally(task.vocabulary) for _ in range(count)]
    carry: Carry | None = None
    rows = 0
    for dealt in eval_batches(split, loader or nest.loader, batch):
        if carry is None or rows_of(dealt) != rows:
            rows = rows_of(dealt)
            carry = executable.init_carry(rows, split.window)
        for index, call in enumerate(passes(dealt, count)):
            outputs, carry = executable.eval_step(call, carry)
            total[index] += _sum(outputs, "nll")
            targets[index] += _sum(outputs, "count")
            if task.answers:
                tallies[index].add(outputs["predicted"], dealt.arrays["targets"])
    shares = [tally.values() if task.answers else {} for tally in tallies]
    return tuple(scored(i + 1, float(loss), task, shares[i]) for i, loss in enumerate(_means(total, targets)))


def scored(number: int, loss: float, task: Task, shares: Mapping[str, float] | None = None) -> Score:
    """Return the score of a pass: its loss, and what the task is judged by as far as that is known."""
    return Score(number, loss, chosen(task.metrics, of_loss(loss), shares or {}))


def _sum(outputs: Mapping[str, Array], name: str) -> float:
    return float(np.sum(outputs[name], dtype=np.float64))


def _means(total: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    return total / np.maximum(targets, 1.0)
