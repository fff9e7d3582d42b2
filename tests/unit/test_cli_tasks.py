"""The commands on tasks with presets: what they list, render, and answer to what such a task has not."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hrmsearch.cli.app import app
from hrmsearch.spec.load import loads
from tests.training import TEXT

WINDOW = ("--set", "memory=[]", "--set", "accept={}")
TASK = ("--set", "task=parity/small", "--set", "task.train_rows=16", "--set", "task.valid_rows=8")


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "tiny.yaml"
    path.write_text(TEXT)
    return path


def test_tasks_are_listed_with_their_presets() -> None:
    done = invoke("tasks")
    assert done.exit_code == 0
    (line,) = [line for line in done.output.splitlines() if line.startswith("mqar ")]
    assert line.rstrip().endswith("64x4 128x8 256x16 512x64 based small")


def test_a_preset_is_rendered_in_full(spec: Path) -> None:
    done = invoke("validate", spec, *WINDOW, *TASK, "--render")
    task = loads(done.stdout).task
    assert (task.train_lengths, task.train_rows, task.window) == ((2, 12), 16, 40)
    assert "preset" not in done.stdout


def test_an_unknown_preset_is_one_line_with_its_place(spec: Path) -> None:
    done = invoke("run", spec, "--set", "task=parity/smal")
    assert done.exit_code == 2
    told = "unknown preset 'smal' of parity; did you mean 'small'? the presets are xlstm, small"
    assert done.stderr.splitlines()[0] == f"--set task=parity/smal:1:6: task: {told}"


def test_a_run_on_a_generated_task_speaks_of_accuracy(spec: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = invoke(
        "run", spec, *WINDOW, *TASK, "--set", "task.test_rows=4", "--set", "train.epochs=1", "--out", tmp_path
    )
    assert done.exit_code == 0, done.output
    assert "valid accuracy " in done.output
    assert "ppl" not in done.output
    run = tmp_path / "tiny" / "seed-0"
    for arguments, told in [
        (("eval", run, "--split", "far"), "hrmsearch: there is no split 'far'; there are valid, test\n"),
        (("eval", run, "--corpus", "pydoc"), "hrmsearch: the task 'parity' has no corpus to replace\n"),
        (("sample", run, "--prompt", "a"), f"hrmsearch: {run}: the task 'parity' has no text to sample\n"),
    ]:
        refused = invoke(*arguments)
        assert (refused.exit_code, refused.stdout, refused.stderr) == (2, "", told)
    scored = invoke("eval", run, "--split", "valid")
    assert "valid of parity, 8 targets" in scored.output
    assert "constant" in scored.output
    assert "test accuracy" in invoke("results", tmp_path).output
