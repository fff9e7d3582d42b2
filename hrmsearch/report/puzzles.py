"""Answers to puzzles as boards and words."""

from collections.abc import Sequence

from hrmsearch.errors import DataError
from hrmsearch.report.boards import Board
from hrmsearch.report.numbers import measured
from hrmsearch.tasks.base import Task
from hrmsearch.tasks.boards import Boards
from hrmsearch.train import Answer


def boards_of(task: Task, answer: Answer) -> Sequence[Board]:
    """Return a puzzle, its solution and the answer; raises DataError for a task that is no puzzle on a board."""
    if not isinstance(task, Boards):
        raise DataError(f"the task {task.kind!r} has no board to show; `hrmsearch eval` scores it")
    drawing = task.drawing
    return (
        Board.of("puzzle", drawing, answer.tokens),
        Board.of("solution", drawing, answer.targets),
        Board.of("answer", drawing, answer.predicted[-1], answer.wrong),
    )


def told(split: str, answer: Answer) -> str:
    """Return what to say below boards: how many cells are wrong, and how many were right after each pass."""
    wrong = int(answer.wrong.sum())
    says = "solved" if not wrong else f"{wrong} cell{'s' if wrong > 1 else ''} wrong"
    halts = f"; it would halt after pass {answer.halted}" if answer.halted else ""
    shares = ", ".join(measured("accuracy", share) for share in answer.right_by_pass)
    return f"{split} {answer.number}: {says}{halts}; right cells by pass: {shares}"
