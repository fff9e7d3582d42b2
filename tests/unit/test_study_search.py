"""The search of a study: which points are tried, what is never trained, what ends early, and who is chosen."""

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from optuna.trial import TrialState

from hrmsearch.errors import BackendError, RunError, SpecError
from hrmsearch.spec.model import Spec
from hrmsearch.study.board import Item, create, join
from hrmsearch.study.contract import contract
from hrmsearch.study.outcomes import Outcome, outcome_of
from hrmsearch.study.results import gather
from hrmsearch.study.rungs import goes_on
from hrmsearch.study.storage import open_storage, shown
from hrmsearch.study.training import Candidate, Trains
from hrmsearch.study.workers import work_on
from hrmsearch.train import RunOptions, Workshop
from hrmsearch.train.interrupting import Wish
from tests.studying import Pretends, board_of, tiny_study, work_through


def bowl(spec: Spec, seed: int) -> float:
    """Return a value that is least at a rate of 0.01, and a little else for another seed."""
    return abs(math.log10(spec.train.optimizer.lr) + 2.0) + 0.001 * seed


def test_every_arm_gets_its_trials_and_every_finalist_the_fresh_seeds(tmp_path: Path) -> None:
    work = Pretends(bowl)
    board = board_of(tiny_study(tmp_path, "trials=5", "seeds=3"), tmp_path)
    ended = work_through(board, work, tmp_path)
    assert [sum(item.arm == arm and item.kind == "search" for item, _ in ended) for arm in ("a", "b")] == [5, 5]
    assert {(i.arm, c.seed) for i, c, _ in work.seen if i.kind == "final"} == {(a, s) for a in "ab" for s in (1, 2, 3)}
    assert {c.seed for i, c, _ in work.seen if i.kind == "search"} == {0}
    assert all(trial.state == TrialState.COMPLETE for _, trial in board.items())
    assert board.is_finished()


def test_without_trials_arms_are_compared_as_they_are_written(tmp_path: Path) -> None:
    work = Pretends(bowl)
    study = tiny_study(tmp_path, "trials=0", "search={}", "seeds=2", "arms.b.train.optimizer.lr=0.9")
    board = board_of(study, tmp_path)
    ended = work_through(board, work, tmp_path)
    assert {(i.name, spec.train.optimizer.lr) for i, _, spec in work.seen} == {
        *(("a-seed-1", 1e-3), ("a-seed-2", 1e-3)),
        *(("b-seed-1", 0.9), ("b-seed-2", 0.9)),
    }
    assert len(ended) == 4
    found = gather(board)
    assert {arm: (one.number, one.point) for arm, one in found.finalists.items()} == {"a": (None, {}), "b": (None, {})}


def test_without_trials_limits_are_kept_all_the_same(tmp_path: Path) -> None:
    work = Trains(Workshop(RunOptions(out=tmp_path)), Wish())
    study = tiny_study(tmp_path, "trials=0", "search={}", "seeds=1", "constraints=['params <= 5']")
    ended = work_through(board_of(study, tmp_path), work, tmp_path)
    assert {outcome.what for _, outcome in ended} == {"over_budget"}


def test_a_search_without_trials_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="a search needs trials"):
        tiny_study(tmp_path, "trials=0")


def test_the_first_trial_of_an_arm_is_the_arm_as_written(tmp_path: Path) -> None:
    work = Pretends(bowl)
    work_through(board_of(tiny_study(tmp_path, "arms.b.train.optimizer.lr=0.9"), tmp_path), work, tmp_path)
    first = {item.arm: spec.train.optimizer.lr for item, _, spec in work.seen if item.name in ("a-0", "b-0")}
    assert first["a"] == 1e-3
    assert 1e-4 <= first["b"] <= 1e-1, "0.9 lies outside of what is searched"


def test_the_finalist_is_the_best_on_valid(tmp_path: Path) -> None:
    work = Pretends(bowl)
    board = board_of(tiny_study(tmp_path, "trials=8"), tmp_path)
    work_through(board, work, tmp_path)
    searched = [(bowl(spec, 0), spec.train.optimizer.lr) for i, _, spec in work.seen if i.arm == "a" and i.seed is None]
    final = {spec.train.optimizer.lr for item, _, spec in work.seen if item.arm == "a" and item.seed is not None}
    assert final == {min(searched)[1]}


def test_a_search_does_better_than_chance(tmp_path: Path) -> None:
    work = Pretends(bowl)
    work_through(board_of(tiny_study(tmp_path, "trials=40", "seeds=1"), tmp_path), work, tmp_path)
    values = [bowl(spec, 0) for item, _, spec in work.seen if item.arm == "a" and item.kind == "search"]
    # the first third is random, so the mean of all that TPE chose has to be much lower
    assert sum(values[20:]) / 20 < 0.5 * sum(values[1:10]) / 9


