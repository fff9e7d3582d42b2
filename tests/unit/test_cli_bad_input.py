"""Bad input: one clear error, exit code 2, no traceback, nothing overwritten."""

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hrmsearch.cli.app import app
from hrmsearch.cli.lines import Lines
from hrmsearch.ir.checkpoint import read_arrays, write_arrays
from hrmsearch.spec.load import shipped
from hrmsearch.train import EpochDone

TEXT = "All happy families are alike; each unhappy family is unhappy in its own way.\n" * 40
SMALL = [
    "model.dim=8",
    "task.train_chars=200",
    "task.valid_chars=70",
    "task.test_chars=70",
    "train.epochs=2",
    "seeds=[0]",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder to stand in, with a corpus."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text(TEXT)
    return tmp_path


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(*overrides: str, more: tuple[str, ...] = (), spec: str = "transformer") -> Result:
    settings = [word for one in ("task.corpus=./corpus.txt", *SMALL, *overrides) for word in ("--set", one)]
    return CliRunner().invoke(app, ["run", spec, *settings, *more])


def refused(done: Result, *words: str) -> None:
    """Check that a command ended with one clear error that has some words."""
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, SystemExit)
    assert "Traceback" not in done.output
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("override", "error"),
    [
        (
            "model.core.cylces=2",
            "--set model.core.cylces=2:1:12: model.core.cylces: unknown key; did you mean 'cycles'?\n",
        ),
        (
            "model.dim=wide",
            "--set model.dim=wide:1:11: model.dim: expected an integer, got the text 'wide'\n",
        ),
        (
            "model.dim=10",
            "model.core.levels.L.block.mixer.heads: ",
        ),
        (
            "task.corpus=[]",
            "task.corpus: names no corpus",
        ),
        (
            "task.window=300",
            "task.train_chars: 200 characters hold no window of 300; at least 301 are needed",
        ),
    ],
    ids=["unknown key", "wrong type", "indivisible heads", "no corpus", "less than a window"],
)
def test_a_spec_that_cannot_be_is_refused_at_its_place(here: Path, override: str, error: str) -> None:
    before = contents(here)
    refused(run(override), error)
    assert contents(here) == before


@pytest.mark.parametrize("command", ["run", "explain", "validate", "compile"])
def test_a_missing_spec_is_refused(here: Path, command: str) -> None:
    done = CliRunner().invoke(app, [command, "missing.yaml"])
    refused(done)
    assert (done.stdout, done.stderr) == ("", "missing.yaml:1:1: no such file\n")


def test_a_misspelt_spec_is_answered_with_the_nearest() -> None:
    done = CliRunner().invoke(app, ["run", "infini_hmr"])
    refused(done)
    assert done.stderr == "infini_hmr:1:1: no shipped spec has this name; did you mean 'infini_hrm'?\n"


@pytest.mark.parametrize(
    ("corpus", "error"),
    [
        (None, "no corpus can be had: ./corpus.txt: no such file"),
        (b"", "./corpus.txt: the file is empty; a corpus needs text\n"),
        (b"\0\1\2" * 1000, "./corpus.txt: the file is binary; a corpus is plain text in UTF-8\n"),
        (b"caf\xe9" * 1000, "./corpus.txt: not UTF-8 at byte 3; convert it, for example with iconv\n"),
        (b"too short", "./corpus.txt: has 9 characters, but train_chars and valid_chars and test_chars ask for 340"),
    ],
    ids=["missing", "empty", "binary", "latin-1", "too short"],
)
def test_an_unfit_corpus_is_refused(here: Path, corpus: bytes | None, error: str) -> None:
    path = here / "corpus.txt"
    path.unlink() if corpus is None else path.write_bytes(corpus)
    before = contents(here)
    done = run()
    refused(done)
    assert done.stdout == ""
    assert done.stderr.startswith(f"hrmsearch: {error}")
    assert contents(here) == before


def test_a_text_without_one_window_is_refused(here: Path) -> None:
    (here / "corpus.txt").write_text("x" * 200)
    refused(
        run("task.train_chars=none", "task.valid_chars=70", "task.test_chars=70", "task.window=64"), "a window of 64"
    )


def test_an_output_below_a_file_is_refused(here: Path) -> None:
    (here / "taken").write_text("mine")
    before = contents(here)
    refused(run(more=("--out", "taken")), "hrmsearch: taken/transformer/seed-0: cannot be made (Not a directory)\n")
    assert contents(here) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_without_permission_is_refused(here: Path) -> None:
    (here / "locked").mkdir(mode=0o555)
    refused(run(more=("--out", "locked")), "cannot be made (Permission denied)")


def test_an_unknown_device_is_refused(here: Path) -> None:
    pytest.importorskip("torch")
    before = contents(here)
    refused(run(more=("--device", "warp9")), "warp9")
    assert contents(here) == before


@pytest.fixture
def interrupted(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a run that stopped after its first epoch, with a checkpoint."""
    pytest.importorskip("torch")

    def interrupt(self: Lines, event: EpochDone) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Lines, "epoch", interrupt)
        assert run().exit_code == 130
    return here / "runs" / "transformer" / "seed-0"


def test_a_checkpoint_of_another_spec_is_refused(interrupted: Path) -> None:
    before = contents(interrupted)
    refused(run("model.dim=16", more=("--resume",)), "runs/transformer/seed-0", "another spec")
    assert contents(interrupted) == before


@pytest.mark.parametrize("kept", [0, 7, 1000], ids="{} bytes".format)
def test_a_truncated_checkpoint_is_refused(interrupted: Path, kept: int) -> None:
    checkpoint = interrupted / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:kept])
    before = contents(interrupted)
    refused(run(more=("--resume",)), "runs/transformer/seed-0/checkpoint.safetensors", "truncated")
    assert contents(interrupted) == before


@pytest.mark.parametrize("command", [["eval"], ["sample", "--prompt", "x"]], ids=["eval", "sample"])
def test_truncated_weights_are_refused(interrupted: Path, command: list[str]) -> None:
    weights = interrupted / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    name, *options = command
    refused(CliRunner().invoke(app, [name, str(interrupted), *options]), "model.safetensors", "truncated")


@pytest.mark.parametrize("command", [["eval"], ["sample", "--prompt", "x"]], ids=["eval", "sample"])
def test_weights_of_another_spec_are_refused(interrupted: Path, command: list[str]) -> None:
    weights = interrupted / "model.safetensors"
    write_arrays(weights, {f"other.{path}": array for path, array in read_arrays(weights).items()})
    name, *options = command
    refused(CliRunner().invoke(app, [name, str(interrupted), *options]), "model.safetensors", "not of this graph")


@pytest.mark.parametrize("name", ["eval", "sample", "reproduce", "results"])
def test_a_folder_without_a_run_is_refused(here: Path, name: str) -> None:
    options = ["--prompt", "x"] if name == "sample" else []
    for path in (here, here / "missing"):
        done = CliRunner().invoke(app, [name, str(path), *options])
        refused(done)
        assert done.stderr.startswith(f"hrmsearch: {path}")
        assert done.stderr.count("\n") == 1


def test_a_run_does_not_touch_a_spec_it_was_given(here: Path) -> None:
    shutil.copy(shipped()["transformer"], here / "mine.yaml")
    before = contents(here)
    refused(run("model.dim=wide", spec="mine.yaml"))
    assert contents(here) == before
