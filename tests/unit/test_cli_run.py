"""`run` and what reads a run: a tiny model is trained once, then evaluated, sampled, resumed, repeated and tabled."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hrmsearch.cli.app import app
from hrmsearch.cli.lines import Lines
from hrmsearch.lowering import lower
from hrmsearch.report.numbers import count
from hrmsearch.report.structure import parameters
from hrmsearch.spec.load import load
from hrmsearch.train import EpochDone

pytest.importorskip("torch")

SPEC = """
spec: 1
name: tiny
model:
  dim: 8
  defaults: {ffn: {kind: swiglu, width: 8}}
  core:
    kind: hrm
    inject: [L]
    levels: {L: {period: 1, block: {kind: transformer, mixer: {kind: attention, heads: 2}}}}
  head: {kind: lm, read: L}
nest: {passes: 2}
task: {kind: char_lm, corpus: pydoc, train_chars: 200, valid_chars: 60, test_chars: 60, window: 8}
train: {batch: 4, epochs: 2}
seeds: [0, 1]
"""
FILES = {"spec.yaml", "spec.resolved.yaml", "graph.ir", "manifest.json", "metrics.jsonl", "model.safetensors"}


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "tiny.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def runs(spec: Path) -> Path:
    """Return the folder of the finished runs of seeds 0 and 1."""
    out = spec.parent / "runs"
    done = invoke("run", spec, "--out", out)
    assert done.exit_code == 0, done.output
    (spec.parent / "output.txt").write_text(done.output)
    return out


def test_a_run_ends_with_a_table_of_its_seeds_and_controls(spec: Path, runs: Path) -> None:
    lines = (runs.parent / "output.txt").read_text().splitlines()
    assert lines[0].startswith("corpus pydoc (train 192 targets, valid 56 targets, test 56 targets)")
    table = lines[lines.index(f"tiny on pydoc, {count(parameters(lower(load(spec))))} parameters") :]
    starts = [line.split("  ")[0] for line in table[2:] if line and not line.startswith("-")]
    folders = [f"files: {runs}/tiny/seed-{seed}" for seed in (0, 1)]
    grams = ["unigram", "bigram", "trigram", "4-gram", "5-gram"]
    assert starts == ["0", "1", "mean ± sd", *grams, *folders]


def test_a_run_leaves_readable_files(runs: Path) -> None:
    for seed in (0, 1):
        names = {path.name for path in (runs / "tiny" / f"seed-{seed}").iterdir()}
        assert names >= FILES
        assert "checkpoint.safetensors" not in names


def test_compile_prints_the_source_that_ran(spec: Path, runs: Path) -> None:
    assert invoke("compile", spec).stdout == (runs / "tiny" / "seed-0" / "model.py").read_text()


def test_json_has_the_corpus_first_and_the_results_last(spec: Path, tmp_path: Path) -> None:
    done = invoke("run", spec, "--out", tmp_path, "--set", "seeds=[0]", "--json")
    assert done.exit_code == 0, done.output
    events: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[0]["event"] == "corpus"
    assert events[0]["text"].startswith("corpus pydoc ")
    last = events[-1]
    assert {path.name for path in Path(last["run_dir"]).iterdir()} >= FILES
    assert last["metrics"]["valid"][-1]["ppl"] > 1
    assert [seed["run_dir"] for seed in last["seeds"]] == [last["run_dir"]]


def test_an_error_that_the_analyses_prove_stops_a_run_before_it_starts(spec: Path, tmp_path: Path) -> None:
    done = invoke("run", spec, "--out", tmp_path / "runs", "--set", "model.q_head={read: L, outputs: 2}")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("hrmsearch: error[HS102] untrained-parameter: ")
    assert "accept HS102 in it with a reason" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_an_accepted_error_is_told_below_the_corpus_and_stands_in_the_table(spec: Path, tmp_path: Path) -> None:
    small = ["--set", "seeds=[0]", "--set", "train.epochs=1", "--set", "model.q_head={read: L, outputs: 2}"]
    lines = invoke("run", spec, "--out", tmp_path, *small, "--set", "accept={HS102: a trial}").output.splitlines()
    assert lines[1].startswith("note: HS102 untrained-parameter at ")
    assert "(accepted: a trial)" in lines[1]
    assert any(line.endswith(" parameters, accepted HS102") for line in lines)


def test_nothing_is_trained_over(spec: Path, runs: Path) -> None:
    before = contents(runs)
    done = invoke("run", spec, "--out", runs)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "exists, and a run overwrites nothing" in done.stderr
    assert contents(runs) == before


def test_an_interrupted_run_goes_on_to_the_same_end(
    spec: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Lines, event: EpochDone) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Lines, "epoch", interrupt)
        assert invoke("run", spec, "--out", tmp_path).exit_code == 130
    done = invoke("run", spec, "--out", tmp_path, "--resume")
    assert done.exit_code == 0, done.output
    assert "seed 0 goes on after step " in done.output
    for seed in (0, 1):
        assert metrics(tmp_path / f"tiny/seed-{seed}") == metrics(runs / f"tiny/seed-{seed}")


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(spec: Path, tmp_path: Path) -> None:
    long = ["--set", "train.epochs=100000", "--set", "train.patience=none"]
    command = [sys.executable, "-m", "hrmsearch", "run", str(spec), "--out", str(tmp_path), *long]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        weights = tmp_path / "tiny" / "seed-0" / "model.safetensors"
        while not weights.exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.startswith("\nhrmsearch: stopped after step ")
    assert stderr.endswith("can go on: give the same command with --resume\n")
    assert (weights.parent / "checkpoint.safetensors").exists()


def test_eval_scores_every_pass_beside_the_controls(runs: Path) -> None:
    done = invoke("eval", runs / "tiny/seed-0", "--passes", "3", "--split", "valid")
    assert done.exit_code == 0, done.output
    rows = [line.split()[0] for line in done.output.splitlines()[3:] if line]
    assert [row for row in rows if "-" not in row[0]] == [
        "loss",
        *["pass"] * 3,
        "unigram",
        "bigram",
        "trigram",
        *rows[-2:],
    ]


def test_eval_agrees_with_what_the_run_said(runs: Path) -> None:
    done = invoke("eval", runs / "tiny/seed-1", "--split", "test", "--json")
    said = json.loads((runs / "tiny/seed-1/manifest.json").read_text())["metrics"]["test"]
    assert json.loads(done.stdout)["scores"] == said


def test_sample_continues_the_prompt_and_depends_on_the_seed_only(runs: Path) -> None:
    def sample(*more: str) -> str:
        done = invoke("sample", runs / "tiny/seed-0", "--prompt", "The ", "--length", "20", *more)
        assert done.exit_code == 0, done.output
        return done.output

    text = sample()
    assert text.startswith("The ")
    assert len(text) == len("The ") + 20 + 1
    assert sample() == text
    assert sample("--seed", "1") != text


def test_a_folder_of_several_seeds_asks_for_one(runs: Path) -> None:
    done = invoke("eval", runs / "tiny")
    first = runs / "tiny" / "seed-0"
    assert done.exit_code == 2
    assert done.stderr == f"hrmsearch: {runs / 'tiny'}: holds the runs of 2 seeds; name one, such as {first}\n"


def test_reproduce_comes_to_the_same(runs: Path) -> None:
    done = invoke("reproduce", runs / "tiny/seed-0/manifest.json")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1].startswith("reproduced bit for bit")


def test_reproduce_exits_with_1_where_it_does_not(runs: Path, tmp_path: Path) -> None:
    manifest = json.loads((runs / "tiny/seed-0/manifest.json").read_text())
    manifest["metrics"]["valid"][-1]["loss"] *= 1.5
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))
    assert invoke("reproduce", path).exit_code == 1


def test_results_shows_a_row_per_spec_and_writes_it(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "table.md"
    done = invoke("results", runs, "-o", path)
    assert done.exit_code == 0, done.output
    assert "\ntiny  " in done.stdout
    assert path.read_text().startswith("**on pydoc**\n\n| spec | parameters | seeds | passes |")
    assert invoke("results", runs, "-o", path).exit_code == 2
    assert invoke("results", runs, "-o", path, "--force").exit_code == 0


def environment() -> dict[str, str]:
    """Return an environment in which a process finds what this one does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def test_results_copies_the_manifests_beside_its_table(runs: Path, tmp_path: Path) -> None:
    table = tmp_path / "evidence" / "README.md"
    assert invoke("results", runs, "-o", table, "--manifests").exit_code == 0
    copied = sorted(path.relative_to(table.parent).name for path in table.parent.rglob("*.json"))
    assert copied == sorted(f"{folder.parent.name}.json" for folder in runs.rglob("manifest.json"))


def test_manifests_with_one_place_are_not_written_over_each_other(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "again")
    table = tmp_path / "evidence" / "README.md"
    done = invoke("results", runs, tmp_path / "again", "-o", table, "--manifests", "--force")
    assert done.exit_code == 2
    assert "whose manifest has one place" in done.stderr
    assert not table.parent.exists()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def metrics(run: Path) -> Any:
    return json.loads((run / "manifest.json").read_text())["metrics"]
