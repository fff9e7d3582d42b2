"""Sets of puzzles in the layout that HRM and TRM publish: a folder per split, with arrays that point into each other.

`dataset.json` says the sizes and names the sets. A set has examples, `<set>__inputs.npy` and `<set>__labels.npy`,
integers [N, T]; puzzles, of which number p has the examples `puzzle_indices[p]` up to `puzzle_indices[p + 1]` and the
identifier `puzzle_identifiers[p]`; and groups of puzzles that are one puzzle changed, `group_indices` into the puzzles
in the same way. Source: sapientinc/HRM, dataset/common.py and puzzle_dataset.py.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, cast
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, PositiveInt, ValidationError

from hrmsearch.errors import DataError
from hrmsearch.tasks.base import IGNORE, Ids
from hrmsearch.tasks.words import Words

Cells = NDArray[np.integer[Any]]
Places = NDArray[np.int64]
#: the file of all identifiers' names, beside the splits
NAMES: Final = "identifiers.json"
#: examples that are looked at together, so that no large set is in memory at once
_BLOCK: Final = 1 << 14


class Sizes(BaseModel, strict=True, frozen=True, extra="ignore"):
    """What `dataset.json` says of a split; ignore_label_id: labels of this value do not count, if there is one."""

    seq_len: PositiveInt
    vocab_size: PositiveInt
    ignore_label_id: int | None
    num_puzzle_identifiers: PositiveInt
    total_groups: PositiveInt
    sets: Annotated[list[Annotated[str, Field(pattern=r"^\w+$")]], Field(min_length=1)]


@dataclass(frozen=True)
class PuzzleSet:
    """Examples, the puzzles that they are of, and groups of puzzles.

    inputs, labels: [N, T] as stored, perhaps still on disk. identifiers: [P], of each puzzle. examples: [P + 1] and
    puzzles: [G + 1], where the examples of a puzzle and the puzzles of a group begin; sums: a checksum of all of it.
    """

    inputs: Cells
    labels: Cells
    identifiers: Places
    examples: Places
    puzzles: Places
    ignore: int | None
    sums: tuple[int, ...]

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return len(self.puzzles) - 1

    @property
    def rows_of_epoch(self) -> int:
        """How many examples an epoch draws: of each group as many as its smallest puzzle has."""
        return int(self._room.sum())

    @property
    def _room(self) -> Places:
        return np.minimum.reduceat(np.diff(self.examples), self.puzzles[:-1])

    def drawn(self, words: Words) -> Places:
        """Draw the examples of an epoch: of each group one puzzle, and of that examples, no one twice."""
        count = np.diff(self.puzzles)
        which = np.minimum((words.uniform(self.groups) * count).astype(np.int64), count - 1)
        puzzle = self.puzzles[:-1] + which
        group, place, example = _ranges(self.examples[puzzle], self.examples[puzzle + 1])
        # the examples of each group in random order, of which the first ones are taken
        order = np.lexsort((words.raw(len(group)), group))
        return example[order][place < self._room[group]]

    def examples_of(self, groups: Places, copies: int | None = None) -> Places:
        """Return the examples of some groups in order, of each those of its first `copies` puzzles or of all."""
        begins, ends = self.puzzles[groups], self.puzzles[groups + 1]
        last = ends if copies is None else np.minimum(begins + copies, ends)
        return _ranges(self.examples[begins], self.examples[last])[2]

    def rows(self, which: Places) -> tuple[Ids, Ids, Ids]:
        """Return tokens and targets, i32[rows, T], and identifiers, i32[rows], of some examples."""
        targets = self.labels[which].astype(np.int32)
        if self.ignore is not None:
            targets[targets == self.ignore] = IGNORE
        puzzle = np.searchsorted(self.examples, which, side="right") - 1
        return self.inputs[which].astype(np.int32), targets, self.identifiers[puzzle].astype(np.int32)


def _ranges(begins: Places, ends: Places) -> tuple[Places, Places, Places]:
    """Return, for all numbers of several ranges, which range each is of, its place in it, and the number."""
    size = ends - begins
    which = np.repeat(np.arange(len(size), dtype=np.int64), size)
    place = np.arange(len(which), dtype=np.int64) - np.repeat(size.cumsum() - size, size)
    return which, place, begins[which] + place


def read(folder: Path) -> tuple[Sizes, tuple[PuzzleSet, ...]]:
    """Return the sets of a split's folder.

    Raises DataError, with the file, where one is missing, has another shape than the others ask for, or holds numbers
    beyond what `dataset.json` says.
    """
    sizes = read_sizes(folder)
    sets = tuple(_set(folder, name, sizes) for name in sizes.sets)
    groups = sum(one.groups for one in sets)
    if groups != sizes.total_groups:
        raise DataError(f"{folder / 'dataset.json'}: total_groups is {sizes.total_groups}, the sets have {groups}")
    return sizes, sets


def read_sizes(folder: Path) -> Sizes:
    """Return what `dataset.json` of a split says; raises DataError, with the file, where it does not say all."""
    path = folder / "dataset.json"
    try:
        return Sizes.model_validate_json(path.read_bytes())
    except ValidationError as error:
        said = [f"{'.'.join(map(str, one['loc'])) or 'no JSON'}: {one['msg']}" for one in error.errors()]
        raise DataError(f"{path}: does not say what a split of puzzles is: {'; '.join(said)}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def boards(path: Path, cells: int) -> Cells:
    """Return integers [N, cells] from a file, not yet in memory; raises DataError, with the file, for others."""
    array = _array(path)
    if array.ndim != 2 or array.shape[1] != cells:
        raise DataError(f"{path}: holds {_shape(array)}, not integers [N, {cells}]")
    return array


def _set(folder: Path, name: str, sizes: Sizes) -> PuzzleSet:
    def file(part: str) -> Path:
        return folder / f"{name}__{part}.npy"

    inputs, labels = (boards(file(part), sizes.seq_len) for part in ("inputs", "labels"))
    if len(inputs) != len(labels):
        raise DataError(f"{file('labels')}: holds {len(labels)} examples, inputs {len(inputs)}")
    examples = _starts(file("puzzle_indices"), len(inputs), "examples")
    puzzles = _starts(file("group_indices"), len(examples) - 1, "puzzles")
    identifiers = _array(file("puzzle_identifiers")).astype(np.int64)
    if identifiers.shape != (len(examples) - 1,):
        raise DataError(f"{file('puzzle_identifiers')}: holds {_shape(identifiers)} for {len(examples) - 1} puzzles")
    _within(file("puzzle_identifiers"), identifiers[:, None], sizes.num_puzzle_identifiers, "puzzle", "identifiers")
    sums = [crc32(array.tobytes()) for array in (examples, puzzles, identifiers)]
    for part, array in (("inputs", inputs), ("labels", labels)):
        also = sizes.ignore_label_id if part == "labels" else None
        for start, block in _blocks(array):
            _within(file(part), block, sizes.vocab_size, "example", "tokens", also, start)
            sums.append(crc32(block.astype(np.int32).tobytes()))
    return PuzzleSet(inputs, labels, identifiers, examples, puzzles, sizes.ignore_label_id, tuple(sums))


def _blocks(array: Cells) -> Iterator[tuple[int, Cells]]:
    for start in range(0, len(array), _BLOCK):
        yield start, np.asarray(array[start : start + _BLOCK])


def _starts(path: Path, end: int, what: str) -> Places:
    """Return places that begin at 0 and rise to `end`."""
    array = _array(path)
    if array.ndim != 1 or len(array) < 2 or array[0] != 0 or array[-1] != end:
        ends = f", from {array[0]} to {array[-1]}" if array.ndim == 1 and len(array) else ""
        raise DataError(f"{path}: holds {_shape(array)}{ends}; it has to lead from 0 to all {end} {what}")
    falls = np.flatnonzero(np.diff(array.astype(np.int64)) <= 0)
    if len(falls):
        raise DataError(
            f"{path}: number {falls[0]} has no {what}, since {array[falls[0] + 1]} follows {array[falls[0]]}"
        )
    return array.astype(np.int64)


def _within(path: Path, array: Cells, limit: int, row: str, what: str, also: int | None = None, start: int = 0) -> None:
    """Raise DataError where an array [rows, ..] has numbers outside of 0 to `limit` - 1, but for `also`."""
    bad = (array < 0) | (array >= limit)
    if also is not None:
        bad &= array != also
    if bad.any():
        at = np.argwhere(bad)[0]
        raise DataError(f"{path}: {row} {start + at[0]} has {array[tuple(at)]}; {what} are 0 to {limit - 1}")


def _array(path: Path) -> Cells:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if array.dtype.kind not in "iu":
        raise DataError(f"{path}: holds {_shape(array)}, not integers")
    return array


def _shape(array: NDArray[Any]) -> str:
    return f"{array.dtype}{list(array.shape)}"


def read_names(folder: Path, count: int) -> list[str]:
    """Return the names of all identifiers from `identifiers.json`; raises DataError where there are not `count`."""
    path = folder / NAMES
    try:
        names: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); it names the copies that vote") from error
    if not isinstance(names, list) or any(not isinstance(name, str) for name in cast("list[Any]", names)):
        raise DataError(f"{path}: no list of names")
    found = cast("list[str]", names)
    if len(found) != count:
        raise DataError(f"{path}: holds {len(found)} names for {count} identifiers")
    return found
