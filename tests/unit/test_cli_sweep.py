"""`hrmsearch sweep`, `worker`, `status` and `dashboard`: what they print, and what they refuse."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hrmsearch.cli.app import app
from hrmsearch.cli.studies import Lines, observing
from hrmsearch.report.studies import progress_table
from hrmsearch.spec.load import load
from hrmsearch.study.board import create
from hrmsearch.study.contract import contract
from hrmsearch.study.load import load_study
from hrmsearch.study.outcomes import Outcome
from hrmsearch.study.progress import progress
from hrmsearch.study.results import gather, trials_of, write_results
from hrmsearch.study.storage import open_storage
from hrmsearch.study.training import Candidate, Trains
from hrmsearch.train import RunOptions, Workshop
from hrmsearch.train.interrupting import Wish
from tests.studying import STUDY, work_through, write_arms

#: two trials an arm; in b the second one is unsound
CHANGES = (
    "trials=2",
    "train.epochs=1",
    "search={arms.b.model.core.levels.L.block.mixer.causal: [true, false], train.batch: [4]}",
)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a study file whose study has run: two arms, trained for real, one trial unsound."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("study")
    write_arms(folder)
    (folder / "study.yaml").write_text(STUDY)
    study = load_study(folder / "study.yaml", CHANGES)
    out = folder / "runs" / "tiny"
    agreed = contract(study, "torch", "cpu", out)
    board = create(open_storage(str(out / "journal.log")), agreed, resume=False)
    work_through(board, Trains(Workshop(RunOptions(out=out, resume=True)), Wish()), out)
    return folder


def sweep(folder: Path, *more: str) -> Result:
    changes = [word for change in CHANGES for word in ("--set", change)]
    return invoke("sweep", str(folder / "study.yaml"), "--out", str(folder / "runs"), *changes, *more)


def test_a_dry_run_prints_what_the_arms_are_matched_to(tmp_path: Path) -> None:
    done = invoke("sweep", "kernel", "--dry-run", "--trials", "3", "--seeds", "2", "--out", str(tmp_path))
    assert done.exit_code == 0, done.output
    title, _, _, *rows = done.output.splitlines()
    assert title == "study kernel, params 150,000 within 2 %; 3 trials an arm, seeds 1, 2"
    assert [row.split()[0] for row in rows if row] == ["hl_kernel", "slstm", "hrm"]
    assert "model.core.blocks[0].ffn.width=132" in done.output
    assert list(tmp_path.iterdir()) == []


def test_arms_that_cannot_meet_the_budget_are_an_error_at_their_line() -> None:
    done = invoke("sweep", "kernel", "--dry-run", "--set", "match={params: 9000, within: 1%, by: [model.dim]}")
    assert done.exit_code == 2
    assert "kernel.yaml:4:" in done.output
    assert "arms.slstm: arm slstm: params cannot be brought to 9,000 within 1 %; the nearest are " in done.output


def test_a_finished_study_prints_its_ranking_again(finished: Path) -> None:
    done = sweep(finished, "--resume")
    assert done.exit_code == 0, done.output
    assert "study tiny, 2 fresh paired seeds" in done.output
    table = done.output[done.output.index("fresh paired seeds") :]
    assert " control\n" in table
    assert "  unigram  " in table
    assert "No difference between b and a is shown" in table or "b is " in table
    out = finished / "runs" / "tiny"
    best = out / "best-b.yaml"
    assert f"best b: {best}" in done.output
    assert load(best).seeds == (1, 2)
    assert load(best).name == "b"
    # a spec of a finalist is the one that its seeds were trained from
    assert (
        load(best).model == load(finished / "runs" / "tiny" / "finalists" / "b" / "seed-1" / "spec.resolved.yaml").model
    )


def test_a_study_leaves_everything_in_json(finished: Path) -> None:
    done = sweep(finished, "--resume", "--json")
    assert done.exit_code == 0, done.output
    events = [json.loads(line) for line in done.output.splitlines()]
    assert [event["event"] for event in events] == ["study", "done"]
    record = json.loads((finished / "runs" / "tiny" / "study.json").read_text())
    assert {key: events[1][key] for key in record} == record
    assert len(record["trials"]) == 2 * 2 + 2 * 2
    assert {"unsound", "trained"} == {trial["outcome"]["what"] for trial in record["trials"]}
    assert record["comparison"]["metric"] == {"split": "test", "name": "bpc"}
    assert record["finalists"]["b"]["point"]["model.core.levels.L.block.mixer.causal"] is True


def test_a_study_that_was_begun_is_not_begun_again(finished: Path) -> None:
    done = sweep(finished)
    assert done.exit_code == 2
    assert "study tiny: is in the storage already; go on with it by --resume" in done.output


def test_status_tells_what_came_of_the_trials(finished: Path) -> None:
    done = invoke("status", str(finished / "runs" / "tiny"))
    assert done.exit_code == 0, done.output
    assert done.output.startswith("study tiny: 8 of 8 trials\n")
    row = next(line.split() for line in done.output.splitlines() if line.startswith("b "))
    assert row[:3] == ["b", "2/2", "1"]
    as_json = json.loads(invoke("status", str(finished / "runs" / "tiny"), "--json").output)
    assert as_json["finished"]
    assert as_json["arms"][1]["ended"] == {"trained": 1, "unsound": 1}


def test_a_worker_that_finds_nothing_left_says_so(finished: Path) -> None:
    done = invoke("worker", str(finished / "runs" / "tiny"))
    assert done.exit_code == 0, done.output
    assert done.output == "study tiny is finished; 0 trials ended here\n"


def test_a_study_that_is_nowhere_is_an_error(tmp_path: Path) -> None:
    for command in ("worker", "status"):
        done = invoke(command, "nowhere")
        assert done.exit_code == 2
        assert (
            "nowhere: no study has its journal there or in runs/nowhere; name its storage by --storage" in done.output
        )
    done = invoke("status", "nowhere", "--storage", str(tmp_path / "journal.log"))
    assert done.exit_code == 2
    assert "study nowhere: is not in the storage, which holds none" in done.output


def test_an_out_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    write_arms(tmp_path)
    (tmp_path / "study.yaml").write_text(STUDY)
    file = tmp_path / "idea.yaml"
    file.write_text("mine")
    done = invoke("sweep", str(tmp_path / "study.yaml"), "--out", str(file))
    assert (done.exit_code, done.stderr) == (2, f"hrmsearch: {file}/tiny: cannot be made (Not a directory)\n")
    assert file.read_text() == "mine"


def test_a_dashboard_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        del name

    monkeypatch.setattr("hrmsearch.study.dashboard.find_spec", missing)
    done = invoke("dashboard", "kernel")
    assert done.exit_code == 2
    assert done.output == "hrmsearch: optuna-dashboard is not installed; pip install 'hrmsearch[dashboard]'\n"


def test_a_line_tells_of_every_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_arms(tmp_path)
    (tmp_path / "study.yaml").write_text(STUDY)
    agreed = contract(load_study(tmp_path / "study.yaml"), "torch", "cpu", tmp_path)
    board = create(open_storage(str(tmp_path / "journal.log")), agreed, resume=False)
    outcomes = {
        "a-0": Outcome(what="unsound", why="error[HS101] future-leak\nmore"),
        "b-0": Outcome(what="over_budget"),
    }

    def work(item: object, candidate: Candidate) -> Outcome:
        name = getattr(item, "name", "")
        return outcomes.get(name) or Outcome(what="trained", valid={"bpc": 2.5}, epochs=3, sizes={})

    work_through(board, work, tmp_path)
    trials = trials_of(board)
    far = progress(agreed, trials)
    for trial in trials:
        Lines(agreed).ended(trial, far)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "10/10 a-0: unsound (error[HS101] future-leak), about 0.0 s left"
    assert lines[1] == "10/10 a-1: trained after 3 epochs valid bpc 2.500, about 0.0 s left"
    assert "b-0: over budget" in lines[3]
    assert progress_table(agreed, far).rows[0][:4] == ("a", "3/3", "", "1")
    with observing(agreed, as_json=True) as observer:
        observer.ended(trials[0], far)
    assert json.loads(capsys.readouterr().out)["outcome"]["what"] == "unsound"
    # nothing that was trained here has a manifest, so there is nothing to compare
    results = gather(board)
    assert results.comparison is None
    assert results.why == "the control a has no finalist that was trained"
    assert (tmp_path / "best-a.yaml") in write_results(results, tmp_path)
