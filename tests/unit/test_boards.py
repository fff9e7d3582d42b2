"""Puzzles are shown with what a model says to them, wrong cells marked, in text, in colour and as HTML."""

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import hrmsearch as hs
from hrmsearch.cli.app import app
from hrmsearch.errors import DataError, RunError
from hrmsearch.report.boards import Board, beside, beside_in_colour, fitting
from hrmsearch.report.puzzles import boards_of, kept, told
from hrmsearch.tasks.arc import Arc
from hrmsearch.tasks.arc_grids import Grid, grid_of, row
from hrmsearch.tasks.base import IGNORE
from hrmsearch.tasks.boards import Boards
from hrmsearch.train import Answer, answers, load_run
from tests.training import train

TINY = ("model.dim=8", "model.defaults.ffn.width=8", "train.epochs=1", "seeds=[0]", "nest.passes=3")
FEW = ("task.train_rows=16", "task.valid_rows=4", "task.test_rows=4", "train.batch=4")
SOLVED = np.array([2, 3, 4, 5, 4, 5, 2, 3, 3, 2, 5, 4, 5, 4, 3, 2], np.int32)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a short run on Sudoku of side 4."""
    return train(hs.load("sudoku4", [*TINY, *FEW]), tmp_path_factory.mktemp("boards")).run_dir


def answer(*wrong: int) -> Answer:
    said = SOLVED.copy()
    said[list(wrong)] = 2 + said[list(wrong)] % 4
    asked = np.where(np.arange(16) % 3 == 0, SOLVED, 1).astype(np.int32)
    return Answer(7, asked, SOLVED, np.stack([np.ones_like(said), said]), 2)


def sudoku() -> Boards:
    task = hs.load("sudoku4").task
    assert isinstance(task, Boards)
    return task


def test_a_puzzle_its_solution_and_the_answer_stand_side_by_side() -> None:
    lines = list(beside(boards_of(sudoku(), answer(0))))
    assert lines == [
        "puzzle      solution    answer",
        "1 . |. 4    1 2 |3 4    3!2 |3 4",
        ". . |1 .    3 4 |1 2    3 4 |1 2",
        "----+----   ----+----   ----+----",
        ". 1 |. .    2 1 |4 3    2 1 |4 3",
        "4 . |. 1    4 3 |2 1    4 3 |2 1",
    ]


def test_colours_show_the_same_text_and_mark_what_is_wrong() -> None:
    boards = boards_of(sudoku(), answer(0, 5))
    out = StringIO()
    console = Console(file=out, force_terminal=True, color_system="truecolor", width=100)
    for line in beside_in_colour(boards):
        console.print(line)
    plain = [line.plain.rstrip() for line in beside_in_colour(boards)]
    assert plain == list(beside(boards))
    assert out.getvalue().count("48;2;179;38;30m") == 2


def test_html_marks_wrong_cells_by_class_and_title_and_leaves_blanks_empty() -> None:
    puzzle, _, said = (" ".join(board.html()) for board in boards_of(sudoku(), answer(0)))
    assert said.count('<td class="wrong" title="wrong">') == 1
    assert "wrong" not in puzzle
    assert puzzle.count("></td>") == 10
    assert said.count('<tr class="below">') == 1


def test_a_maze_has_its_colours() -> None:
    task = hs.load("transformer", ["task=maze/small"]).task
    assert isinstance(task, Boards)
    board = Board.of("maze", task.drawing, np.array([1, 2, 3, 4, 5] + [1] * 76))
    html = " ".join(board.html())
    assert html.count("background:#30343b") == 77
    assert next(board.lines()).startswith("#   S G o ")


@pytest.mark.parametrize(
    ("wrong", "text"), [((), "test 7: solved"), ((1,), "test 7: 1 cell wrong"), ((1, 2), "test 7: 2 cells wrong")]
)
def test_words_below_say_what_came_of_it(wrong: tuple[int, ...], text: str) -> None:
    said = told("test", answer(*wrong))
    assert said.startswith(f"{text}; it would halt after pass 2; right cells by pass: 0.00 %, ")


def test_answers_are_those_that_are_scored(run: Path) -> None:
    loaded = load_run(run)
    found = answers(loaded, "test", (0, 1, 2, 3))
    share = np.mean([one.right_by_pass for one in found], axis=0)
    scores = loaded.manifest["metrics"]["test"]
    np.testing.assert_allclose(share, [score["accuracy"] for score in scores])
    assert all(one.halted in (1, 2, 3) for one in found)
    alone = answers(loaded, "test", (2,))[0]
    np.testing.assert_array_equal(alone.predicted, found[2].predicted)
    with pytest.raises(DataError, match="test has no window 4; there are 0 to 3"):
        answers(loaded, "test", (4,))
    with pytest.raises(DataError, match="there is no split 'tset'"):
        answers(loaded, "tset")


def test_the_command_prints_boards_and_words(run: Path) -> None:
    done = CliRunner().invoke(app, ["show", str(run), "--number", "1", "--number", "3", "--passes", "2"])
    assert done.exit_code == 0, done.output
    assert done.stdout.count("puzzle      solution    answer") == 2
    assert "test 1: " in done.stdout
    assert "test 3: " in done.stdout
    refused = CliRunner().invoke(app, ["show", str(run), "--split", "other"])
    assert refused.exit_code == 2
    assert "there is no split 'other'" in refused.stderr


def test_a_report_shows_what_a_run_said_to_its_first_puzzles(run: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(run), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert html.count('<table class="board">') == 9
    wrong = sum(int(one.wrong.sum()) for one in answers(load_run(run), "test", (0, 1, 2)))
    assert html.count('title="wrong"') == wrong
    assert (tmp_path / "out" / "report.md").read_text(encoding="utf-8").count("puzzle      solution    answer") == 3


def test_a_broken_file_of_answers_is_named(run: Path, tmp_path: Path) -> None:
    (tmp_path / "answers.json").write_text('{"drawing": {}}')
    with pytest.raises(RunError, match=r"answers.json: holds no answers that a run kept"):
        list(kept(tmp_path))
    assert len(list(kept(run))) == 3


def test_a_task_without_a_board_keeps_no_answers(tmp_path: Path) -> None:
    result = train(hs.load("transformer", [*TINY[:2], "train.epochs=1", "task=parity/small", *FEW]), tmp_path)
    assert not (result.run_dir / "answers.json").exists()
    with pytest.raises(DataError, match="has no board to show"):
        boards_of(load_run(result.run_dir).task, answer())


# -- boards of several sizes -------------------------------------------------------------------------------------------

ASKED, ANSWER = np.array([[0, 1], [2, 3]], np.uint8), np.array([[1, 0, 4], [3, 2, 4]], np.uint8)


def arc_answer(asked: Grid, answer: Grid, *wrong: int, elsewhere: int = 7) -> Answer:
    """Return an answer that is right but for some cells, with a colour wherever nothing is asked."""
    tokens, targets = row((asked, answer))
    said = np.where(targets == IGNORE, elsewhere, targets)
    said[list(wrong)] = 5
    return Answer(0, tokens, targets, said[None].astype(np.int32))


def test_a_board_of_arc_ends_where_its_grids_end_and_shows_what_counts() -> None:
    lines = list(beside(boards_of(Arc(kind="arc"), arc_answer(ASKED, ANSWER, 1))))
    assert lines == [
        "puzzle     solution   answer",
        "0 1 .      1 0 4 .    1 3!4 .",
        "2 3 .      3 2 4 .    3 2 4 .",
        ". .        . . .      . . .",
        "",
    ]


def test_a_board_of_arc_has_the_colours_of_arc() -> None:
    boards = boards_of(Arc(kind="arc"), arc_answer(ASKED, ANSWER, 1))
    puzzle, solution, said = (" ".join(board.html()) for board in boards)
    for html, colours in ((puzzle, (0, 1, 2, 3)), (solution, (1, 0, 4, 3, 2, 4)), (said, (1, 4, 3, 2, 4))):
        told = ("#000000", "#1e93ff", "#f93c31", "#4fcc30", "#ffdc00")
        assert [html.count(f"background:{colour}") for colour in told] == [colours.count(i) for i in range(5)]
        assert html.count("<td") == 16
    assert said.count('<td class="wrong" title="wrong">3</td>') == 1
    assert [line.plain.rstrip() for line in beside_in_colour(boards)] == list(beside(boards))


@given(data=st.data())
def test_a_cropped_board_of_arc_keeps_every_cell_of_its_grids(data: st.DataObject) -> None:
    sizes = st.tuples(st.integers(1, 30), st.integers(1, 30))
    asked, answer = (np.random.default_rng(0).integers(0, 10, data.draw(sizes)).astype(np.uint8) for _ in "ab")
    boards = boards_of(Arc(kind="arc"), arc_answer(asked, answer))
    side = boards[0].drawing.side
    assert side == min(30, max(*asked.shape, *answer.shape) + 1)
    for board, grid in zip(boards, (asked, answer, answer), strict=True):
        whole = np.zeros((30, 30), np.int64)
        whole[:side, :side] = np.reshape(np.maximum(board.tokens, 0), (side, side))
        np.testing.assert_array_equal(grid_of(whole), grid)


def test_an_empty_board_of_arc_is_a_cell() -> None:
    nothing = np.zeros(900, np.int32)
    boards = boards_of(Arc(kind="arc"), Answer(0, nothing, np.full_like(nothing, IGNORE), nothing[None]))
    assert [board.drawing.side for board in boards] == [1, 1, 1]


def test_boards_that_are_too_wide_for_a_terminal_stand_below_each_other() -> None:
    boards = boards_of(sudoku(), answer(0))
    assert [len(group) for group in fitting(boards, 33)] == [3]
    assert [len(group) for group in fitting(boards, 32)] == [1, 1, 1]


def test_a_run_on_arc_shows_its_boards_on_the_terminal_and_in_a_report(tmp_path: Path) -> None:
    for subset, count in (("training", 2), ("evaluation", 12)):
        (tmp_path / "data" / subset).mkdir(parents=True)
        for i in range(count):
            pairs = [{"input": [[i % 10, j]], "output": [[j, i % 10], [j, j]]} for j in range(3)]
            task = {"train": pairs[:2], "test": pairs[2:]}
            (tmp_path / "data" / subset / f"{subset}{i}.json").write_text(json.dumps(task))
    few = "training: 2, evaluation: 12, changes: 1, votes: 1, examples: 1"
    heads = [f"model.core.levels.{level}.block.mixer.heads=1" for level in "LH"]
    tiny = ("model.dim=4", "model.defaults.ffn.width=4", "nest.passes=1", "train.epochs=1", "train.batch=8")
    changes = [*tiny, *heads, "model.memory[0].width=4", f"task={{kind: arc, source: {tmp_path / 'data'}, {few}}}"]
    words = [word for change in changes for word in ("--set", change)]
    trained = CliRunner().invoke(app, ["run", "arc", *words, "--out", str(tmp_path / "runs")])
    assert trained.exit_code == 0, trained.output
    assert "test pass2" in trained.stdout
    assert "passes that rows took on arc" in trained.stdout
    run = tmp_path / "runs" / "arc" / "seed-0"
    shown = CliRunner().invoke(app, ["show", str(run), "--number", "0"])
    assert shown.exit_code == 0, shown.output
    found = answers(load_run(run), "test", (0,))[0]
    assert shown.stdout.splitlines()[:4] == list(beside(boards_of(load_run(run).task, found)))[:4]
    done = CliRunner().invoke(app, ["report", str(run), "-o", str(tmp_path / "out"), "--no-figures"])
    assert done.exit_code == 0, done.output
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert html.count('<table class="board">') == 9
    wrong = sum(int(one.wrong.sum()) for one in answers(load_run(run), "test", (0, 1, 2)))
    assert html.count('title="wrong"') == wrong > 0
