"""ARC: the published layout, changes that invert exactly, one number a copy, votes, and what is wrong with files."""

import json
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import hrmsearch as hs
from hrmsearch.errors import DataError
from hrmsearch.tasks.arc import Arc
from hrmsearch.tasks.arc_files import read
from hrmsearch.tasks.arc_grids import END, PAD, SIDE, Change, Grid, Puzzle, best, grid_of, row, tokens_of
from hrmsearch.tasks.base import IGNORE

colours = st.integers(0, 9)
grids = arrays.arrays(np.uint8, st.tuples(st.integers(1, SIDE), st.integers(1, SIDE)), elements=colours)
small = arrays.arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=colours)
changes = st.builds(Change, st.integers(0, 7), st.permutations(range(1, 10)).map(lambda order: (0, *order)))


@given(grid=grids)
def test_a_grid_is_read_back_from_its_board(grid: Grid) -> None:
    np.testing.assert_array_equal(grid_of(tokens_of(grid)), grid)


@given(grid=grids, data=st.data())
def test_the_end_stands_below_and_on_the_right_where_there_is_room_and_its_corner_is_empty(
    grid: Grid, data: Any
) -> None:
    (height, width), room = grid.shape, [SIDE - side for side in grid.shape]
    top, left = (data.draw(st.integers(0, most)) for most in room)
    board = tokens_of(grid, top, left).reshape(SIDE, SIDE)
    np.testing.assert_array_equal(board[top : top + height, left : left + width], grid + 2)
    below, right = top + height, left + width
    ends = {(below, x) for x in range(left, right) if below < SIDE} | {
        (y, right) for y in range(top, below) if right < SIDE
    }
    assert set(zip(*np.nonzero(board == END), strict=True)) == ends
    assert (board > PAD).sum() == height * width + len(ends)


@given(pair=st.tuples(small, small))
def test_padding_does_not_count_and_the_end_does(pair: tuple[Grid, Grid]) -> None:
    tokens, targets = row(pair, 3, 2)
    assert (tokens == PAD).any()
    wanted = tokens_of(pair[1], 3, 2)
    np.testing.assert_array_equal(targets == IGNORE, wanted == PAD)
    assert (targets == END).sum() == sum(pair[1].shape)


@given(grid=grids, change=changes)
def test_changes_invert_exactly_and_keep_black(grid: Grid, change: Change) -> None:
    changed = change.apply(grid)
    np.testing.assert_array_equal(change.undo(changed), grid)
    assert (changed == 0).sum() == (grid == 0).sum()
    assert sorted(changed.shape) == sorted(grid.shape)


@settings(max_examples=20)
@given(pairs=st.lists(st.tuples(small, small), min_size=1, max_size=3), count=st.integers(0, 12))
def test_copies_of_a_puzzle_differ_from_each_other_and_from_it(pairs: list[tuple[Grid, Grid]], count: int) -> None:
    puzzle = Puzzle("p", pairs, pairs[:1])
    found = puzzle.changes(0, count)
    assert found[0] == Change(0, tuple(range(10)))
    assert 1 <= len(found) <= 1 + count
    copies = {b"".join(bytes(g.shape) + g.tobytes() for pair in pairs for g in map(one.apply, pair)) for one in found}
    assert len(copies) == len(found)
    assert puzzle.changes(0, count) == found


def test_the_two_answers_with_most_votes_come_first() -> None:
    one, two, three = (np.full((1, n), n, np.uint8) for n in (1, 2, 3))
    assert [grid.tolist() for grid in best([three, one, two, two, one], 2)] == [one.tolist(), two.tolist()]


# -- the task ----------------------------------------------------------------------------------------------------------


