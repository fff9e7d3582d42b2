"""Weights in a file, such as published ones, are scored like a run of ours: by their spec, on its task."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import hrmsearch as hs
from hrmsearch.cli.app import app
from hrmsearch.spec.model import Spec
from hrmsearch.train import SeedResult, evaluate, load_run
from hrmsearch.train.scoring import HALTED, PASSES
from tests.training import train

pytest.importorskip("torch")

FEW = ("task.train_rows=16", "task.valid_rows=4", "task.test_rows=6", "train.batch=4", "train.epochs=1", "seeds=[0]")
TINY = ("model.dim=8", "model.defaults.ffn.width=8", "nest.passes=3", *FEW)
#: a q-head that halts some rows early
EAGER = ("model.q_head.bias=-12.0", "model.q_head.init={normal: 3.0}")
HRM = ("model.core.share=false", "model.core.gradient=last_tick", "model.q_head.outputs=[halt, continue]")
BOOTSTRAP = "nest.halt.target=second_forward"


def cli(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def small(*overrides: str) -> Spec:
    return hs.load("sudoku4", [*TINY, *EAGER, *overrides])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SeedResult:
    return train(small(), tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("overrides", [(), (*HRM, BOOTSTRAP)], ids=["trm", "hrm"])
def test_what_a_run_learned_scores_the_same_after_a_journey_through_published_names(
    overrides: tuple[str, ...], tmp_path: Path
) -> None:
    run = train(small(*overrides), tmp_path)
    spec, published, ours = run.run_dir / "spec.resolved.yaml", tmp_path / "published", tmp_path / "ours.safetensors"
    for done in (
        cli("export-checkpoint", run.run_dir, "-o", published),
        cli("import-checkpoint", published, "--spec", spec, "-o", ours),
    ):
        assert done.exit_code == 0, done.output
    for split in ("valid", "test"):
        done = cli("eval", ours, "--spec", spec, "--split", split, "--json")
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert found["scores"] == run.metrics[split]
        assert (found["weights"], found["spec"]) == (str(ours), "sudoku4")
    of_run, of_file = cli("eval", run.run_dir), cli("eval", ours, "--spec", spec)
    assert of_run.stdout == of_file.stdout
    assert cli("show", ours, "--spec", spec).stdout == cli("show", run.run_dir).stdout


def test_rows_may_be_scored_as_they_halt_whatever_the_spec_says(run: SeedResult) -> None:
    loaded = load_run(run.run_dir)
    halting = evaluate(loaded, scored="halt").scores
    assert sum(score.telemetry[HALTED] for score in halting) == pytest.approx(1.0)
    assert 1 < halting[-1].telemetry[PASSES] < 3, "some rows halt early, or the test says nothing"
    assert evaluate(loaded, scored="max").scores == run.test
    set_so = cli("eval", run.run_dir / "model.safetensors", "--spec", run.run_dir / "spec.resolved.yaml",
                 "--set", "nest.halt.eval=halt", "--json")  # fmt: skip
    chosen = cli("eval", run.run_dir, "--scored", "halt", "--json")
    assert json.loads(set_so.stdout)["scores"] == json.loads(chosen.stdout)["scores"]
    assert json.loads(chosen.stdout)["scores"] == [score.record() for score in halting]
    table = cli("eval", run.run_dir, "--scored", "halt").stdout
    shares = [f"{100 * score.telemetry[HALTED]:.2f} %" for score in halting]
    rows = [line for line in table.splitlines() if line.startswith("pass ")]
    assert [row.endswith(share) for row, share in zip(rows, shares, strict=True)] == [True] * 3
    one = evaluate(loaded, passes=1, scored="halt").scores
    assert one[0].telemetry[HALTED] == 1.0, "after the last pass that there is nobody goes on"


def test_weights_of_another_model_are_refused_with_the_spec_that_was_named(run: SeedResult, tmp_path: Path) -> None:
    weights = run.run_dir / "model.safetensors"
    done = cli("eval", weights, "--spec", "sudoku4")
    assert done.exit_code == 2
    assert f"{weights}: embed.table has shape [6, 8], the graph wants [6, 64]" in done.stderr
    assert "sudoku4.yaml: name the spec that they are of" in done.stderr
    cli("export-checkpoint", run.run_dir, "-o", tmp_path / "published")
    done = cli("eval", tmp_path / "published", "--spec", run.run_dir / "spec.resolved.yaml")
    assert done.exit_code == 2
    assert "published: not of this graph: they lack" in done.stderr
    assert "`hrmsearch import-checkpoint` takes what HRM and TRM published" in done.stderr


def test_a_spec_that_leaks_is_not_scored(run: SeedResult) -> None:
    done = cli("eval", run.run_dir / "model.safetensors", "--spec", run.run_dir / "spec.resolved.yaml",
               "--set", "task=parity/small")  # fmt: skip
    assert done.exit_code == 1, "as of every command that found something unsound"
    assert "HS101" in done.stderr
    assert "not scored: mend the spec, or accept HS101 in it" in done.stderr


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("{weights}",), "is no folder of a run; weights need the --spec that they are of"),
        (("{run}", "--spec", "sudoku4"), "is a run, which has a spec"),
        (("{run}", "--set", "model.dim=8"), "--set changes the spec of a file of weights"),
        (("missing", "--spec", "sudoku4"), "missing: no such checkpoint"),
        (("{weights}", "--spec", "sudoku44"), "no shipped spec has this name; did you mean 'sudoku4'?"),
    ],
)
def test_what_says_no_model_or_two_is_refused(run: SeedResult, words: tuple[str, ...], error: str) -> None:
    filled = [word.format(run=run.run_dir, weights=run.run_dir / "model.safetensors") for word in words]
    for command in (["eval"], ["show"], ["sample", "--prompt", "x"]):
        done = cli(*command, *filled)
        assert done.exit_code == 2
        assert error in done.stderr


def test_rows_that_cannot_halt_are_not_scored_as_they_do(tmp_path: Path) -> None:
    spec = small("nest={passes: 2}", "model.q_head=none", "loss={kind: cross_entropy}")
    done = cli("eval", train(spec, tmp_path).run_dir, "--scored", "halt")
    assert done.exit_code == 2
    assert "rows do not halt one by one; sudoku4 has no nest.halt" in done.stderr
