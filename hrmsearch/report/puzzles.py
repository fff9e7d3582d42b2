"""Answers to puzzles as boards and words."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrmsearch.errors import DataError, RunError
from hrmsearch.report.boards import Board, cropped
from hrmsearch.report.document import Puzzles
from hrmsearch.report.numbers import measured
from hrmsearch.tasks.base import IGNORE, Task
from hrmsearch.tasks.drawing import Drawing
from hrmsearch.train import Answer
from hrmsearch.train.files import RunFolder


def boards_of(task: Task, answer: Answer) -> Sequence[Board]:
    """Return a puzzle, its solution and the answer; raises DataError for a task that is no puzzle on a board."""
    drawing = task.drawing
    if drawing is None:
        raise DataError(f"the task {task.kind!r} has no board to show; `hrmsearch eval` scores it")
    return _boards(drawing, answer.tokens, answer.targets, answer.predicted[-1], answer.wrong)


def _boards(
    drawing: Drawing, tokens: NDArray[Any], targets: NDArray[Any], predicted: NDArray[Any], wrong: NDArray[Any]
) -> Sequence[Board]:
    """Return the three boards of arrays, [cells] each; of the answer, what does not count is left empty."""
    said = np.where(targets == IGNORE, IGNORE, predicted)
    boards = Board.of("puzzle", drawing, tokens), Board.of("solution", drawing, targets)
    return cropped([*boards, Board.of("answer", drawing, said, wrong)])


def told(split: str, answer: Answer) -> str:
    """Return what to say below boards: how many cells are wrong, and how many were right after each pass."""
    return f"{split} {answer.number}: {_says(int(answer.wrong.sum()), answer.halted, answer.right_by_pass)}"


def _says(wrong: int, halted: int | None, right: Sequence[float]) -> str:
    says = "solved" if not wrong else f"{wrong} cell{'s' if wrong > 1 else ''} wrong"
    halts = f"; it would halt after pass {halted}" if halted else ""
    return f"{says}{halts}; right cells by pass: {', '.join(measured('accuracy', share) for share in right)}"


def kept(folder: Path) -> Iterator[Puzzles]:
    """Yield the puzzles that a run kept its answers to, if it did; raises RunError for a file that holds none."""
    file = RunFolder(folder).answers
    if not file.exists():
        return
    try:
        found: Any = json.loads(file.read_text(encoding="utf-8"))
        drawing = Drawing(**found["drawing"])
        for one in found["answers"]:
            parts = (np.array(one[name]) for name in ("tokens", "targets", "predicted", "wrong"))
            boards = _boards(drawing, *parts)
            says = _says(sum(one["wrong"]), one["halted"], one["right"])
            yield Puzzles(f"puzzle {one['number']}: {says}", boards)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise RunError(f"{file}: holds no answers that a run kept ({error!r})") from error
