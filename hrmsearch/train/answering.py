"""What a trained model answers to single windows of a split, after each pass."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from hrmsearch.errors import DataError
from hrmsearch.files import write
from hrmsearch.ir import Lifetime
from hrmsearch.runtime import Array, Executable
from hrmsearch.tasks.base import IGNORE, Ids, Split, Task
from hrmsearch.tasks.loaders import Batch
from hrmsearch.train.halting import Q_HALT, halts
from hrmsearch.train.loading import LoadedModel
from hrmsearch.train.nest import passes

#: how many puzzles a run keeps its answers to
_KEPT: Final = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to one window.

    number: of the window in its split, from 0. tokens, targets: i32[T]. predicted: i32[passes, T]. halted: the pass
    after which the row would halt, from 1; None where rows do not halt one by one.
    """

    number: int
    tokens: Ids
    targets: Ids
    predicted: Ids
    halted: int | None = None

    @property
    def wrong(self) -> Array:
        """Which tokens are wrong after the last pass, bool[T]; what does not count is not."""
        return (self.targets != IGNORE) & (self.predicted[-1] != self.targets)

    @property
    def right_by_pass(self) -> list[float]:
        """The share of right answers after each pass."""
        asked = self.targets != IGNORE
        return [float(said[asked].mean()) if asked.any() else 1.0 for said in self.predicted == self.targets]


def answers(
    model: LoadedModel, split: str = "test", numbers: Sequence[int] = (0,), count: int | None = None
) -> list[Answer]:
    """Return what a model answers to windows of a split, by their numbers, after `count` passes or those of the nest.

    Raises DataError for a task that is not judged by answers, a split or a number that does not exist.
    """
    if not model.task.answers:
        raise DataError(f"the task {model.task.kind!r} is not judged by answers; `hrmsearch sample` continues a text")
    data = model.data.splits
    if split not in data:
        raise DataError(f"there is no split {split!r}; there are {', '.join(data)}")
    for number in numbers:
        if not 0 <= number < len(data[split]):
            raise DataError(f"{split} has no window {number}; there are 0 to {len(data[split]) - 1}")
    return given(model.executable, data[split], numbers, count)


def given(executable: Executable, split: Split, numbers: Sequence[int], count: int | None = None) -> list[Answer]:
    """Return what an executable answers to windows of a split, by their numbers."""
    rows = split.rows(list(numbers))
    predicted, halted = _predicted(executable, split, rows, count)
    return [
        Answer(number, rows["tokens"][i], rows["targets"][i], predicted[:, i], int(halted[i]) or None)
        for i, number in enumerate(numbers)
    ]


def keep(file: Path, executable: Executable, task: Task, split: Split) -> None:
    """Write what an executable answers to the first puzzles of a split; nothing where the task has no board."""
    if task.drawing is None:
        return
    found = given(executable, split, range(min(_KEPT, len(split))))
    told = [
        {
            "number": one.number,
            "tokens": one.tokens.tolist(),
            "targets": one.targets.tolist(),
            "predicted": one.predicted[-1].tolist(),
            "wrong": one.wrong.tolist(),
            "halted": one.halted,
            "right": one.right_by_pass,
        }
        for one in found
    ]
    write(file, json.dumps({"drawing": asdict(task.drawing), "answers": told}) + "\n")


def _predicted(executable: Executable, split: Split, rows: Mapping[str, Ids], count: int | None) -> tuple[Ids, Array]:
    """Return what was said after every pass, and in which each row halts first; 0 where none does."""
    nest = executable.graph.nest
    inputs = {name: array for name, array in rows.items() if name in executable.graph.inputs}
    size, most = len(rows["tokens"]), count or nest.passes
    carry, said = executable.init_carry(size, split.window), list[Ids]()
    halted = np.zeros(size, np.int64)
    for number, call in enumerate(passes(Batch(inputs, Lifetime.STREAM), most), 1):
        outputs, carry = executable.eval_step(call, carry)
        said.append(outputs["predicted"].astype(np.int32))
        if nest.halt is not None and Q_HALT in outputs:
            stops = halts(outputs, np.full(size, number), nest.passes)
            halted = np.where((halted == 0) & stops, number, halted)
    return np.stack(said), halted
