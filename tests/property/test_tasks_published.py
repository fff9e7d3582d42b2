"""Published sets of puzzles: what an epoch takes of them, what is scored, and that no file can be half wrong."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import hrmsearch as hs
from hrmsearch.errors import DataError, SpecError
from hrmsearch.tasks.arc_grids import SAME, Change, row, tokens_of
from hrmsearch.tasks.arc_votes import copy_of
from hrmsearch.tasks.base import IGNORE
from hrmsearch.tasks.published import Published
from hrmsearch.tasks.puzzle_files import read
from hrmsearch.tasks.words import Words
from tests.training import train

SIDE, CLASSES = 16, 6
#: groups of puzzles of examples, by their numbers
Groups = list[list[int]]
groups = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=3), min_size=1, max_size=5)


def save(folder: Path, shape: dict[str, Groups], **said: Any) -> None:
    """Write a split whose examples say which they are: token i of a row is digit i of its number."""
    folder.mkdir(parents=True)
    number = identifier = 0
    for name, one in shape.items():
        puzzles = [size for group in one for size in group]
        inputs = np.array([_told(number + i) for i in range(sum(puzzles))])
        arrays = {
            "inputs": inputs.astype(np.uint8),
            "labels": np.where(inputs > 0, inputs, 0).astype(np.uint8),
            "puzzle_indices": np.cumsum([0, *puzzles]).astype(np.int32),
            "group_indices": np.cumsum([0, *map(len, one)]).astype(np.int32),
            "puzzle_identifiers": identifier + np.arange(len(puzzles), dtype=np.int32),
        }
        number, identifier = number + len(inputs), identifier + len(puzzles)
        for part, array in arrays.items():
            np.save(folder / f"{name}__{part}.npy", array)
    total = sum(map(len, shape.values()))
    sizes = {"seq_len": SIDE, "vocab_size": CLASSES, "pad_id": 0, "ignore_label_id": 0, "blank_identifier_id": 0}
    more = {"num_puzzle_identifiers": 99, "total_groups": total, "mean_puzzle_examples": 1.0, "sets": list(shape)}
    (folder / "dataset.json").write_text(json.dumps({**sizes, **more, **said}))


def _told(number: int) -> list[int]:
    return [number // CLASSES**i % CLASSES for i in range(SIDE)]


def numbers(tokens: NDArray[np.int32]) -> list[int]:
    return (tokens.astype(np.int64)[:, :8] @ CLASSES ** np.arange(8)).tolist()


@dataclass(frozen=True)
class Place:
    """Where an example stands."""

    group: int
    puzzle: int


def places(shape: dict[str, Groups]) -> Iterator[Place]:
    """Yield the place of every example, counting through all sets."""
    group = puzzle = 0
    for one in shape.values():
        for sizes in one:
            for size in sizes:
                yield from [Place(group, puzzle)] * size
                puzzle += 1
            group += 1


def task(folder: Path, **fields: Any) -> Published:
    known = {"kind": "published", "folder": str(folder), "window": SIDE, "identifiers": 99, "valid_groups": 1}
    return Published.model_validate({**known, **fields})


def written(folder: str, train: dict[str, Groups], test: dict[str, Groups]) -> Path:
    path = Path(folder) / "set"
    save(path / "train", train)
    save(path / "test", test)
    return path


SHAPES = st.dictionaries(st.sampled_from(["all", "more"]), groups, min_size=1)
TEST: dict[str, Groups] = {"all": [[2, 1], [1], [1, 3]]}


@given(shape=SHAPES, seed=st.integers(0, 99), epoch=st.integers(0, 3))
def test_an_epoch_takes_one_puzzle_of_each_group_and_no_example_twice(
    shape: dict[str, Groups], seed: int, epoch: int
) -> None:
    with TemporaryDirectory() as folder:
        data = task(written(folder, shape, TEST)).load()
    (split,) = data.train(seed, epoch)
    (again,) = data.train(seed, epoch)
    found, known = numbers(split.tokens), list(places(shape))
    assert found == numbers(again.tokens)
    assert len(set(found)) == len(found) == data.train_rows[0]
    assert all(0 <= number < len(known) for number in found)
    taken: dict[int, set[int]] = {}
    for number in found:
        taken.setdefault(known[number].group, set()).add(known[number].puzzle)
    every = [sizes for one in shape.values() for sizes in one]
    assert sorted(taken) == list(range(len(every))), "no group is left out"
    assert all(len(puzzles) == 1 for puzzles in taken.values())
    for group, sizes in enumerate(every):
        assert sum(known[number].group == group for number in found) == min(sizes)
    assert split.puzzles is not None
    assert split.puzzles.tolist() == [known[number].puzzle for number in found], "ids never mix"
    np.testing.assert_array_equal(split.targets, np.where(split.tokens == 0, IGNORE, split.tokens))


@given(shape=SHAPES, seed=st.integers(0, 99), valid=st.integers(1, 3), copies=st.sampled_from([None, 1, 2]))
def test_test_is_scored_in_order_and_valid_takes_whole_groups_of_it(
    shape: dict[str, Groups], seed: int, valid: int, copies: int | None
) -> None:
    known = list(places(shape))
    count = known[-1].group + 1
    with TemporaryDirectory() as folder:
        fields: dict[str, Any] = {"valid_groups": valid, "seed": seed, "copies": copies}
        ours = task(written(folder, TEST, shape), **fields)
        if valid >= count:
            with pytest.raises(DataError, match=rf"has {count} groups in test, {valid} of which valid would take"):
                ours.load()
            return
        data = ours.load()
        few = task(Path(folder) / "set", **fields, test_groups=1).load()
    found = {name: numbers(split.tokens) for name, split in data.splits.items()}
    assert all(rows == sorted(rows) for rows in found.values())
    where = {name: {known[number].group for number in rows} for name, rows in found.items()}
    assert len(where["valid"]) == valid
    assert sorted([*where["valid"], *where["test"]]) == list(range(count))
    first = {group: min(place.puzzle for place in known if place.group == group) for group in range(count)}
    scored = [n for n, place in enumerate(known) if copies is None or place.puzzle < first[place.group] + copies]
    assert sorted([*found["valid"], *found["test"]]) == scored
    for name, split in data.splits.items():
        assert split.puzzles is not None
        assert split.puzzles.tolist() == [known[number].puzzle for number in found[name]]
    assert {known[number].group for number in numbers(few.splits["test"].tokens)} == {min(where["test"])}


def test_every_puzzle_and_every_order_of_its_examples_is_taken_as_often(tmp_path: Path) -> None:
    save(tmp_path / "train", {"all": [[3, 3], [1]]})
    _, (one,) = read(tmp_path / "train")
    drawn = [tuple(one.drawn(Words(seed)).tolist()) for seed in range(600)]
    assert {each[3] for each in drawn} == {6}
    orders = [each[:3] for each in drawn]
    assert {tuple(sorted(each)) for each in orders} == {(0, 1, 2), (3, 4, 5)}
    counts = [orders.count(each) for each in set(orders)]
    assert len(counts) == 12
    assert min(counts) > 20
    assert max(counts) < 90


# -- files -------------------------------------------------------------------------------------------------------------

SMALL: dict[str, Groups] = {"all": [[1, 2], [2]]}


Spoil = Callable[[Path], object]


def change(part: str, array: Any) -> Spoil:
    return lambda folder: np.save(folder / f"all__{part}.npy", array)


def lose(name: str) -> Spoil:
    return lambda folder: (folder / name).unlink()


def write(name: str, text: str) -> Spoil:
    return lambda folder: (folder / name).write_text(text)


def say(**said: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        known = json.loads((folder / "dataset.json").read_text())
        (folder / "dataset.json").write_text(json.dumps({**known, **said}))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (change("inputs", np.zeros((5, 9), np.uint8)), r"all__inputs.npy: holds uint8\[5, 9\], not integers \[N, 16\]"),
        (change("inputs", np.zeros((5, 16))), r"all__inputs.npy: holds float64\[5, 16\], not integers"),
        (change("labels", np.zeros((4, 16), np.uint8)), "all__labels.npy: holds 4 examples, inputs 5"),
        (change("inputs", np.full((5, 16), 6)), "all__inputs.npy: example 0 has 6; tokens are 0 to 5"),
        (change("inputs", np.full((5, 16), -100)), "all__inputs.npy: example 0 has -100; tokens are 0 to 5"),
        (change("labels", np.eye(5, 16, dtype=int) * 7), "all__labels.npy: example 0 has 7; tokens are 0 to 5"),
        (
            change("puzzle_indices", [0, 1, 3, 4]),
            "from 0 to 4; it has to lead from 0 to all 5 examples",
        ),
        (
            change("puzzle_indices", [1, 1, 3, 5]),
            "from 1 to 5; it has to lead from 0 to all 5 examples",
        ),
        (change("puzzle_indices", [0, 3, 1, 5]), "number 1 has no examples, since 1 follows 3"),
        (change("puzzle_indices", np.array([0, 3, 1, 5], np.uint8)), "number 1 has no examples, since 1 follows 3"),
        (change("puzzle_indices", [0, 3, 3, 5]), "number 1 has no examples, since 3 follows 3"),
        (
            change("group_indices", [0, 2]),
            "from 0 to 2; it has to lead from 0 to all 3 puzzles",
        ),
        (change("group_indices", [[0, 3]]), r"group_indices.npy: holds int64\[1, 2\]; it has to lead"),
        (change("puzzle_identifiers", [0, 1]), r"puzzle_identifiers.npy: holds int64\[2\] for 3 puzzles"),
        (change("puzzle_identifiers", [0, 99, 1]), "puzzle_identifiers.npy: puzzle 1 has 99; identifiers are 0 to 98"),
        (write("all__labels.npy", "nothing"), "all__labels.npy: cannot be read"),
        (lose("all__group_indices.npy"), "all__group_indices.npy: cannot be read"),
        (lose("dataset.json"), "dataset.json: cannot be read"),
        (write("dataset.json", "{"), "dataset.json: does not say .* no JSON"),
        (say(sets=[]), "dataset.json: does not say .* sets: List should have at least 1 item"),
        (say(sets=["../all"]), "dataset.json: does not say .* sets.0: String should match pattern"),
        (say(seq_len="16"), "dataset.json: does not say .* seq_len: Input should be a valid integer"),
        (say(total_groups=3), "dataset.json: total_groups is 3, the sets have 2"),
        (say(vocab_size=7), r"dataset.json: vocab_size is 7, by task.board it would be 6"),
        (say(num_puzzle_identifiers=100), "num_puzzle_identifiers is 100, by task.identifiers it would be 99"),
        (say(seq_len=16, sets=["none"]), "none__inputs.npy: cannot be read"),
    ],
)
def test_a_file_that_does_not_fit_is_named_with_what_is_wrong(spoil: Spoil, error: str, tmp_path: Path) -> None:
    path = written(str(tmp_path), SMALL, TEST)
    spoil(path / "train")
    with pytest.raises(DataError, match=error):
        task(path).load()


def test_labels_beyond_the_vocabulary_may_be_those_that_do_not_count(tmp_path: Path) -> None:
    path = written(str(tmp_path), SMALL, TEST)
    labels = np.full((5, SIDE), 3)
    labels[:, 0] = -7
    change("labels", labels)(path / "train")
    say(ignore_label_id=-7)(path / "train")
    (split,) = task(path).load().train(0, 0)
    assert set(split.targets[:, 0].tolist()) == {IGNORE}
    assert set(split.targets[:, 1:].ravel().tolist()) == {3}
    say(ignore_label_id=None)(path / "test")
    assert 0 in task(path).load().splits["test"].targets


def test_other_data_in_the_same_files_are_other_data(tmp_path: Path) -> None:
    paths = [written(str(tmp_path / name), SMALL, TEST) for name in "ab"]
    changed = np.load(paths[1] / "train" / "all__inputs.npy").copy()
    changed[3, 5] += 1
    np.save(paths[1] / "train" / "all__inputs.npy", changed)
    hashes = [task(path).load().provenance["sha256"] for path in paths]
    assert hashes[0] != hashes[1], "though only an example of training differs that no epoch may have taken"


# -- the task ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ("board: maze, window: 80", "80 tokens are no board of maze"),
        ("board: maze, window: 16", "a maze has sides of 5 to 100 cells"),
        ("board: arc, window: 81", "81 tokens are no board of arc"),
        ("window: 25", "a Sudoku has 81 cells, or 16"),
        ("best: pass2", "only puzzles of arc are solved by votes; say exact"),
        ("board: chess", "expected 'sudoku', 'maze' or 'arc'"),
    ],
)
def test_what_is_no_board_is_refused_at_its_line(fields: str, error: str) -> None:
    with pytest.raises(SpecError, match=error):
        hs.load("transformer", [f"task={{kind: published, folder: here, {fields}}}"])


def test_a_board_says_its_window_and_its_classes() -> None:
    for board, sizes in (("sudoku", (81, 11)), ("maze", (900, 6)), ("arc", (900, 12))):
        found = hs.load("transformer", [f"task={{kind: published, folder: here, board: {board}, identifiers: 7}}"]).task
        assert (found.window, found.vocabulary, found.puzzles, found.causal) == (*sizes, 7, False)
        assert found.drawing.side**2 == found.window
    with pytest.raises(DataError, match="no such file, neither here nor below HRMSEARCH_DATA"):
        hs.load("transformer", ["task={kind: published, folder: nowhere}"]).task.load()


TINY = ("model.dim=4", "model.defaults.ffn.width=4", "train.epochs=2", "train.batch=2", "seeds=[0]", "nest.passes=2")


def test_a_spec_trains_on_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    path = written(str(tmp_path), SMALL, TEST)
    table = "model.memory=[{at: prepend, kind: puzzle, width: 4, init: zeros, optimizer: {lr: 0.01}}]"
    fields = f"task={{kind: published, folder: {path}, window: 16, identifiers: 99, valid_groups: 1}}"
    result = train(hs.load("sudoku4", [*TINY, table, fields]), tmp_path / "runs")
    assert result.identity.corpus == "set"
    assert list(result.test[-1].metrics) == ["accuracy", "exact"]
    assert [control.name for control in result.controls] == ["constant", "input copied"]
    assert (result.run_dir / "answers.json").exists()


# -- arc ---------------------------------------------------------------------------------------------------------------


def arc_folder(path: Path, names: list[str]) -> Path:
    """Write puzzles of ARC, each with one copy: their answers are the input's cells, counted from 9 down."""
    rng, folder = np.random.default_rng(0), path / "arc"
    for split, count in (("train", 2), ("test", 3)):
        asked = [rng.integers(0, 10, (2, 3)).astype(np.uint8) for _ in range(count)]
        pairs = [(change.apply(grid), change.apply(9 - grid)) for grid in asked for change in (SAME, TURNED)]
        shape = {"all": [[1, 1]] * count}
        save(folder / split, shape, seq_len=900, vocab_size=12, num_puzzle_identifiers=len(names))
        rows = [row(pair) for pair in pairs]
        change_to = {"inputs": [one for one, _ in rows], "labels": [np.where(t == IGNORE, 0, t) for _, t in rows]}
        first = 1 if split == "train" else 5
        for part, array in change_to.items():
            np.save(folder / split / f"all__{part}.npy", np.array(array).astype(np.uint8))
        np.save(folder / split / "all__puzzle_identifiers.npy", first + np.arange(2 * count))
    (folder / "identifiers.json").write_text(json.dumps(names))
    return folder


