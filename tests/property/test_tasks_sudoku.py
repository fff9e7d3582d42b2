"""Sudoku: puzzles with one solution, symmetries that keep solutions and invert exactly, splits that share nothing."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import hrmsearch as hs
from hrmsearch.errors import DataError, SpecError
from hrmsearch.tasks.sudoku import Sudoku, read_csv
from hrmsearch.tasks.sudoku_grids import every_grid, is_solution, puzzles, solutions, solved, symmetries
from hrmsearch.tasks.words import Words

boxes = st.sampled_from([2, 3])


def task(**fields: Any) -> Sudoku:
    rows = {"train_rows": 40, "valid_rows": 8, "test_rows": 8, "size": 4, "givens": 6}
    return Sudoku.model_validate({**rows, **fields})


def test_there_are_288_grids_of_side_4() -> None:
    grids = every_grid(2)
    assert len({row.tobytes() for row in grids}) == len(grids) == 288
    assert all(is_solution(grid, 2) for grid in grids)


@given(box=boxes, seed=st.integers(0, 999))
def test_symmetries_keep_solutions_and_puzzles_and_invert_exactly(box: int, seed: int) -> None:
    rows = 6
    grids = solved(Words(seed), rows if box == 2 else 1, box).repeat(1 if box == 2 else rows, axis=0)
    shown = np.where(Words(seed, "shown").below(2, *grids.shape) > 0, grids, 0)
    change = symmetries(Words(seed, "change"), rows, box)
    moved, asked = change.apply(grids), change.apply(shown)
    assert all(is_solution(grid, box) for grid in moved)
    np.testing.assert_array_equal(np.where(asked > 0, moved, 0), asked)
    np.testing.assert_array_equal((asked > 0).sum(1), (shown > 0).sum(1))
    np.testing.assert_array_equal(change.inverse().apply(moved), grids)
    np.testing.assert_array_equal(change.inverse().apply(asked), shown)


@given(box=boxes)
def test_symmetries_reach_every_kind_of_change(box: int) -> None:
    n, count = box * box, 400
    change = symmetries(Words(7), count, box)
    cells = np.arange(n * n).reshape(n, n)
    shapes = [change.cells[i].reshape(n, n) for i in range(count)]
    turned = [bool((shape[0] // n != shape[0, 0] // n).any()) for shape in shapes]
    assert 0.3 < np.mean(turned) < 0.7
    bands = {tuple(shape[::box, 0] // n // box) for shape, t in zip(shapes, turned, strict=True) if not t}
    stacks = {tuple(shape[0, ::box] % n // box) for shape, t in zip(shapes, turned, strict=True) if not t}
    assert len(bands) == len(stacks) == {2: 2, 3: 6}[box]
    assert {tuple(row) for row in change.digits[:, :1]} == {(0,)}
    assert not all(np.array_equal(shape, cells) for shape in shapes)


@given(seed=st.integers(0, 999), givens=st.integers(0, 16))
def test_a_puzzle_of_side_4_has_one_solution_and_no_given_to_spare(seed: int, givens: int) -> None:
    grids = solved(Words(seed), 4, 2)
    for grid, shown in zip(grids, puzzles(Words(seed, "blanks"), grids, 2, givens), strict=True):
        assert [found.tolist() for found in solutions(shown, 2)] == [grid.tolist()]
        if np.count_nonzero(shown) > givens:
            for i in np.flatnonzero(shown):
                fewer = shown.copy()
                fewer[i] = 0
                assert len(solutions(fewer, 2)) == 2


@pytest.mark.parametrize("givens", [30, 45])
def test_a_puzzle_of_side_9_has_one_solution(givens: int) -> None:
    grids = solved(Words(1, givens), 2, 3)
    for grid, shown in zip(grids, puzzles(Words(2), grids, 3, givens), strict=True):
        assert is_solution(grid, 3)
        assert [found.tolist() for found in solutions(shown, 3)] == [grid.tolist()]
        assert np.count_nonzero(shown) >= givens


def test_solutions_of_what_contradicts_itself_are_none() -> None:
    assert solutions(np.array([1, 1, *[0] * 14]), 2) == []


# -- the task ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{"fresh": True, "augment": False}, {"fresh": False}, {"augment": False}], ids=str)
def test_splits_share_no_puzzle_in_any_epoch(fields: dict[str, Any]) -> None:
    data = task(**fields).load()
    held = {name: {row.tobytes() for row in split.tokens} for name, split in data.splits.items()}
    assert not held["valid"] & held["test"]
    for epoch in range(3):
        (split,) = data.train(0, epoch)
        seen = {row.tobytes() for row in split.tokens}
        assert not seen & (held["valid"] | held["test"])
        for tokens, targets in zip(split.tokens, split.targets, strict=True):
            assert is_solution(targets.astype(np.int64) - 1, 2)
            assert ((tokens == 1) | (tokens == targets)).all()
        assert split.puzzles is not None
        assert not split.puzzles.any()


@pytest.mark.parametrize("givens", range(17))
def test_side_4_has_puzzles_for_every_split_however_many_givens(givens: int) -> None:
    data = task(givens=givens).load()
    assert {name: len(split) for name, split in data.splits.items()} == {"valid": 8, "test": 8}


@pytest.mark.parametrize("givens", [12, 14, 15, 16])
def test_the_control_is_what_random_digits_in_the_blanks_achieve(givens: int) -> None:
    data = task(givens=givens, valid_rows=64, augment=False).load()
    split = data.splits["valid"]
    said = np.where(split.tokens > 1, split.tokens, 2 + Words("guess").below(4, 2000, *split.tokens.shape))
    right = said == split.targets
    guess = data.controls()[1].metrics["valid"]
    assert guess["accuracy"] == pytest.approx(right.mean(), abs=0.005)
    assert guess["exact"] == pytest.approx(right.all(axis=2).mean(), abs=0.005)


def test_a_split_that_no_change_of_a_puzzle_reaches_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_valid(_: Sudoku, tokens: NDArray[np.int32], split: str) -> NDArray[np.bool_]:
        return np.full(len(tokens), split == "valid")

    monkeypatch.setattr(Sudoku, "belongs", only_valid)
    with pytest.raises(DataError, match="task sudoku: 10,000 boards of side 4 in a row had none for test; take fewer"):
        task().load()


def test_epochs_are_functions_of_seed_and_epoch_and_differ_by_what_the_task_says() -> None:
    for fields, differ in (({"fresh": True}, True), ({}, True), ({"augment": False}, False)):
        (first,), (again,), (other,) = (task(**fields).load().train(0, epoch) for epoch in (0, 0, 1))
        np.testing.assert_array_equal(first.tokens, again.tokens)
        assert np.array_equal(first.tokens, other.tokens) != differ


def test_a_file_of_the_published_layout_is_read(tmp_path: Path) -> None:
    grids = solved(Words(0), 300, 2)
    shown = puzzles(Words(1), grids, 2, 6)
    lines = ["source,question,answer,rating"]
    for i, (question, answer) in enumerate(zip(shown, grids, strict=True)):
        marks = "".join(map(str, question)).replace("0", ".")
        lines.append(f"ours,{marks},{''.join(map(str, answer))},{i % 10}")
    path = tmp_path / "puzzles.csv.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    data = task(file=str(path), rating=3, train_rows=100, valid_rows=4, test_rows=4).load()
    (split,) = data.train(0, 0)
    assert len(split) == 100
    easy = {(shown[i] + 1).astype(np.int32).tobytes() for i in range(300) if i % 10 < 3}
    hard = {(shown[i] + 1).astype(np.int32).tobytes() for i in range(300) if i % 10 >= 3}
    assert not {row.tobytes() for row in data.splits["test"].tokens} & (easy - hard)
    lacking = task(file=str(path), rating=3, train_rows=100, valid_rows=40, test_rows=1)
    with pytest.raises(DataError, match=r"has \d+ puzzles for valid of rating 3 or more, 40 are asked"):
        lacking.load()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,12,34,0", "2 cells instead of 16"),
        ("a,x,1,0", "invalid literal"),
        (f"a,{'.' * 16},{'1' * 16},0", "no solut"),
    ],
)
def test_what_is_no_puzzle_is_refused_with_its_line(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(f"source,question,answer,rating\n{line}\n")
    with pytest.raises(DataError, match=f"bad.csv:2: .*{message}"):
        read_csv(str(path), 2)


def test_shared_puzzles_of_side_9_are_read_with_their_ratings(data_root: Path) -> None:
    del data_root
    data = Sudoku.model_validate({"file": "sudoku/sudoku_solved.csv.gz", "train_rows": 100}).load()
    (split,) = data.train(0, 0)
    assert split.tokens.shape == (100, 81)
    assert is_solution(split.targets[0].astype(np.int64) - 1, 3)


def test_the_size_says_the_window_and_the_vocabulary() -> None:
    spec = hs.load("transformer", ["task=sudoku/small"])
    assert (spec.task.window, spec.task.vocabulary, spec.task.puzzles) == (16, 6, 1)
    with pytest.raises(SpecError, match="has 16 cells"):
        hs.load("transformer", ["task={kind: sudoku, size: 4, window: 20}"])
    with pytest.raises(SpecError, match="say fresh: false"):
        hs.load("transformer", ["task={kind: sudoku, file: x.csv, fresh: true}"])


def test_a_rating_asks_for_a_file() -> None:
    with pytest.raises(SpecError, match=r"task.rating: only puzzles of a file have ratings; leave this out, or name"):
        hs.load("sudoku4", ["task.rating=5"])
    assert hs.load("sudoku4", ["task.rating=0"]).task == hs.load("sudoku4").task
    read = ["task={kind: sudoku, file: x.csv, rating: 5}"]
    assert isinstance(task := hs.load("transformer", read).task, Sudoku)
    assert task.rating == 5


def test_an_epoch_changes_the_fixed_puzzles_and_draws_none(monkeypatch: pytest.MonkeyPatch) -> None:
    data = task().load()
    (first,) = data.train(0, 0)
    monkeypatch.setattr(Sudoku, "draw", None)
    (second,) = data.train(0, 1)
    assert not np.array_equal(first.tokens, second.tokens)
    np.testing.assert_array_equal((first.tokens > 1).sum(1), (second.tokens > 1).sum(1))


@given(seed=st.integers(0, 99), givens=st.sampled_from([24, 30, 40]))
def test_a_drawn_puzzle_has_one_solution_and_no_given_to_spare(seed: int, givens: int) -> None:
    words = Words(seed)
    (grid,) = solved(words, 1, 3)
    (shown,) = puzzles(words, grid[None], 3, givens)
    (found,) = solutions(shown, 3)
    np.testing.assert_array_equal(found, grid)
    if (kept := np.flatnonzero(shown)).size > givens:
        for i in kept[:3]:
            assert len(solutions(np.where(np.arange(81) == i, 0, shown), 3)) == 2
