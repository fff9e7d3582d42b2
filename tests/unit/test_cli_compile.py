"""`compile`: source on stdout or in a file that nothing else loses."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hrmsearch.cli.app import app


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["compile", "transformer", "--backend", "reference", *map(str, arguments)])


def test_source_goes_to_stdout() -> None:
    done = invoke()
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith('graph "transformer" {\n')
    assert done.stdout.endswith("}\n")


def test_a_file_holds_what_stdout_shows(tmp_path: Path) -> None:
    path = tmp_path / "model.ir"
    done = invoke("-o", path)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"wrote {path}\n")
    assert path.read_text() == invoke().stdout == invoke("-o", "-").stdout


def test_a_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "model.ir"
    path.write_text("mine")
    done = invoke("-o", path)
    assert (done.exit_code, done.stderr) == (2, f"hrmsearch: {path}: exists already; --force replaces it\n")
    assert path.read_text() == "mine"
    assert invoke("-o", path, "--force").exit_code == 0
    assert path.read_text() != "mine"


@pytest.mark.parametrize("target", ["", "missing/model.ir"], ids=["a folder", "below a missing folder"])
def test_what_cannot_be_written_is_one_message(tmp_path: Path, target: str) -> None:
    done = invoke("-o", tmp_path / target)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"hrmsearch: {tmp_path / target}: ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_backend_names_those_that_are_installed() -> None:
    done = CliRunner().invoke(app, ["compile", "transformer", "--backend", "trch"])
    assert done.exit_code == 2
    assert done.stderr.startswith("hrmsearch: unknown backend 'trch'; installed: reference, ")


def test_source_can_be_had_for_a_device_that_is_not_here() -> None:
    pytest.importorskip("torch")
    for device, code in (("cuda:7", 0), ("tpu", 2)):
        done = CliRunner().invoke(app, ["compile", "transformer", "--device", device])
        assert done.exit_code == code
    assert done.stderr.startswith("hrmsearch: device 'tpu': torch has no such device; available: ")


def test_overrides_reach_the_source() -> None:
    assert "D:96" in invoke("--set", "model.dim=96").stdout


LEVELS = """
spec: 1
name: levels
model:
  dim: 8
  embed: {kind: token}
  core: {kind: stack, blocks: [{kind: residual, mixer: {kind: hl_kernel}}]}
  head: {kind: lm, read: last}
task: {kind: char_lm, corpus: [pydoc], window: 8, loader: contiguous}
"""


def by_torch(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["compile", *map(str, arguments)])


def test_torch_shows_the_c_that_takes_the_place_of_a_recurrence(tmp_path: Path) -> None:
    spec = tmp_path / "levels.yaml"
    spec.write_text(LEVELS)
    source, kernels = by_torch(spec), by_torch(spec, "--kernels")
    assert "def recurrence(" in source.stdout
    assert kernels.exit_code == 0
    assert kernels.stdout.startswith("/* scan_")
    assert ": HLKernel.recurrence */" in kernels.stdout.splitlines()[0]
    assert "void backward(" in kernels.stdout


def test_a_model_without_recurrences_has_no_kernels_of_torch() -> None:
    done = by_torch("transformer", "--kernels")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("hrmsearch: transformer: no recurrence that a generated kernel runs on cpu")