TURNED = Change(1, (0, 2, 1, 3, 4, 5, 6, 7, 8, 9))
NAMES = ["<blank>", *(name for letter in "abcde" for name in (letter, f"{letter}_t1_0213456789"))]


def test_copies_of_a_published_puzzle_of_arc_vote_in_its_own_colours(tmp_path: Path) -> None:
    ours = task(arc_folder(tmp_path, NAMES), board="arc", window=900, identifiers=len(NAMES))
    split = ours.load().splits["test"]
    assert split.puzzles is not None
    assert len(split) == 4
    right = np.where(split.targets == IGNORE, 0, split.targets)
    assert ours.voted(split, right) == {"pass2": 1.0}
    wrong = np.broadcast_to(tokens_of(np.zeros((1, 1), np.uint8)), right.shape)
    assert ours.voted(split, np.where((split.puzzles % 2 == 0)[:, None], right, wrong)) == {"pass2": 1.0}
    assert ours.voted(split, wrong) == {"pass2": 0.0}
    assert ours.metrics[0] == "pass2"


@given(symmetry=st.integers(0, 7), colours=st.permutations(range(1, 10)), by=st.sampled_from(["_", "|||"]))
def test_a_published_name_says_how_a_copy_was_changed(symmetry: int, colours: list[int], by: str) -> None:
    change = Change(symmetry, (0, *colours))
    digits = "".join(map(str, change.colours))
    assert copy_of(f"00_a{by}t{symmetry}{by}{digits}") == ("00_a", change)
    assert copy_of("00_a") == ("00_a", SAME)
    with pytest.raises(ValueError, match="is no symmetry of a square"):
        copy_of(f"a{by}t9{by}{digits}")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "identifiers.json: cannot be read .*; it names the copies that vote"),
        ("{}", "identifiers.json: no list of names"),
        ('["a"]', "identifiers.json: holds 1 names for 11 identifiers"),
        (json.dumps(["a_t9_0123456789", *NAMES[1:]]), "identifiers.json: 'a_t9_0123456789' is no symmetry"),
    ],
)
def test_names_that_do_not_fit_are_refused_before_anything_is_trained(
    text: str | None, error: str, tmp_path: Path
) -> None:
    folder = arc_folder(tmp_path, NAMES)
    (folder / "identifiers.json").unlink() if text is None else (folder / "identifiers.json").write_text(text)
    with pytest.raises(DataError, match=error):
        task(folder, board="arc", window=900, identifiers=len(NAMES)).load()
