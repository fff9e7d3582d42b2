"""Runs read back: evaluation, sampling, reproduction."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hrmsearch.errors import DataError, RunError
from hrmsearch.ir import Lifetime
from hrmsearch.runtime import Array, Pass
from hrmsearch.tasks.char_lm import TextData
from hrmsearch.train import LoadedRun, SeedResult, evaluate, load_run, reproduce, sample
from tests.training import Stopping, tiny, train

pytest.importorskip("torch")

WINDOW = 6


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> SeedResult:
    """Return a run whose memory lives through a stream."""
    return train(tiny("train.optimizer.lr=0.05"), tmp_path_factory.mktemp("stream"))


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> SeedResult:
    """Return a run whose windows know nothing of each other."""
    changes = ("model.memory=[]", "task.loader=shuffled", "train.optimizer.lr=0.05")
    return train(tiny(*changes), tmp_path_factory.mktemp("windows"))


# -- loading and evaluation ------------------------------------------------------------------------------------------


def test_a_loaded_run_scores_what_it_scored_in_training(stream: SeedResult, windows: SeedResult) -> None:
    for result in (stream, windows):
        loaded = load_run(result.run_dir)
        assert evaluate(loaded, "valid").scores == result.valid
        assert evaluate(loaded, "test").scores == result.test
        assert loaded.metrics[-1]["split"] == "test"


def test_more_passes_score_the_same_first_ones(windows: SeedResult) -> None:
    more = evaluate(load_run(windows.run_dir), "valid", passes=4)
    assert [score.number for score in more.scores] == [1, 2, 3, 4]
    assert more.scores[:2] == windows.valid


def test_targets_are_the_same_for_every_loader_and_batch(stream: SeedResult, windows: SeedResult) -> None:
    found = [evaluate(load_run(stream.run_dir), "test"), evaluate(load_run(windows.run_dir), "test")]
    found += [evaluate(load_run(windows.run_dir), "test", batch=batch) for batch in (1, 2, 5, 100)]
    assert {one.targets for one in found} == {36}
    losses = [one.scores[-1].loss for one in found[1:]]
    assert losses == pytest.approx([losses[0]] * len(losses), rel=1e-6)


def test_another_corpus_is_told_and_has_its_own_controls(windows: SeedResult, tmp_path: Path) -> None:
    text = tmp_path / "other.txt"
    text.write_text("a different text, of all sorts of things " * 10)
    found = evaluate(load_run(windows.run_dir), "test", corpus=str(text))
    assert found.identity.corpus == str(text)
    assert found.identity.data != windows.identity.data
    assert found.controls[0].metrics["test"] != windows.controls[0].metrics["test"]


def test_what_cannot_be_evaluated_is_an_error_of_the_data(windows: SeedResult) -> None:
    loaded = load_run(windows.run_dir)
    with pytest.raises(DataError, match="no split 'dev'; there are train, valid, test"):
        evaluate(loaded, "dev")
    with pytest.raises(DataError, match="0 passes"):
        evaluate(loaded, passes=0)
    with pytest.raises(DataError, match=r"^corpus: unknown corpus 'wikitxt'; [^\n]*$"):
        evaluate(loaded, corpus="wikitxt")


def test_a_run_without_an_epoch_has_nothing_to_load(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), tmp_path, Stopping(3))
    with pytest.raises(RunError, match="once its last phase was validated"):
        load_run(tmp_path / "tiny" / "seed-0")
    with pytest.raises(RunError, match="no such manifest"):
        load_run(tmp_path)


def test_files_that_do_not_belong_together_are_refused(stream: SeedResult, tmp_path: Path) -> None:
    copy = shutil.copytree(stream.run_dir, tmp_path / "copy")
    resolved = copy / "spec.resolved.yaml"
    resolved.write_text(resolved.read_text().replace("passes: 2", "passes: 3"))
    with pytest.raises(RunError, match="is not the spec that"):
        load_run(copy)


# -- samples ---------------------------------------------------------------------------------------------------------


def text_of(run: LoadedRun) -> TextData:
    assert isinstance(run.data, TextData)
    return run.data


def likeliest(run: LoadedRun, prompt: str) -> str:
    return "".join(sample(run, prompt, 1, temperature=0))


def logits_after(run: LoadedRun, windows: list[Array], keep: bool) -> Array:
    """Send windows through the model as training does; return the last logits."""
    carry, logits = run.executable.init_carry(1, WINDOW), np.zeros(0)
    for i, tokens in enumerate(windows):
        arrays = run.executable.carry_to_numpy(carry)
        carry = run.executable.init_carry(1, tokens.shape[1])
        if keep and i:
            memory = {path: array for path, array in arrays.items() if path.startswith("memory")}
            carry = run.executable.carry_from_numpy(run.executable.carry_to_numpy(carry) | memory)
        for number in (1, 2):
            first = Lifetime.WINDOW if keep and i else Lifetime.STREAM
            call = Pass({"tokens": tokens}, int(first if number == 1 else Lifetime.PASS), number == 2)
            outputs, carry = run.executable.forward(call, carry)
            logits = outputs["logits"][0, -1]
    return logits


@pytest.mark.parametrize("length", [1, 5, 6, 7, 12, 15])
def test_a_stream_is_read_window_by_window_with_its_memory(stream: SeedResult, length: int) -> None:
    run, text = load_run(stream.run_dir), "def f(x): pass "[:length]
    ids, _ = text_of(run).encode(text)
    pieces = [ids[i : i + WINDOW][None] for i in range(0, length, WINDOW)]
    best = int(np.argmax(logits_after(run, pieces, keep=True)))
    assert likeliest(run, text) == text_of(run).decode(np.array([best]))


@pytest.mark.parametrize("length", [1, 5, 6, 7, 12])
def test_windows_without_memory_see_the_last_window(windows: SeedResult, length: int) -> None:
    run, text = load_run(windows.run_dir), "def f(x): pass "[:length]
    ids, _ = text_of(run).encode(text)
    best = int(np.argmax(logits_after(run, [ids[-WINDOW:][None]], keep=False)))
    assert likeliest(run, text) == text_of(run).decode(np.array([best]))


def test_a_sample_depends_on_its_seed_and_has_the_length_that_was_asked(stream: SeedResult) -> None:
    run = load_run(stream.run_dir)
    texts = ["".join(sample(run, "The", 20, seed=seed)) for seed in (0, 0, 1)]
    assert [len(text) for text in texts] == [20, 20, 20]
    assert texts[0] == texts[1] != texts[2]
    assert len("".join(sample(run, "", 3))) == 3
    assert list(sample(run, "x", 0)) == []


def test_a_longer_sample_begins_with_the_shorter_one(stream: SeedResult) -> None:
    run = load_run(stream.run_dir)
    long = "".join(sample(run, "The", 20, seed=3))
    assert long.startswith("".join(sample(run, "The", 9, seed=3)))


def test_impossible_samples_are_refused_before_anything_is_drawn(stream: SeedResult) -> None:
    run = load_run(stream.run_dir)
    with pytest.raises(DataError, match="-1 symbols cannot be drawn; use at least 0"):
        sample(run, "x", -1)
    for temperature in (-1.0, float("nan"), float("inf")):
        with pytest.raises(DataError, match=f"temperature is {temperature}; it must be finite and not below 0"):
            sample(run, "x", 1, temperature)


def test_bytes_come_out_as_whole_characters(tmp_path: Path) -> None:
    text = tmp_path / "euro.txt"
    text.write_text("€" * 200, encoding="utf-8")
    changes = (f"task.corpus={text}", "task.alphabet=bytes", "train.epochs=30", "train.optimizer.lr=0.03")
    run = load_run(train(tiny(*changes), tmp_path).run_dir)
    pieces = list(sample(run, "€€€", 7, temperature=0))
    assert pieces == ["€", "€", "\N{REPLACEMENT CHARACTER}"]


# -- reproduction ----------------------------------------------------------------------------------------------------


def test_a_manifest_alone_is_reproduced_bit_for_bit(stream: SeedResult, tmp_path: Path) -> None:
    alone = tmp_path / "manifest.json"
    alone.write_bytes((stream.run_dir / "manifest.json").read_bytes())
    comparison = reproduce(alone)
    assert comparison.exact
    assert comparison.matches
    assert str(comparison) == "reproduced bit for bit, in the same environment"


@pytest.mark.parametrize(
    ("factor", "numpy", "matches"), [(1.001, None, False), (1.001, "1.0", True), (1.1, "1.0", False)]
)
def test_a_difference_is_allowed_only_where_the_environment_differs(
    stream: SeedResult, tmp_path: Path, factor: float, numpy: str | None, matches: bool
) -> None:
    manifest = json.loads((stream.run_dir / "manifest.json").read_text())
    manifest["metrics"]["valid"][-1]["loss"] *= factor
    if numpy:
        manifest["versions"]["numpy"] = numpy
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))
    comparison = reproduce(path)
    assert comparison.matches is matches
    assert comparison.largest == pytest.approx(1 - 1 / factor)


def test_an_unfinished_manifest_is_refused(stream: SeedResult, tmp_path: Path) -> None:
    manifest = json.loads((stream.run_dir / "manifest.json").read_text())
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**manifest, "status": "running"}))
    with pytest.raises(RunError, match="not finished"):
        reproduce(path)