def test_one_worker_repeats_a_study_exactly_also_when_it_is_broken_off(tmp_path: Path) -> None:
    seen: list[list[float]] = []
    for name, breaks in (("whole", None), ("broken", 7)):
        folder = tmp_path / name
        folder.mkdir()
        work, study = Pretends(bowl), tiny_study(folder, "trials=12", "seeds=1")
        board = board_of(study, folder)
        if breaks:
            assert len(work_through(board, work, folder, most=breaks)) == breaks
            resumed = create(open_storage(str(folder / "journal.log")), board.contract, resume=True)
            assert len(work_through(resumed, work, folder)) == 26 - breaks
        else:
            work_through(board, work, folder)
        seen.append([spec.train.optimizer.lr for _, _, spec in work.seen])
    assert seen[0] == seen[1]


def test_no_point_is_tried_twice_while_another_is_left(tmp_path: Path) -> None:
    work = Pretends(lambda spec, seed: float(spec.train.batch))
    grid = "search={train.batch: [1, 2, 4], train.accumulate: {int: [1, 3]}}"
    ended = work_through(board_of(tiny_study(tmp_path, grid, "trials=11", "seeds=1"), tmp_path), work, tmp_path)
    points = [(s.train.batch, s.train.accumulate) for i, _, s in work.seen if i.arm == "a" and i.kind == "search"]
    assert len(points) == len(set(points)) == 9
    same = [outcome.same_as for item, outcome in ended if item.arm == "a" and item.number >= 9 and item.seed is None]
    assert all(number is not None and number < 9 for number in same)
    assert len(same) == 2


