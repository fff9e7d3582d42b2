"""`hrmsearch compare`: which runs it compares, which it refuses, and what it says."""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hrmsearch.cli.app import app

SEEDS = {0: 3.52, 1: 3.61, 2: 3.47, 3: 3.55, 4: 3.58}
BETTER = {0: 3.43, 1: 3.50, 2: 3.39, 3: 3.44, 4: 3.50}
ALIKE = {0: 3.53, 1: 3.60, 2: 3.49, 3: 3.53, 4: 3.60}
SPEC: dict[str, Any] = {"task": {"kind": "char_lm", "window": 64}, "train": {"epochs": 30}}
ACCEPTED: dict[str, Any] = {
    **{"code": "HS102", "name": "gradient", "severity": "error", "file": "a.yaml", "line": 1, "column": 1},
    **{"field": "model", "message": "stops", "path": [], "suggestion": "", "notes": [], "accepted": "as published"},
}


def manifest(name: str, seed: int, bpc: float | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's manifest, with what a comparison reads; without a score it diverged."""
    scores = [] if bpc is None else [{"pass": 1, "loss": bpc * math.log(2), "ppl": 2.0**bpc, "bpc": bpc}]
    control = {split: {"loss": 3.1, "ppl": 23.1, "bpc": 4.532} for split in ("valid", "test")}
    found: dict[str, Any] = {
        "format": "hrmsearch manifest 1",
        "status": "diverged" if bpc is None else "finished",
        "name": name,
        "seed": seed,
        "spec_hash": f"hash of {name}",
        "spec": SPEC,
        "command": ["hrmsearch", "run"],
        "data": {"corpus": "wikitext2", "sha256": "d0d0"},
        "params": 1000,
        "budget": {"params": 1000, "flops_per_token": 6000.0, "state_bytes": 2048, "activation_bytes": 4096},
        "backend": "torch",
        "device": "cpu",
        "precision": "float32",
        "optimize": False,
        "threads": 1,
        "versions": {"torch": "2.13.0"},
        "platform": {"system": "Linux", "machine": "x86_64", "cpus": 2},
        "diagnostics": [],
        "metrics": {"best_epoch": 3, "epochs": 5, "steps": 100, "valid": scores, "test": scores},
        "controls": [{"name": "unigram", "about": "", "metrics": control}],
        "seconds_per_epoch": 1.0,
    }
    return found | dict(changes)


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that writes the runs of an arm, and stand above them."""
    monkeypatch.chdir(tmp_path)

    def write(arm: str, values: Mapping[int, float | None], **changes: Any) -> str:
        for seed, bpc in values.items():
            folder = tmp_path / "runs" / arm / f"seed-{seed}"
            folder.mkdir(parents=True)
            (folder / "manifest.json").write_text(json.dumps(manifest(arm, seed, bpc, changes)))
        return f"runs/{arm}"

    return write


def compare(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["compare", *arguments])


def refused(*arguments: str) -> str:
    done = compare(*arguments)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    return done.stderr


def test_arms_are_compared_with_the_first_one(trained: Callable[..., str], golden: Callable[[str, str], None]) -> None:
    done = compare(trained("hrm", SEEDS), trained("hl", BETTER), trained("slstm", ALIKE))
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    golden("compare.txt", done.stdout)


def test_a_folder_above_runs_holds_an_arm_per_spec(trained: Callable[..., str]) -> None:
    arms = trained("hrm", SEEDS), trained("hl", BETTER)
    assert compare(*arms, "--control", "hl").stdout == compare("runs", "--control", "hl").stdout
    assert "hrm is worse than hl" in compare("runs", "--control", "hl").stdout


def test_trials_of_a_study_are_no_seeds_of_its_finalists(trained: Callable[..., str]) -> None:
    def results(place: str) -> str:
        return CliRunner().invoke(app, ["results", place]).stdout

    for arm, values in (("hrm", SEEDS), ("hl", BETTER)):
        trained(f"st/finalists/{arm}", values, name=arm, spec_hash=f"hash of {arm}")
        trained(f"st/trials/{arm}-0", {7: 9.0}, name=arm, spec_hash=f"hash of {arm}")
    # without a study beside it, `trials` is a folder as any other
    assert "6 paired seeds" in compare("runs", "--control", "hl").stdout
    Path("runs/st/study.yaml").write_text("study: st")
    for place in ("runs", "runs/st"):
        assert compare(place, "--control", "hl").stdout == compare("runs/st/finalists", "--control", "hl").stdout
        assert results(place) == results("runs/st/finalists")
    assert "only seed 7 is in every arm" in compare("runs/st/trials").stderr
    shutil.rmtree("runs/st/finalists")
    assert refused("runs/st") == "hrmsearch: runs/st: no run in it but trials of a study\n"


def test_manifests_that_were_copied_compare_too(trained: Callable[..., str]) -> None:
    arms = trained("hrm", SEEDS), trained("hl", BETTER)
    results = CliRunner().invoke(app, ["results", "runs", "-o", "kept/README.md", "--manifests"])
    assert results.exit_code == 0, results.output
    assert compare("kept/hrm", "kept/hl").stdout == compare(*arms).stdout


def test_json_holds_values_budgets_and_verdicts(trained: Callable[..., str]) -> None:
    done = compare(trained("hrm", SEEDS), trained("hl", BETTER), "--json", "--metric", "valid.bpc")
    found = json.loads(done.stdout)
    assert found["metric"] == {"split": "valid", "name": "bpc"}
    assert found["values"]["hl"] == list(BETTER.values())
    assert found["budgets"]["hl"] == {
        "params": 1000,
        "flops_per_token": 6000.0,
        "state_bytes": 2048,
        "activation_bytes": 4096,
    }
    assert [one["verdict"] for one in found["differences"]] == ["better"]
    assert found["controls"] == {"unigram": 4.532}
    assert found["warnings"] == [
        "valid chose each run's epoch, so it says what training found, not what to expect; compare on test"
    ]


def test_markdown_holds_the_same_and_replaces_nothing_unasked(trained: Callable[..., str]) -> None:
    arms = trained("hrm", SEEDS), trained("hl", BETTER, params=1100)
    done = compare(*arms, "-o", "README.md")
    assert done.exit_code == 0, done.output
    written = Path("README.md").read_text()
    assert "| hl | -0.094 |" in written
    assert "- hl is better than hrm: test bpc is 0.094 lower" in written
    assert "- warning: parameters are not matched; against hrm: hl +10.0 %" in written
    assert "README.md: exists already; --force replaces it" in refused(*arms, "-o", "README.md")


def test_seeds_are_paired_and_those_left_out_are_named(trained: Callable[..., str]) -> None:
    few = {seed: SEEDS[seed] for seed in (1, 2, 3)}
    done = compare(trained("hrm", few), trained("hl", BETTER))
    assert "3 paired seeds" in done.stdout
    assert done.stderr == "warning: hl: not in every arm and left out: seeds 0, 4\n"


def test_an_unfinished_seed_is_left_out_and_said(trained: Callable[..., str]) -> None:
    arms = trained("hrm", SEEDS), trained("hl", BETTER)
    path = Path("runs/hl/seed-4/manifest.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "running"}))
    done = compare(*arms)
    assert "warning: hl: not finished and left out: seed 4\n" in done.stderr
    assert "4 paired seeds" in done.stdout


def test_a_diverged_seed_leaves_its_arm_without_a_verdict(trained: Callable[..., str]) -> None:
    done = compare(trained("hrm", SEEDS), trained("hl", {**BETTER, 3: None}))
    assert done.exit_code == 0, done.output
    assert "1 diverged" in done.stdout
    assert "No verdict on hl against hrm: 1 of 5 seeds of hl diverged." in done.stdout


def test_one_common_seed_is_warned_of(trained: Callable[..., str]) -> None:
    done = compare(trained("hrm", {0: 3.5}), trained("hl", {0: 3.4}))
    assert done.stderr == "warning: only seed 0 is in every arm: one seed shows no difference\n"
    assert "No verdict on hl against hrm: one seed has no spread; test bpc is 0.10 lower." in done.stdout


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"params": 1021}, "parameters are not matched; against hrm: hl +2.1 %"),
        ({"precision": "bfloat16"}, "precision differs: hrm float32; hl bfloat16"),
        ({"device": "cuda"}, "device differs: hrm cpu; hl cuda"),
        ({"spec_hash": "hash of hrm"}, "hl and hrm are the same spec"),
        ({"diagnostics": [ACCEPTED]}, "trained in spite of diagnostics: hl HS102"),
        (
            {"spec": {**SPEC, "train": {"epochs": 40}}},
            "at most so many epochs were trained: hrm 30, hl 40",
        ),
    ],
    ids=["parameters", "precision", "device", "same spec", "accepted", "epochs"],
)
def test_what_differs_beside_the_arm_is_warned_of(
    trained: Callable[..., str], changes: dict[str, Any], warning: str
) -> None:
    done = compare(trained("hrm", SEEDS), trained("hl", BETTER, **changes))
    assert done.exit_code == 0, done.output
    assert done.stderr == f"warning: {warning}\n"


def test_parameters_within_two_percent_are_matched(trained: Callable[..., str]) -> None:
    assert compare(trained("hrm", SEEDS), trained("hl", BETTER, params=1020)).stderr == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"spec": {**SPEC, "task": {"kind": "parity", "window": 64}}},
            "hl has task parity, hrm in runs/hrm has char_lm",
        ),
        ({"data": {"corpus": "pydoc", "sha256": "d0d0"}}, "hl has corpus pydoc, hrm in runs/hrm has wikitext2"),
        ({"data": {"corpus": "wikitext2", "sha256": "e1e1"}}, "hl has data e1e1, hrm in runs/hrm has d0d0"),
        ({"spec": {**SPEC, "task": {"kind": "char_lm", "window": 32}}}, "hl has window 32, hrm in runs/hrm has 64"),
    ],
    ids=["task", "corpus", "data", "window"],
)
def test_arms_that_score_other_targets_are_refused(
    trained: Callable[..., str], changes: dict[str, Any], words: str
) -> None:
    error = refused(trained("hrm", SEEDS), trained("hl", BETTER, **changes))
    assert error == f"hrmsearch: runs/hl: {words}; only arms that are scored on the same targets compare\n"


def test_bad_input_is_refused_with_its_place(trained: Callable[..., str]) -> None:
    hrm, hl = trained("hrm", SEEDS), trained("hl", {7: 3.4})
    Path("empty").mkdir()
    Path("text.json").write_text("{}")
    assert refused("nowhere", hrm) == "hrmsearch: nowhere: no such folder or manifest\n"
    assert refused("empty", hrm) == "hrmsearch: empty: no run in it\n"
    assert refused("text.json", hrm).startswith("hrmsearch: text.json: no manifest of a run")
    assert refused(hrm) == "hrmsearch: runs/hrm: holds one arm, hrm; name the run to compare it with\n"
    assert refused(hrm, hrm).startswith("hrmsearch: runs/hrm/seed-0/manifest.json: is named twice")
    assert refused(hrm, hl) == (
        "hrmsearch: runs/hl: no seed is in every arm, and seeds are compared in pairs: "
        "hrm has seeds 0, 1, 2, 3, 4; hl has seed 7\n"
    )


def test_an_unknown_metric_or_control_is_answered_with_those_there_are(trained: Callable[..., str]) -> None:
    arms = trained("hrm", SEEDS), trained("hl", BETTER)
    assert refused(*arms, "--metric", "accuracy") == (
        "hrmsearch: --metric accuracy: not every run has test.accuracy; there are "
        "valid.ppl, valid.bpc, valid.loss, test.ppl, test.bpc, test.loss\n"
    )
    assert refused(*arms, "--control", "h") == "hrmsearch: --control h: is no arm; the arms are hrm, hl\n"


def test_a_manifest_without_what_a_comparison_asks_for_is_refused(trained: Callable[..., str]) -> None:
    hrm, hl = trained("hrm", SEEDS), trained("hl", BETTER)
    path = Path("runs/hl/seed-2/manifest.json")
    found = json.loads(path.read_text())
    del found["budget"]
    path.write_text(json.dumps(found))
    assert refused(hrm, hl) == "hrmsearch: runs/hl/seed-2/manifest.json: a broken manifest (budget: is missing)\n"


def test_a_seed_that_occurs_twice_in_an_arm_is_refused(trained: Callable[..., str]) -> None:
    hrm = trained("hrm", SEEDS)
    again = Path("runs/hrm/again/seed-0/manifest.json")
    again.parent.mkdir(parents=True)
    again.write_text(Path("runs/hrm/seed-0/manifest.json").read_text())
    assert "seed 0 of hrm is in runs/hrm/again/seed-0/manifest.json too; name one of them" in refused(hrm)


def test_nothing_but_unfinished_seeds_is_refused(trained: Callable[..., str]) -> None:
    assert refused(trained("hrm", SEEDS), trained("hl", BETTER, status="running")) == (
        "hrmsearch: runs/hl: no seed of hl is finished\n"
    )
    assert "every seed of every arm diverged" in refused(trained("a", {0: None}), trained("b", {0: None}))


def test_two_arms_of_one_name_are_told_apart_by_their_place(trained: Callable[..., str]) -> None:
    here, there = trained("hrm", SEEDS), trained("other", BETTER, name="hrm")
    found = json.loads(compare(here, there, "--json").stdout)
    assert list(found["values"]) == ["hrm (runs/hrm)", "hrm (runs/other)"]