def task(name: int, tests: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(name)

    def pair() -> dict[str, Any]:
        shape = tuple(rng.integers(2, 6, 2))
        grid = rng.integers(0, 10, shape)
        return {"input": grid.tolist(), "output": (9 - grid).tolist()}

    return {"train": [pair() for _ in range(3)], "test": [pair() for _ in range(tests)]}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive in the published layout."""
    path = tmp_path_factory.mktemp("arc") / "arc.tar"
    with tarfile.open(path, "w") as held:
        for i in range(18):
            text = json.dumps(task(i, 1 + i % 2)).encode()
            member = tarfile.TarInfo(f"data/{'training' if i < 6 else 'evaluation'}/{i:02d}.json")
            member.size = len(text)
            held.addfile(member, BytesIO(text))
    return path


def arc(archive: Path, **fields: Any) -> Arc:
    few = {"source": str(archive), "training": 4, "evaluation": 12, "changes": 5, "votes": 3}
    return Arc.model_validate({**few, **fields})


def test_what_is_asked_is_never_trained_on(archive: Path) -> None:
    ours = arc(archive)
    data = ours.load()
    assert len(data.splits["valid"]) > 0
    asked = {row.tobytes() for name in ("valid", "test") for row in data.splits[name].targets}
    for epoch in range(2):
        (split,) = data.train(0, epoch)
        assert len(split) == 16 * 4
        assert not asked & {row.tobytes() for row in split.targets}
    (first,), (again,), (other,) = (data.train(0, epoch) for epoch in (0, 0, 1))
    np.testing.assert_array_equal(first.tokens, again.tokens)
    assert not np.array_equal(first.tokens, other.tokens)


def test_a_split_larger_than_a_block_is_drawn_whole(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = arc(archive).load()
    monkeypatch.setattr("hrmsearch.tasks.generated._BLOCK", 5)
    parts = arc(archive).load()
    for name in ("valid", "test"):
        np.testing.assert_array_equal(parts.splits[name].tokens, whole.splits[name].tokens)
    np.testing.assert_array_equal(parts.train(0, 0)[0].tokens, whole.train(0, 0)[0].tokens)


def test_a_number_says_the_puzzle_and_its_copy(archive: Path) -> None:
    ours = arc(archive, translate=False)
    (split,) = ours.load().train(0, 0)
    assert split.puzzles is not None
    assert ours.puzzles == 1 + 16 * 6
    assert 1 <= split.puzzles.min() <= split.puzzles.max() < ours.puzzles
    for number, tokens, targets in zip(split.puzzles, split.tokens, split.targets, strict=True):
        _, change = ours.change(int(number))
        asked, answer = (change.undo(grid_of(one)) for one in (tokens, targets))
        np.testing.assert_array_equal(answer, 9 - asked)


def test_votes_count_answers_in_the_puzzles_own_colours_and_place(archive: Path) -> None:
    ours = arc(archive)
    split = ours.load().splits["test"]
    right = np.where(split.targets == IGNORE, PAD, split.targets)
    assert ours.voted(split, right) == {"pass2": 1.0}
    assert ours.voted(split, np.zeros_like(right)) == {"pass2": 0.0}
    # copies agree on two wrong answers more often than on the right one
    assert split.puzzles is not None
    copy = (split.puzzles - 1) % 6
    some = np.where((copy == 0)[:, None], right, tokens_of(np.zeros((1, 1), np.uint8))[None])
    assert ours.voted(split, some) == {"pass2": 1.0}, "the second answer counts too"


def test_a_model_with_puzzle_numbers_is_scored_by_votes(archive: Path, tmp_path: Path) -> None:
    from tests.training import train

    fields = f"{{kind: arc, source: {archive}, training: 1, evaluation: 12, changes: 1, votes: 1, examples: 1}}"
    tiny = ("model.dim=4", "model.defaults.ffn.width=4", "train.epochs=1", "train.batch=8", "nest.passes=1")
    heads = [f"model.core.levels.{level}.block.mixer.heads=1" for level in "LH"]
    result = train(hs.load("sudoku4", [*tiny, *heads, f"task={fields}"]), tmp_path)
    assert set(result.test[-1].metrics) == {"pass2", "exact", "accuracy"}


# -- files -------------------------------------------------------------------------------------------------------------


def test_folders_and_pairs_of_files_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "data" / "training").mkdir(parents=True)
    (tmp_path / "data" / "training" / "a.json").write_text(json.dumps(task(1)))
    assert [puzzle.name for puzzle in read(str(tmp_path))["training"]] == ["a"]
    whole = task(2)
    asked = {**whole, "test": [{"input": one["input"]} for one in whole["test"]]}
    (tmp_path / "x_challenges.json").write_text(json.dumps({"b": asked}))
    (tmp_path / "x_solutions.json").write_text(json.dumps({"b": [one["output"] for one in whole["test"]]}))
    (puzzle,) = read(str(tmp_path / "x_challenges.json"))["training"]
    np.testing.assert_array_equal(puzzle.asked[0][1], whole["test"][0]["output"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ('{"train": []}', "no puzzle of ARC"),
        ('{"train": [{"input": [[10]], "output": [[1]]}], "test": []}', "a colour is 0 to 9"),
        ('{"train": [{"input": [[1], [1, 2]], "output": [[1]]}], "test": []}', "no puzzle of ARC"),
    ],
)
def test_what_is_no_puzzle_is_refused_with_its_file(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "bad.json").write_text(text)
    with pytest.raises(DataError, match=f"training/bad.json: .*{message}"):
        read(str(tmp_path))


def test_what_holds_too_few_puzzles_is_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has 6 puzzles for training, 7 are asked; lower task\.training"):
        arc(archive, training=7).load()
    with pytest.raises(DataError, match="holds no puzzle"):
        read(str(tmp_path))


def test_the_shared_archives_are_read(data_root: Path) -> None:
    del data_root
    known = read("arc/arc-agi-1.tar")
    assert {subset: len(puzzles) for subset, puzzles in known.items()} == {"training": 400, "evaluation": 400}
    assert len(read("arc/arc-agi_concept_challenges.json")["training"]) == 160
