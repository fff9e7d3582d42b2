"""Mazes: shortest paths, symmetries that keep them and invert exactly, splits that share nothing, published arrays."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import hrmsearch as hs
from hrmsearch.errors import DataError, SpecError
from hrmsearch.tasks.base import Split
from hrmsearch.tasks.dihedral import INVERSE, SYMMETRIES, places, turned
from hrmsearch.tasks.maze import Maze, read_arrays
from hrmsearch.tasks.mazes import FREE, GOAL, PATH, START, WALL, Poses, carved, distances, is_solved, solved
from hrmsearch.tasks.words import Words

seeds = st.integers(0, 999)


def task(**fields: Any) -> Maze:
    """Return a small task."""
    rows = {"train_rows": 24, "valid_rows": 4, "test_rows": 4, "size": 7, "least": 4}
    return Maze.model_validate({**rows, **fields})


def mazes(seed: int, size: int = 7, loops: float = 0.0, rows: int = 4) -> NDArray[Any]:
    words = Words(seed)
    return Poses(words, carved(words, rows, size, loops), 4).take(np.arange(rows), 0)


def steps_by_hand(board: NDArray[Any]) -> int:
    """Return the length of a shortest way, one cell after another."""
    first = (int((board == START).any(1).argmax()), int((board == START).any(0).argmax()))
    seen: set[tuple[int, int]] = {first}
    front: list[tuple[int, int]] = [first]
    steps = 0
    while front:
        if any(board[cell] == 4 for cell in front):
            return steps
        steps += 1
        beside = {(y + dy, x + dx) for y, x in front for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))}
        inside = {(y, x) for y, x in beside if 0 <= y < len(board) and 0 <= x < len(board)}
        front = [cell for cell in inside - seen if board[cell] != WALL]
        seen |= set(front)
    return -1


@given(seed=seeds, size=st.integers(5, 10), loops=st.sampled_from([0.0, 0.3, 1.0]))
def test_a_generated_maze_has_a_shortest_path_marked(seed: int, size: int, loops: float) -> None:
    boards = mazes(seed, size, loops)
    targets = solved(boards)
    assert is_solved(boards, targets).all()
    for board, target in zip(boards, targets, strict=True):
        assert (target == PATH).sum() + 1 == steps_by_hand(board)
    assert (boards[:, [0, -1]] == WALL).all()


@given(seed=seeds)
def test_without_loops_rooms_are_a_tree(seed: int) -> None:
    boards = carved(Words(seed), 3, 9, 0.0)
    assert ((boards == FREE).sum((1, 2)) == 16 + 15).all()
    corner = np.zeros(boards.shape, np.bool_)
    corner[:, 1, 1] = True
    assert (distances(boards != WALL, corner) >= 0).sum() == 3 * 31, "every room is reached"


@given(seed=seeds, data=st.data())
def test_what_is_no_shortest_path_is_told(seed: int, data: Any) -> None:
    boards = mazes(seed, loops=0.3)
    targets = solved(boards)
    for row in range(len(boards)):
        cell = tuple(data.draw(st.integers(0, 6)) for _ in "yx")
        targets[row][cell] = {PATH: FREE, FREE: PATH}.get(int(targets[row][cell]), WALL)
        changed = bool((targets[row] != solved(boards)[row]).any())
        assert is_solved(boards, targets)[row] != changed


@given(which=st.integers(0, SYMMETRIES - 1), height=st.integers(1, 4), width=st.integers(1, 4))
def test_symmetries_invert_exactly(which: int, height: int, width: int) -> None:
    grid = np.arange(height * width).reshape(height, width)
    np.testing.assert_array_equal(turned(turned(grid, which), INVERSE[which]), grid)
    assert len({turned(np.arange(4).reshape(2, 2), i).tobytes() for i in range(SYMMETRIES)}) == 8


@given(seed=seeds, which=st.integers(0, SYMMETRIES - 1))
def test_a_maze_turned_or_mirrored_has_its_path_turned_or_mirrored(seed: int, which: int) -> None:
    boards = mazes(seed, loops=0.3)
    both = [array.reshape(4, -1)[:, places(7)[which]].reshape(4, 7, 7) for array in (boards, solved(boards))]
    assert is_solved(*both).all()
    back = both[0].reshape(4, -1)[:, places(7)[INVERSE[which]]].reshape(4, 7, 7)
    np.testing.assert_array_equal(back, boards)


# -- the task ----------------------------------------------------------------------------------------------------------


def images(tokens: NDArray[np.int32], side: int) -> set[bytes]:
    return {image.tobytes() for row in tokens for image in row[places(side)]}


@pytest.mark.parametrize("fields", [{"fresh": True, "augment": False}, {}, {"loops": 0.3}], ids=str)
def test_splits_share_no_maze_in_any_epoch_however_turned(fields: dict[str, Any]) -> None:
    data = task(**fields).load()
    held = {name: images(split.tokens, 7) for name, split in data.splits.items()}
    assert not held["valid"] & held["test"]
    for epoch in range(2):
        (split,) = data.train(0, epoch)
        assert not images(split.tokens, 7) & (held["valid"] | held["test"])
        shape = (len(split), 7, 7)
        assert is_solved(split.tokens.reshape(shape).astype(np.int64), split.targets.reshape(shape)).all()


@pytest.mark.parametrize("fields", [{"size": 5, "least": 20}, {"size": 8, "least": 20, "loops": 1.0}], ids=str)
def test_a_side_with_too_few_mazes_for_every_split_is_an_error(fields: dict[str, Any]) -> None:
    message = "task maze: 10,000 boards of side . in a row had none for valid; take a larger size"
    with pytest.raises(DataError, match=message):
        task(**fields).load()


def test_epochs_differ_by_what_the_task_says() -> None:
    for fields, differ in (({"fresh": True}, True), ({}, True), ({"augment": False}, False)):
        (first,), (again,), (other,) = (task(**fields).load().train(0, epoch) for epoch in (0, 0, 1))
        np.testing.assert_array_equal(first.tokens, again.tokens)
        assert np.array_equal(first.tokens, other.tokens) != differ


def test_a_longer_path_is_asked_by_least() -> None:
    marked = [(task(least=n, size=13).load().splits["valid"].targets == PATH).sum(1) for n in (1, 24)]
    assert marked[0].mean() < marked[1].mean()
    assert np.median(marked[1]) >= 23


def saved(folder: Path, side: int = 7, rows: int = 90) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    boards = mazes(1, side, rows=2 * rows)
    tokens, targets = (array.reshape(2 * rows, -1).astype(np.uint8) for array in (boards, solved(boards)))
    for i, split in enumerate(("train", "test")):
        (folder / split).mkdir()
        np.save(folder / split / "all__inputs.npy", tokens[i * rows : (i + 1) * rows])
        np.save(folder / split / "all__labels.npy", targets[i * rows : (i + 1) * rows])
    return tokens.astype(np.int32), targets.astype(np.int32)


def test_published_arrays_are_read_and_their_test_is_the_test(tmp_path: Path) -> None:
    tokens, _ = saved(tmp_path)
    data = task(file=str(tmp_path), valid_rows=1, test_rows=90).load()
    assert {row.tobytes() for row in data.splits["test"].tokens} == {row.tobytes() for row in tokens[90:]}
    (split,) = data.train(0, 0)
    known = images(tokens[:90], 7)
    assert {row.tobytes() for row in split.tokens} <= known
    lacking = task(file=str(tmp_path), valid_rows=30)
    with pytest.raises(DataError, match=r"has \d+ mazes for valid, 30 are asked; lower task.valid_rows"):
        lacking.load()


def test_a_maze_whose_goal_is_beside_the_start_is_solved_by_no_path() -> None:
    tokens = np.full((2, 25), FREE, np.int32)
    tokens[:, 0], tokens[0, 1], tokens[1, 2] = START, GOAL, GOAL
    targets = tokens.copy()
    targets[1, 1] = PATH
    assert task(size=5).guesses(Split(tokens, targets)) == {"no path": {"accuracy": 49 / 50, "exact": 0.5}}


def test_arrays_that_are_no_mazes_are_refused(tmp_path: Path) -> None:
    _, targets = saved(tmp_path)
    np.save(tmp_path / "train" / "all__labels.npy", targets[90:].astype(np.uint8))
    with pytest.raises(DataError, match="train: row 0 is no maze with a shortest path"):
        read_arrays(str(tmp_path), "train", 7)
    with pytest.raises(DataError, match=r"holds uint8\[90, 49\], not integers \[N, 900\]"):
        read_arrays(str(tmp_path), "test", 30)
    (tmp_path / "test" / "all__inputs.npy").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"all__inputs.npy: cannot be read"):
        read_arrays(str(tmp_path), "test", 7)
    with pytest.raises(DataError, match="no such file, neither here nor below HRMSEARCH_DATA"):
        read_arrays(str(tmp_path / "other"), "test", 7)


def test_the_published_mazes_are_the_hard_preset(data_root: Path) -> None:
    del data_root
    spec = hs.load("transformer", ["task=maze/hard"])
    data = spec.task.load()
    assert len(data.splits["test"]) == 1000
    assert data.splits["test"].tokens.shape[1] == spec.task.window == 900
    assert (data.splits["test"].targets == PATH).sum(1).min() >= 108


def test_the_size_says_the_window() -> None:
    spec = hs.load("transformer", ["task=maze/small"])
    assert (spec.task.window, spec.task.vocabulary, spec.task.puzzles) == (81, 6, 1)
    with pytest.raises(SpecError, match="a board of side 9 has 81 cells"):
        hs.load("transformer", ["task={kind: maze, size: 9, window: 80}"])