def test_what_is_unsound_is_recorded_with_its_diagnostic_and_never_trained(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    causal = "search={arms.b.model.core.levels.L.block.mixer.causal: [true, false]}"
    study = tiny_study(tmp_path, causal, "trials=2", "seeds=1", "arms={a: a.yaml, b: b.yaml}", "train.epochs=1")
    board = board_of(study, tmp_path)
    work_through(board, Trains(Workshop(RunOptions(resume=True)), Wish()), tmp_path)
    trials = board.searches["b"].get_trials()
    found = {str(trial.params.popitem()[1]): (outcome_of(trial.user_attrs), trial) for trial in trials}
    outcome, trial = found["False"]
    assert outcome is not None
    assert outcome.what == "unsound"
    assert "error[HS101] future-leak" in outcome.why
    assert trial.constraints == {"sound": 1.0}
    assert not (tmp_path / "trials" / f"b-{trial.number}").exists()
    best = board.best("b")
    assert best is not None
    assert best.params == {"model.core.levels.L.block.mixer.causal": True}
    assert (tmp_path / "finalists" / "b" / "seed-1" / "manifest.json").exists()


def test_what_breaks_a_limit_or_cannot_be_built_is_never_trained(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    sizes = "search={arms.a.model.dim: [4, 64, 5]}"
    study = tiny_study(tmp_path, sizes, "trials=3", "seeds=1", "constraints=['params <= 5_000']", "train.epochs=1")
    board = board_of(study, tmp_path)
    work_through(board, Trains(Workshop(RunOptions(resume=True)), Wish()), tmp_path)
    found = {trial.params["model.dim"]: trial for trial in board.searches["a"].get_trials()}
    outcomes = {dim: outcome_of(trial.user_attrs) for dim, trial in found.items()}
    assert {dim: outcome.what for dim, outcome in outcomes.items() if outcome} == {
        4: "trained",
        64: "over_budget",
        5: "unbuildable",
    }
    assert found[64].constraints["params"] > 0 >= found[4].constraints["params"]
    assert found[5].constraints == {"sound": 1.0}
    assert [path.name for path in sorted((tmp_path / "trials").glob("a-*"))] == [f"a-{found[4].number}"]


def test_candidates_are_brought_to_the_budget_one_by_one(tmp_path: Path) -> None:
    work = Pretends(bowl)
    match = "match={params: 3000, within: 5%, by: [model.defaults.ffn.width]}"
    study = tiny_study(tmp_path, match, "search={model.dim: [8, 12]}", "trials=2", "seeds=1", "model.dim=8")
    work_through(board_of(study, tmp_path), work, tmp_path)
    widths = {spec.model.dim: spec.model.defaults.ffn.width for item, _, spec in work.seen if item.arm == "a"}
    assert widths[8] > widths[12]


def test_an_arm_without_a_finalist_says_so(tmp_path: Path) -> None:
    def work(item: object, candidate: object) -> Outcome:
        return Outcome(what="diverged", why="the loss is nan")

    board = board_of(tiny_study(tmp_path, "trials=2", "seeds=1"), tmp_path)
    ended = work_through(board, work, tmp_path)
    assert {outcome.what for item, outcome in ended if item.kind == "final"} == {"none"}
    assert board.best("a") is None


@pytest.mark.parametrize("objectives", ["{valid.bpc: min}", "{valid.bpc: min, params: min}"])
def test_the_worse_trials_end_on_a_rung(tmp_path: Path, objectives: str) -> None:
    work = Pretends(lambda spec, seed: spec.train.optimizer.lr)
    study = tiny_study(
        tmp_path, f"objectives={objectives}", "prune={first: 1, factor: 2}", "trials=12", "train.epochs=8", "seeds=1"
    )
    board = board_of(study, tmp_path)
    ended = work_through(board, work, tmp_path)
    outcomes = [outcome for item, outcome in ended if item.arm == "a" and item.kind == "search"]
    pruned = [outcome for outcome in outcomes if outcome.what == "pruned"]
    assert {outcome.epochs for outcome in pruned} <= {1, 2, 4}
    assert 4 <= len(pruned) <= 10
    best = min(outcome.valid["bpc"] or 0 for outcome in outcomes)
    assert best in [outcome.valid["bpc"] for outcome in outcomes if outcome.what == "trained"]
    assert all(outcome.what == "trained" for item, outcome in ended if item.kind == "final")


@pytest.mark.parametrize(
    ("interval", "ends", "epoch", "rungs"),
    [
        (3, 1, 3, [1]),
        (3, 2, 3, [1, 2]),
        (3, 4, 6, [1, 2, 4]),
        (3, 8, 8, [1, 2, 4]),
        (5, 8, 8, [1, 2, 4]),
        (9, 1, 8, []),
    ],
)
def test_a_rung_between_two_validations_is_asked_at_the_second(
    tmp_path: Path, interval: int, ends: int, epoch: int, rungs: list[int]
) -> None:
    pytest.importorskip("torch")
    study = tiny_study(tmp_path, "prune={first: 1, factor: 2}", "train.epochs=8", f"train.eval_interval={interval}")
    asked: list[int] = []

    def rung(at: int, _: Mapping[str, float]) -> bool:
        asked.append(at)
        return at == ends

    prune, arm = study.file.prune, study.arms["a"]
    candidate = Candidate(arm.spec, 0, tmp_path / "run", prune=prune, rung=rung)
    outcome = Trains(Workshop(RunOptions(out=tmp_path)), Wish())(Item("search", "a", 0, 0), candidate)
    assert (outcome.what, outcome.epochs) == ("trained" if epoch == 8 else "pruned", epoch)
    assert asked == rungs


def test_a_seed_of_every_arm_comes_before_the_next_seed(tmp_path: Path) -> None:
    work = Pretends(bowl)
    work_through(board_of(tiny_study(tmp_path, "trials=0", "search={}", "seeds=2"), tmp_path), work, tmp_path)
    assert [item.name for item, _, _ in work.seen] == ["a-seed-1", "b-seed-1", "a-seed-2", "b-seed-2"]


def test_the_best_part_goes_on_at_a_rung_and_the_first_one_always() -> None:
    assert goes_on(5.0, [], 3, less=True)
    assert not goes_on(5.0, [4.0], 3, less=True)
    assert goes_on(2.0, [1.0, 3.0, 4.0, 5.0, 6.0], 3, less=True)
    assert not goes_on(2.0, [1.0, 3.0, 4.0, 5.0], 3, less=True)
    assert goes_on(5.0, [4.0, 3.0], 3, less=False)


def test_a_study_is_made_once_and_gone_on_with_on_request(tmp_path: Path) -> None:
    url = str(tmp_path / "journal.log")
    study = tiny_study(tmp_path)
    board = board_of(study, tmp_path)
    with pytest.raises(RunError, match=r"study tiny: is in the storage already; go on with it by --resume"):
        create(open_storage(url), board.contract, resume=False)
    again = create(open_storage(url), board.contract, resume=True)
    assert len(again.items()) == 2 * 3 + 2 * 2
    other = contract(tiny_study(tmp_path, "trials=9", "arms.b.train.batch=3"), "torch", "cpu", tmp_path)
    with pytest.raises(RunError, match=r"study tiny: the one in the storage differs in trials, .*arm b"):
        create(open_storage(url), other, resume=True)
    with pytest.raises(RunError, match=r"study tinny: is not in the storage, which holds tiny"):
        join(open_storage(url), "tinny")


def test_what_workers_agree_on_is_what_was_written(tmp_path: Path) -> None:
    search = (
        "search={train.batch: [1, 2], model.defaults.ffn: [{kind: swiglu, width: 8}], train.clip: {log: [0.1, 1.0]}}"
    )
    board = board_of(tiny_study(tmp_path, search, "prune={first: 1}", "constraints=['params <= 9']"), tmp_path)
    joined = join(open_storage(str(tmp_path / "journal.log")), "tiny")
    assert joined is not None
    assert joined.contract == board.contract


def test_a_storage_that_cannot_be_used_is_told_without_its_password() -> None:
    with pytest.raises(RunError, match="no storage that Optuna knows"):
        open_storage("nonsense://x")
    assert shown("postgresql+psycopg://me:secret@host/db") == "postgresql+psycopg://me@host/db"
    assert shown("runs/kernel/journal.log") == "runs/kernel/journal.log"


def test_workers_compile_where_the_study_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = str(tmp_path / "journal.log")
    agreed = contract(tiny_study(tmp_path, "trials=1", "seeds=1"), "torch", "cpu", tmp_path, optimize=True)
    create(open_storage(url), agreed, resume=False)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(BackendError, match="no-such-compiler"):
        work_on("tiny", url, folder=tmp_path)
