"""Files of ARC puzzles: archives and folders with a JSON file for each, and pairs of files as Kaggle has them."""

import json
import tarfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from hrmsearch.errors import DataError
from hrmsearch.tasks.arc_grids import COLOURS, SIDE, Grid, Pair, Puzzle
from hrmsearch.tasks.boards import found

SUBSETS: Final = ("training", "evaluation")
_CHALLENGES, _SOLUTIONS = "_challenges.json", "_solutions.json"
#: no puzzle's file is so large
_LARGEST: Final = 1 << 24


@cache
def read(file: str) -> Mapping[str, list[Puzzle]]:
    """Return the puzzles of a file or folder by subset, in the order of their names; a Kaggle pair is all training.

    Raises DataError, with the place, for what holds no puzzles.
    """
    path = found(file)
    if path.name.endswith(_CHALLENGES):
        puzzles = {"training": list(_kaggle(path))}
    else:
        texts = _in_folder(path) if path.is_dir() else _in_archive(path)
        puzzles: dict[str, list[Puzzle]] = {subset: [] for subset in SUBSETS}
        for place, subset, text in texts:
            puzzles[subset].append(_puzzle(f"{path}: {place}", Path(place).stem, _parsed(f"{path}: {place}", text)))
    if not any(puzzles.values()):
        raise DataError(f"{path}: holds no puzzle; training/*.json and evaluation/*.json are looked for")
    return {subset: sorted(some, key=lambda puzzle: puzzle.name) for subset, some in puzzles.items()}


def _in_folder(path: Path) -> Iterator[tuple[str, str, bytes]]:
    for subset in SUBSETS:
        for file in sorted(path.glob(f"**/{subset}/*.json")):
            yield str(file.relative_to(path)), subset, file.read_bytes()


def _in_archive(path: Path) -> Iterator[tuple[str, str, bytes]]:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                subset = Path(member.name).parent.name
                held = archive.extractfile(member) if subset in SUBSETS and member.name.endswith(".json") else None
                if held is not None:
                    yield member.name, subset, held.read(_LARGEST)
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{path}: cannot be read as an archive ({error})") from error


def _kaggle(path: Path) -> Iterator[Puzzle]:
    answers = path.with_name(path.name.replace(_CHALLENGES, _SOLUTIONS))
    try:
        tasks, solutions = (_parsed(str(file), file.read_bytes()) for file in (path, answers))
    except OSError as error:
        raise DataError(f"{path}: cannot be read with {answers.name} beside it ({error})") from error
    for name, task in tasks.items():
        place = f"{path}: {name}"
        try:
            asked = [{**one, "output": out} for one, out in zip(task["test"], solutions[name], strict=True)]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{place}: has no solution for each of its tests ({error!r})") from error
        yield _puzzle(place, name, {**task, "test": asked})


def _parsed(place: str, text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"{place}: no JSON ({error})") from error


def _puzzle(place: str, name: str, task: Any) -> Puzzle:
    try:
        shown, asked = ([_pair(one) for one in task[part]] for part in ("train", "test"))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{place}: no puzzle of ARC ({error})") from error
    return Puzzle(name, shown, asked)


def _pair(one: Mapping[str, Any]) -> Pair:
    return _grid(one["input"]), _grid(one["output"])


def _grid(cells: Any) -> Grid:
    grid = np.array(cells)
    if grid.ndim != 2 or not 1 <= min(grid.shape) <= max(grid.shape) <= SIDE or grid.dtype.kind not in "iu":
        raise ValueError(f"a grid is rows of equal length, up to {SIDE} colours each")
    if grid.min() < 0 or grid.max() >= COLOURS:
        raise ValueError(f"a colour is 0 to {COLOURS - 1}, not {grid.min()} or {grid.max()}")
    return grid.astype(np.uint8)
