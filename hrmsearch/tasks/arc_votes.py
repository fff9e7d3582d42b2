"""Votes of changed copies on the answer to an ARC puzzle, and the names that published copies have."""

import re
from collections.abc import Callable, Hashable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hrmsearch.tasks.arc_grids import COLOURS, SAME, Change, Grid, best, grid_of
from hrmsearch.tasks.base import Split
from hrmsearch.tasks.dihedral import SYMMETRIES

#: the answers that a puzzle's copies may give together
_ANSWERS: Final = 2
#: a name, the symmetry and the colours: `007bbfb7_t3_0213456789`, or with `|||` between them
_COPY: Final = re.compile(r"(?P<name>.+?)(?P<by>_|\|\|\|)t(?P<symmetry>\d)(?P=by)(?P<colours>\d{10})")


def pass2(split: Split, predicted: NDArray[Any], change: Callable[[int], tuple[Hashable, Change]]) -> float:
    """Return the mean over puzzles of the share of their boards that one of the two most frequent answers solves.

    predicted: i32[N, W]. change: gives the puzzle that a number is of, and how this copy of it was changed.
    """
    assert split.puzzles is not None
    said: dict[tuple[Hashable, bytes], list[Grid]] = {}
    truth: dict[tuple[Hashable, bytes], Grid] = {}
    for number, tokens, targets, answer in zip(split.puzzles, split.tokens, split.targets, predicted, strict=True):
        puzzle, changed = change(int(number))
        asked = changed.undo(grid_of(tokens))
        key = (puzzle, bytes(asked.shape) + asked.tobytes())
        truth[key] = changed.undo(grid_of(targets))
        said.setdefault(key, []).append(changed.undo(grid_of(answer)))
    solved: dict[Hashable, list[bool]] = {}
    for (puzzle, asked), grids in said.items():
        right = any(np.array_equal(grid, truth[puzzle, asked]) for grid in best(grids, _ANSWERS))
        solved.setdefault(puzzle, []).append(right)
    return float(np.mean([np.mean(boards) for boards in solved.values()]))


def copy_of(name: str) -> tuple[str, Change]:
    """Return the puzzle that a published name is of, and how it was changed; raises ValueError for no change.

    Source: sapientinc/HRM, dataset/build_arc_dataset.py; SamsungSAILMontreal/TinyRecursiveModels, the same file.
    """
    found = _COPY.fullmatch(name)
    if found is None:
        return name, SAME
    symmetry, colours = int(found["symmetry"]), tuple(map(int, found["colours"]))
    if symmetry >= SYMMETRIES or sorted(colours) != list(range(COLOURS)):
        raise ValueError(f"{name!r} is no symmetry of a square and permutation of {COLOURS} colours")
    return found["name"], Change(symmetry, colours)
