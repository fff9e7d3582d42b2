"""The report on a study: its answer over fresh seeds, and every trial of its search."""

import csv
import json
import re
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hrmsearch.cli.app import app
from hrmsearch.report.search import trials_table
from hrmsearch.report.study_file import read
from hrmsearch.report.study_report import study_document
from hrmsearch.report.table import Table
from hrmsearch.study.importance import importance
from hrmsearch.study.results import gather, write_results
from hrmsearch.study.training import Trains
from hrmsearch.train import RunOptions, Workshop
from hrmsearch.train.interrupting import Wish
from tests.studies import study
from tests.studying import board_of, tiny_study, work_through

pytest.importorskip("matplotlib")


def report(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(report_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study(report_runs, tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "report"
    done = report(folder, "-o", out)
    assert done.exit_code == 0, done.output
    assert "trials; * was chosen" in done.stdout
    return out


def test_a_study_is_reported_with_its_question_verdict_and_search(made: Path, folder: Path) -> None:
    text = (made / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# study tiny\n\n- Is it <so>?\n- 2 arms, told, plain, were searched by 13 trials in all")
    assert re.search(r"^- (No difference between told and plain|told is (better|worse) than plain)", text, re.MULTILINE)
    assert sha256((folder / "study.json").read_bytes()).hexdigest() in text
    kinds = {path.name for path in (made / "figures").iterdir()}
    assert {"tiny-search.svg", "tiny-front.svg", "tiny-told-importance.svg", "tiny-told-clocks.svg"} <= kinds
    assert {"pydoc-differences.svg", "pydoc-valid-bpc.svg"} <= kinds
    assert "How much each path matters is not said of plain: that takes 8 trials" in text
    assert "Is it &lt;so&gt;?" in (made / "report.html").read_text(encoding="utf-8")


def test_every_trial_is_in_the_table_and_the_csv(made: Path, folder: Path) -> None:
    rows = trials_table(read(folder)).rows
    assert [row[0] for row in rows] == [
        *(f"told-{i}{' *' * (i == 7)}" for i in range(10)),
        "plain-0 *",
        "plain-1",
        "plain-2",
    ]
    assert rows[8][1] == "unsound: HS101 future-leak <here>"
    assert rows[9][1] == "trained, as an earlier trial"
    with open(made / "trials.csv", newline="", encoding="utf-8") as stream:
        found = list(csv.DictReader(stream))
    assert [(row["arm"], row["trial"], row["valid.bpc"]) for row in found][:2] == [
        ("told", "0", "4.0"),
        ("told", "1", "3.9"),
    ]
    assert json.loads(found[0]["point"])["model.core.levels.L.period"] == 1


def test_a_study_that_is_not_finished_is_reported_as_far_as_it_went(folder: Path, tmp_path: Path) -> None:
    record = json.loads((folder / "study.json").read_text())
    record |= {"finalists": {}, "why": "the control plain has no finalist that was trained"}
    (tmp_path / "study.json").write_text(json.dumps(record))
    assert report(tmp_path, "-o", tmp_path / "report").exit_code == 0
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "There is no comparison: the control plain has no finalist that was trained." in text
    assert "told-8" in text


def test_a_study_that_was_swept_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    board = board_of(tiny_study(tmp_path, "trials=1", "train.epochs=1"), folder)
    work_through(board, Trains(Workshop(RunOptions(out=folder, resume=True)), Wish()), folder)
    write_results(gather(board), folder)
    assert report(folder, "-o", tmp_path / "report", "--no-figures").exit_code == 0
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "2 arms, a, b, were searched by 2 trials in all; valid bpc chose the finalist of each, which was" in text
    assert "test bpc minus a's, 2 paired seeds" in text
    assert "| a-0 * | trained |" in text


def test_where_nothing_was_searched_no_search_is_shown(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "tiny")
    record = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    record["trials"] = [{**one, "point": {}} for one in record["trials"] if one["number"] == 0]
    (tmp_path / "tiny" / "study.json").write_text(json.dumps(record), encoding="utf-8")
    made = study_document(read(tmp_path / "tiny"))
    assert made.lead[1] == (
        "2 arms, told, plain, were trained as written, and trained again on fresh seeds. The control is plain."
    )
    search = next(section for section in made.sections if section.title == "The search")
    assert [type(item) for item in search.items] == [Table]


def test_a_study_stands_alone_and_has_a_control_of_its_own(folder: Path, report_runs: Path, tmp_path: Path) -> None:
    beside = report(folder, report_runs, "-o", tmp_path)
    assert (beside.exit_code, "name its folder alone" in beside.stderr) == (2, True)
    other = report(folder, "-o", tmp_path, "--control", "told")
    assert (other.exit_code, other.stderr) == (
        2,
        "hrmsearch: --control told: the control of study tiny is plain\n",
    )


def test_the_runs_of_a_study_are_no_part_of_the_report_on_the_folder_above(
    folder: Path, report_runs: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "runs" / "study")
    shutil.copytree(report_runs / "told", tmp_path / "runs" / "told")
    done = report(tmp_path / "runs", "-o", tmp_path / "report", "--no-figures")
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'runs' / 'study'}: a study, left out; it has a report of its own" in done.stderr
    assert "plain" not in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "other"}', '{"format": "hrmsearch study 1", "file": {}}'])
def test_a_foreign_file_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text(text)
    done = report(tmp_path, "-o", tmp_path / "report")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"hrmsearch: {tmp_path / 'study.json'}: ")
    assert done.stderr.count("\n") == 1


def test_finalists_of_two_specs_in_one_arm_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "study")
    shutil.move(tmp_path / "study" / "finalists" / "plain" / "seed-2", tmp_path / "study" / "finalists" / "told")
    done = report(tmp_path / "study", "-o", tmp_path / "report")
    assert (done.exit_code, "not one spec for each arm" in done.stderr) == (2, True)


def test_the_path_that_decides_is_the_important_one() -> None:
    points = [{"rate": 10.0 ** (-i / 8), "size": i % 2, "same": 1} for i in range(40)]
    found = importance([(point, float(i)) for i, point in enumerate(points)])
    assert set(found) == {"rate", "size"}
    assert found["rate"] > 0.8


@pytest.mark.parametrize("values", [[0.0] * 8, [1.0, 2.0]], ids=["equal", "few"])
def test_nothing_is_important_where_nothing_can_be_told(values: list[float]) -> None:
    assert importance([({"rate": float(i)}, value) for i, value in enumerate(values)]) == {}
