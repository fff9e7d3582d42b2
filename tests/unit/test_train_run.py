"""A run on disk: its files, what it refuses, early stopping, divergence, signals."""

import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrmsearch.errors import DataError, DivergedError, RunError
from hrmsearch.ir.checkpoint import read_arrays, write_arrays
from hrmsearch.lowering import lower
from hrmsearch.spec.load import load
from hrmsearch.train import EpochDone, Interrupted, RunOptions, SeedStarted, Silent, Step, compile_for, run
from hrmsearch.train.checkpoint import Origin
from hrmsearch.train.checkpoint import load as load_checkpoint
from hrmsearch.train.job import spec_hash
from tests.training import Heard, Stopping, outcome, tiny, train

pytest.importorskip("torch")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def strict(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Return the folder of a run that was broken off after its third step, with a checkpoint after every batch."""
    with pytest.raises(KeyboardInterrupt):
        train(tiny("train.checkpoint=0"), tmp_path, Stopping(4))
    return tmp_path / "tiny" / "seed-0"


# -- files -----------------------------------------------------------------------------------------------------------


def test_a_run_leaves_the_files_that_describe_it_and_no_checkpoint(tmp_path: Path) -> None:
    result = train(tiny("model.dim=8"), tmp_path)
    names = {"graph.ir", "manifest.json", "metrics.jsonl", "model.py", "model.safetensors", "spec.resolved.yaml"}
    assert {path.name for path in result.run_dir.iterdir()} == names | {"spec.yaml"}
    assert (result.run_dir / "spec.yaml").read_text().endswith("\n# --set model.dim=8\n")
    assert spec_hash(load(result.run_dir / "spec.resolved.yaml")) == result.identity.spec


def test_a_manifest_says_what_ran_where_and_on_what(tmp_path: Path) -> None:
    result = run(tiny("model.dim=8"), RunOptions(out=tmp_path, command=("hrmsearch", "run")), Silent())[0]
    manifest = json.loads((result.run_dir / "manifest.json").read_text(), parse_constant=strict)
    assert manifest["status"] == "finished"
    assert manifest["overrides"] == ["model.dim=8"]
    assert manifest["command"] == ["hrmsearch", "run"]
    assert manifest["data"]["corpus"] == "pydoc"
    assert manifest["versions"].keys() >= {"hrmsearch", "python", "numpy", "torch"}
    assert manifest["threads"] >= 1
    assert manifest["params"] == manifest["budget"]["params"] == result.params
    assert manifest["budget"]["flops_per_token"] > 0
    assert [control["name"] for control in manifest["controls"]][:2] == ["unigram", "bigram"]
    assert manifest["metrics"] == result.metrics


def test_metrics_are_a_strict_json_object_a_line_for_every_split_epoch_and_pass(tmp_path: Path) -> None:
    result = train(tiny(), tmp_path)
    text = (result.run_dir / "metrics.jsonl").read_text()
    lines = [json.loads(line, parse_constant=strict) for line in text.splitlines()]
    seen = [(line["split"], line["epoch"], line["pass"]) for line in lines]
    expected = [(split, epoch, number) for epoch in (1, 2) for split in ("train", "valid") for number in (1, 2)]
    assert seen == [*expected, ("test", result.best_epoch, 1), ("test", result.best_epoch, 2)]
    for line in lines:
        assert list(line)[:7] == ["step", "epoch", "pass", "split", "loss", "ppl", "bpc"]
        assert line["ppl"] == pytest.approx(math.exp(line["loss"]))
        assert set(line) - set(list(line)[:7]) == (
            {"lr", "grad_norm", "seconds"} if line["split"] == "train" else set()
        )


def test_telemetry_that_a_spec_asks_for_stands_beside_every_score_and_changes_none(tmp_path: Path) -> None:
    plain = train(tiny(), tmp_path / "plain")
    told = train(tiny("model.core.telemetry=[energy, ponder]"), tmp_path / "told")
    names = {"telemetry.core.energy_L", "telemetry.core.energy_H", "telemetry.core.ponder"}
    for one, other in zip(plain.test, told.test, strict=True):
        assert (one.loss, one.metrics, dict(one.telemetry)) == (other.loss, other.metrics, {})
        assert other.telemetry.keys() == names
        assert other.telemetry["telemetry.core.ponder"] == 2.0
    lines = [json.loads(line) for line in (told.run_dir / "metrics.jsonl").read_text().splitlines()]
    assert all((names <= line.keys()) == (line["split"] != "train") for line in lines)


def test_the_source_that_is_written_is_the_source_that_ran(tmp_path: Path) -> None:
    spec = tiny()
    result = train(spec, tmp_path)
    executable = compile_for(spec, lower(spec), RunOptions())
    assert (result.run_dir / "model.py").read_text() == getattr(executable, "source")  # noqa: B009


def test_the_corpus_is_the_first_thing_told_and_every_step_is_told(tmp_path: Path) -> None:
    heard = Heard()
    train(tiny(), tmp_path, heard)
    assert heard.texts[0].startswith("corpus pydoc")
    started = heard.events[0]
    assert isinstance(started, SeedStarted)
    assert (started.step, started.epochs, started.batches, started.steps) == (0, 2, 5, 20)
    assert [step.step for step in heard.steps()] == list(range(1, 21))
    assert {step.total for step in heard.steps()} == {20}


def test_two_runs_of_a_seed_are_the_same_and_two_seeds_are_not(tmp_path: Path) -> None:
    first, second = (train(tiny("model.defaults.dropout=0.1"), tmp_path / name) for name in "ab")
    assert outcome(first.run_dir) == outcome(second.run_dir)
    other = train(tiny("model.defaults.dropout=0.1", "seeds=[1]"), tmp_path)
    assert other.metrics != first.metrics


# -- what is chosen, and by what -------------------------------------------------------------------------------------


def test_the_best_epoch_is_the_one_with_the_lowest_last_pass_on_valid(tmp_path: Path) -> None:
    heard = Heard()
    result = train(tiny("train.epochs=6", "train.optimizer.lr=0.05"), tmp_path, heard)
    losses = [event.valid[-1].loss for event in heard.epochs()]
    assert result.best_epoch == 1 + int(np.argmin(losses))
    assert result.valid == tuple(heard.epochs()[result.best_epoch - 1].valid)
    assert [event.best for event in heard.epochs()] == [v < min(losses[:i], default=9e9) for i, v in enumerate(losses)]


def test_patience_counts_epochs_without_a_better_one(tmp_path: Path) -> None:
    heard = Heard()
    result = train(tiny("train.epochs=40", "train.optimizer.lr=0.3", "train.patience=2"), tmp_path, heard)
    assert result.epochs == result.best_epoch + 2 < 40
    assert heard.texts[-1] == f"seed 0 stopped early after {result.epochs}, best {result.best_epoch}"


@settings(max_examples=5)
@given(epochs=st.integers(1, 5), interval=st.integers(1, 6))
def test_validation_between_epochs_changes_nothing_but_what_is_known(epochs: int, interval: int) -> None:
    with TemporaryDirectory() as folder:
        often, seldom = Heard(), Heard()
        train(tiny(f"train.epochs={epochs}"), Path(folder) / "often", often)
        found = train(tiny(f"train.epochs={epochs}", f"train.eval_interval={interval}"), Path(folder) / "some", seldom)
    at = [epoch for epoch in range(1, epochs + 1) if epoch % interval == 0 or epoch == epochs]
    assert [event.epoch for event in seldom.epochs() if event.valid] == at
    assert [event.train for event in seldom.epochs()] == [event.train for event in often.epochs()]
    assert all(event.valid in ((), other.valid) for event, other in zip(seldom.epochs(), often.epochs(), strict=True))
    assert found.best_epoch in at


def test_patience_runs_out_after_a_validation(tmp_path: Path) -> None:
    changes = ("train.epochs=40", "train.optimizer.lr=0.3", "train.patience=2", "train.eval_interval=3")
    result = train(tiny(*changes), tmp_path)
    assert result.epochs % 3 == 0
    assert result.best_epoch + 2 <= result.epochs < 40


def test_the_average_is_what_is_scored_and_kept(tmp_path: Path) -> None:
    class Stop(Silent):
        def epoch(self, event: EpochDone) -> None:
            raise KeyboardInterrupt

    spec = tiny("train.ema=0.9")
    with pytest.raises(KeyboardInterrupt):
        train(spec, tmp_path, Stop())
    folder = tmp_path / "tiny" / "seed-0"
    kept = load_checkpoint(folder / "checkpoint.safetensors", origin_of(folder))
    executable = compile_for(spec, lower(spec), RunOptions())
    executable.restore(kept.snapshot)
    averaged, weights = executable.averaged(), read_arrays(folder / "model.safetensors")
    assert all(np.array_equal(weights[path], array) for path, array in averaged.items())
    assert any(not np.array_equal(weights[path], array) for path, array in executable.params.items())


def origin_of(folder: Path) -> Origin:
    manifest = json.loads((folder / "manifest.json").read_text())
    return Origin(manifest["spec_hash"], manifest["data"]["sha256"], manifest["seed"], manifest["backend"])


# -- folders ---------------------------------------------------------------------------------------------------------


def test_a_folder_that_is_used_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    folder = train(tiny(), tmp_path).run_dir
    before = contents(folder)
    with pytest.raises(RunError, match=r"seed-0: exists.*--resume"):
        train(tiny(), tmp_path)
    assert contents(folder) == before


def test_no_seed_is_trained_where_a_later_one_has_no_place(tmp_path: Path) -> None:
    taken = tmp_path / "tiny" / "seed-1"
    taken.mkdir(parents=True)
    (taken / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"seed-1: exists"):
        train(tiny("seeds=[0, 1]"), tmp_path)
    assert not (tmp_path / "tiny" / "seed-0").exists()
    with pytest.raises(RunError, match=r"seed-1: is no run's folder, it holds notes\.txt"):
        train(tiny("seeds=[0, 1]"), tmp_path, resume=True)
    assert contents(tmp_path) == {str(taken / "notes.txt"): b"mine"}


def test_an_empty_folder_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "tiny" / "seed-0").mkdir(parents=True)
    assert train(tiny(), tmp_path).epochs == 2


def test_an_output_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(RunError, match=r"cannot be made \(Not a directory\)"):
        train(tiny(), file / "runs")


def test_resuming_where_there_is_nothing_starts_afresh_and_says_so(tmp_path: Path) -> None:
    heard = Heard()
    result = train(tiny(), tmp_path / "a", heard, resume=True)
    assert "nothing to resume; it starts afresh" in heard.texts[1]
    assert outcome(result.run_dir) == outcome(train(tiny(), tmp_path / "b").run_dir)


def test_resuming_a_finished_run_reports_it(tmp_path: Path) -> None:
    first = train(tiny(), tmp_path)
    before, heard = contents(first.run_dir), Heard()
    assert train(tiny(), tmp_path, heard, resume=True) == first
    assert contents(first.run_dir) == before
    assert heard.steps() == []


def test_more_seeds_can_be_added_to_a_finished_run(tmp_path: Path) -> None:
    first = train(tiny(), tmp_path)
    both = run(tiny("seeds=[0, 1]"), RunOptions(out=tmp_path, resume=True), Silent())
    assert both[0] == first
    assert [result.seed for result in both] == [0, 1]


# -- checkpoints -----------------------------------------------------------------------------------------------------


def test_a_checkpoint_of_another_spec_is_refused(broken: Path) -> None:
    before = contents(broken)
    with pytest.raises(RunError, match=r"seed-0: a run of another spec"):
        train(tiny("train.optimizer.lr=0.5"), broken.parent.parent, resume=True)
    assert contents(broken) == before
    (broken / "manifest.json").unlink()
    with pytest.raises(RunError, match=r"checkpoint\.safetensors: a checkpoint of another spec"):
        train(tiny("train.optimizer.lr=0.5"), broken.parent.parent, resume=True)


@pytest.mark.parametrize(
    ("optimize", "kernels", "asked", "words"),
    [
        (False, True, RunOptions(kernels=False), "without --no-kernels"),
        (False, None, RunOptions(kernels=False), "without --no-kernels"),
        (False, True, RunOptions(optimize=True), "without --optimize"),
        (True, False, RunOptions(), "with --optimize and with --no-kernels"),
    ],
)
def test_an_unfinished_run_goes_on_only_as_it_began(
    broken: Path, optimize: bool, kernels: bool | None, asked: RunOptions, words: str
) -> None:
    told = json.loads((broken / "manifest.json").read_text())
    del told["kernels"]
    told |= {"optimize": optimize} | ({} if kernels is None else {"kernels": kernels})
    (broken / "manifest.json").write_text(json.dumps(told))
    before = contents(broken)
    with pytest.raises(
        RunError, match=rf"manifest\.json: the run began {words}; go on with the same, or begin another"
    ):
        run(tiny(), replace(asked, out=broken.parent.parent, resume=True), Silent())
    assert contents(broken) == before


def test_a_run_of_a_version_without_kernels_goes_on_with_the_default(broken: Path) -> None:
    told = json.loads((broken / "manifest.json").read_text())
    del told["kernels"]
    (broken / "manifest.json").write_text(json.dumps(told))
    assert train(tiny("train.checkpoint=0"), broken.parent.parent, resume=True).epochs == 2


def test_a_checkpoint_on_other_data_is_refused(broken: Path) -> None:
    manifest = json.loads((broken / "manifest.json").read_text())
    manifest["data"]["sha256"] = "0" * 64
    (broken / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="a run of other data"):
        train(tiny(), broken.parent.parent, resume=True)


@pytest.mark.parametrize("kept", [0, 7, 300, -1])
def test_a_truncated_checkpoint_is_refused(broken: Path, kept: int) -> None:
    path = broken / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RunError, match=r"checkpoint\.safetensors: truncated"):
        train(tiny(), broken.parent.parent, resume=True)


def test_a_foreign_checkpoint_is_refused(broken: Path) -> None:
    path = broken / "checkpoint.safetensors"
    write_arrays(path, {"x": np.zeros(3)})
    with pytest.raises(RunError, match="is no checkpoint of a run"):
        train(tiny(), broken.parent.parent, resume=True)
    write_arrays(path, {"json": np.frombuffer(b'{"format": "other"}', np.uint8)})
    with pytest.raises(RunError, match="another version"):
        train(tiny(), broken.parent.parent, resume=True)
    write_arrays(path, {"json": np.frombuffer(b"\xff{", np.uint8)})
    with pytest.raises(RunError, match="broken checkpoint"):
        train(tiny(), broken.parent.parent, resume=True)


def test_metrics_that_lost_confirmed_lines_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tiny("train.checkpoint=0"), tmp_path, Stopping(14))
    folder = tmp_path / "tiny" / "seed-0"
    (folder / "metrics.jsonl").write_text("")
    with pytest.raises(RunError, match=r"metrics\.jsonl: truncated"):
        train(tiny(), tmp_path, resume=True)


def test_lines_that_no_checkpoint_confirmed_are_cut_off(broken: Path) -> None:
    with open(broken / "metrics.jsonl", "a") as stream:
        stream.write('{"half a li')
    resumed = train(tiny(), broken.parent.parent, resume=True)
    assert outcome(resumed.run_dir) == outcome(train(tiny(), broken.parent).run_dir)


# -- stopping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_that_can_go_on(tmp_path: Path, number: signal.Signals) -> None:
    class Signalling(Silent):
        def step(self, event: Step) -> None:
            if event.step == 5:
                os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=r"stopped after step 6; .* can go on: .* --resume") as caught:
        train(tiny(), tmp_path / "a", Signalling())
    assert caught.value.signal == number
    assert signal.getsignal(number) is before
    resumed = train(tiny(), tmp_path / "a", resume=True)
    assert outcome(resumed.run_dir) == outcome(train(tiny(), tmp_path / "b").run_dir)


@pytest.mark.parametrize(("epoch", "checkpoints"), [(1, [0, 10]), (2, [0, 20]), (3, [0, 20, 30])])
def test_a_signal_between_epochs_finds_or_writes_a_checkpoint_of_that_step(
    tmp_path: Path, epoch: int, checkpoints: list[int]
) -> None:
    class Signalling(Silent):
        def __init__(self) -> None:
            self.steps: list[int] = []

        def epoch(self, event: EpochDone) -> None:
            if event.epoch == epoch:
                os.kill(os.getpid(), signal.SIGINT)

        def checkpoint(self, path: Path, step: int) -> None:
            self.steps.append(step)

    spec, heard = tiny("train.epochs=4", "train.eval_interval=2"), Signalling()
    with pytest.raises(Interrupted, match=f"stopped after step {10 * epoch};"):
        train(spec, tmp_path / "a", heard)
    assert heard.steps == checkpoints
    resumed = train(spec, tmp_path / "a", resume=True)
    assert outcome(resumed.run_dir) == outcome(train(spec, tmp_path / "b").run_dir)


def test_a_loss_that_runs_away_stops_a_run_with_its_place_and_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(
        DivergedError, match=r"step \d+ \(epoch 1, pass [12]\): the loss is .*train\.diverged"
    ) as caught:
        train(tiny("train.optimizer.lr=5.0", "train.diverged=1.5", "train.checkpoint=0"), tmp_path)
    path = tmp_path / "tiny" / "seed-0" / "checkpoint.safetensors"
    assert f"the last good checkpoint is {path} (step " in str(caught.value)
    assert path.exists()


def test_a_loss_that_is_not_a_number_stops_a_run(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"the (loss|gradient's norm) is (nan|inf)"):
        train(tiny("train.optimizer.lr=1e30", "train.diverged=1e300"), tmp_path)


def test_a_run_that_diverged_says_so_in_its_manifest(tmp_path: Path) -> None:
    with pytest.raises(DivergedError):
        train(tiny("train.optimizer.lr=1e30", "train.diverged=1e300"), tmp_path)
    manifest = json.loads((tmp_path / "tiny" / "seed-0" / "manifest.json").read_text())
    assert manifest["status"] == "diverged"
    assert "metrics" not in manifest


def test_a_batch_larger_than_the_text_is_an_error_of_the_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="fewer than the 64 rows"):
        train(tiny("train.batch=64"), tmp_path)
