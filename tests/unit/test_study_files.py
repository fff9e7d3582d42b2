"""Study files: what they may say, and how an error points at the line that is wrong."""

from pathlib import Path

import pytest

from hrmsearch.errors import SpecError
from hrmsearch.study.load import load_study
from tests.studying import STUDY, tiny_study, write_arms


def test_every_arm_is_loaded_with_what_the_study_sets(tmp_path: Path) -> None:
    study = tiny_study(tmp_path, "train.epochs=7", "arms.b.train.batch=2")
    specs = {name: arm.spec() for name, arm in study.arms.items()}
    assert {name: (spec.name, spec.train.epochs, spec.train.batch) for name, spec in specs.items()} == {
        "a": ("a", 7, 4),
        "b": ("b", 7, 2),
    }


def test_an_override_of_the_study_itself_needs_no_prefix(tmp_path: Path) -> None:
    assert tiny_study(tmp_path, "trials=9").file.trials == 9


def test_arms_are_found_beside_the_file_and_among_the_shipped_ones(tmp_path: Path) -> None:
    write_arms(tmp_path)
    (tmp_path / "study.yaml").write_text(STUDY)
    assert load_study(tmp_path / "study.yaml").arms["a"].spec().model.dim == 4
    study = tiny_study(tmp_path, "arms={x: hl_kernel, y: slstm}", "control=x")
    assert study.arms["x"].spec().model.dim == 64


def test_a_path_may_be_searched_in_one_arm_only(tmp_path: Path) -> None:
    study = tiny_study(tmp_path, "search={arms.b.model.dim: [4, 8], train.batch: {int: [2, 4]}}")
    assert {name: list(arm.space) for name, arm in study.arms.items()} == {
        "a": ["train.batch"],
        "b": ["model.dim", "train.batch"],
    }


def test_an_error_names_file_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        tiny_study(tmp_path, text=STUDY.replace("train.optimizer.lr:", "train.optimizer.lrr:"))
    first = str(caught.value).splitlines()[:3]
    assert first == [
        f"{tmp_path}/study.yaml:5:3: search['train.optimizer.lrr']: arm a (train.optimizer.lrr=0.0001): unknown key; "
        "did you mean 'lr'?",
        "    5 |   train.optimizer.lrr: {log: [1.0e-4, 1.0e-1]}",
        "      |   ^",
    ]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("trails=3", "unknown key; did you mean 'trials'?"),
        ("control=aa", "there is no arm 'aa'; did you mean 'a'?"),
        ("arms.c=hrn", "did you mean 'hrm', which is shipped?"),
        ("objectives={test.bpc: min}", "test reports and chooses nothing; use valid"),
        ("objectives={valid.bpt: min}", "no such objective; there are valid.loss"),
        ("objectives={valid.bpc: max}", "valid.bpc is better the other way: min"),
        ("objectives={valid.accuracy: max}", "char_lm has no such metric; there are loss, ppl, bpc"),
        ("objectives={valid.bpc: min, valid.exact: max}", "char_lm has no such metric; there are loss, ppl, bpc"),
        ("objectives={params: min, valid.bpc: min}", "the first objective chooses the finalists"),
        ("constraints=['parms <= 10']", "did you mean 'params'?"),
        ("constraints=['params < 10']", "a constraint is written like 'params <= 200000'"),
        ("seeds=[1, 1]", "finalists need seeds that differ"),
        ("seeds=[0, 1]", "seed 0 is that of the search"),
        ("search={train.batch: {int: [4, 2]}}", "the first end must be less than the second"),
        ("search={train.batch: {int: [2, 4], log: [1.0, 2.0]}}", "give exactly one of log, uniform, int, log_int"),
        ("search={train.batch: {int: [2, 9], step: 2}}", "a step divides a range of 'int' from end to end"),
        ("search={train.batch: []}", "an empty list leaves nothing to choose"),
        ("search={train.batch: [1, 1.0]}", "the choice 1.0 occurs twice"),
        ("search={train.batch: {int: [0, 2]}}", "expected more than 0, got 0"),
        ("search={arms.d.train.batch: [1]}", "there is no arm 'd'"),
        ("search={seeds: [[1]]}", "seeds is the study's own"),
        ("match={params: 300, by: [train.optimizer.lr]}", "a path is matched or searched, not both"),
        ("match={params: 300, by: [model.dmi]}", "no arm can be matched by model.dmi: a: unknown key"),
        ("match={by: [model.dim]}", "give exactly one of params, flops_per_token, state_bytes"),
        ("match={params: 300, within: 200%, by: [model.dim]}", "expected less than 1"),
        ("train.epochz=3", "arm a: train.epochz: unknown key; did you mean 'epochs'?"),
        ("controls=[memory]", "no arm has a memory"),
        ("controls=[transformer]", "a transformer of equal size needs a budget"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, override: str, says: str) -> None:
    with pytest.raises(SpecError, match=r"--set .*:1:\d+: ") as caught:
        tiny_study(tmp_path, override)
    assert says in str(caught.value)


def test_arms_on_other_targets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"study.yaml:2:22: arms.b: arm b and the control a differ in task.window"):
        tiny_study(tmp_path, "arms.b.task.window=5")
    assert tiny_study(tmp_path, "task.window=5", "arms.b.task.loader=contiguous").arms["b"].spec().task.window == 5


def test_a_shipped_study_is_found_by_name_and_a_misspelt_one_is_answered(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no shipped study has this name"):
        load_study("kernle")


def test_controls_take_away_what_an_arm_has(tmp_path: Path) -> None:
    shipped = "arms={hrm: hrm, infini: infini_hrm}"
    controls = "controls=[passes, cycles, memory, transformer]"
    match = "match={params: 150000, by: [model.dim]}"
    study = tiny_study(tmp_path, shipped, "control=hrm", controls, match, "arms.hrm.model.core.cycles=3")
    specs = {name: arm.spec() for name, arm in study.arms.items()}
    assert list(specs) == [
        "hrm",
        "infini",
        "hrm_one_pass",
        "infini_one_pass",
        "hrm_one_cycle",
        "infini_no_memory",
        "transformer",
    ]
    assert specs["hrm_one_pass"].nest.passes == 1
    assert specs["hrm_one_cycle"].model.core.cycles == 1
    assert specs["infini_no_memory"].model.memory == ()
    assert specs["transformer"].task == specs["hrm"].task
    assert study.arms["infini_no_memory"].controls == "infini"
    assert study.arms["transformer"].by == ("model.dim", "model.defaults.ffn.width")
