"""Manifests that were edited: each is read whole or refused with its file, its key, and what would be right."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hrmsearch.cli.app import app
from hrmsearch.errors import RunError
from hrmsearch.train import manifest

RESULTS = Path(__file__).parents[2] / "results"
KEPT = sorted(RESULTS.rglob("seed-*.json"))
# marks a key that is to be dropped
DROPPED = object()


def edited(path: str, value: Any) -> dict[str, Any]:
    """Return a kept manifest with another value at a path."""
    found = json.loads(KEPT[0].read_text())
    *outer, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    holder = found
    for step in outer:
        holder = holder[step]
    if value is DROPPED:
        del holder[last]
    else:
        holder[last] = value
    return found


def read(folder: Path, found: dict[str, Any]) -> None:
    (folder / "manifest.json").write_text(json.dumps(found))
    manifest.read(folder / "manifest.json")


def test_every_manifest_that_is_kept_is_read() -> None:
    assert KEPT
    for path in KEPT:
        assert manifest.read(path)["status"] == "finished"


@pytest.mark.parametrize("status", ["running", "diverged"])
def test_a_run_without_a_result_has_a_whole_manifest(tmp_path: Path, status: str) -> None:
    found = json.loads(KEPT[0].read_text())
    for key in ("metrics", "controls", "seconds_per_epoch", "kernels"):
        found.pop(key, None)
    (tmp_path / "manifest.json").write_text(json.dumps({**found, "status": status}))
    assert manifest.read(tmp_path / "manifest.json")["status"] == status


def test_no_key_that_is_read_may_be_null_or_missing(tmp_path: Path) -> None:
    keys = {"status", "name", "seed", "spec_hash", "spec", "command", "data", "versions", "platform", "backend"}
    keys |= {"device", "precision", "optimize", "threads", "params", "budget", "diagnostics"}
    keys |= {"metrics", "controls", "seconds_per_epoch"}
    for key in keys:
        with pytest.raises(RunError, match=rf"a broken manifest \({key}"):
            read(tmp_path, edited(key, None))
    for key in keys - {"status", "metrics", "controls", "seconds_per_epoch"}:
        found = edited(key, DROPPED) | {"status": "running"}
        with pytest.raises(RunError, match=rf"a broken manifest \({key}: is missing\)"):
            read(tmp_path, found)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("status", "foo", "status: should be 'running', 'finished' or 'diverged'"),
        ("params", "many", "params: should be an integer"),
        ("seed", None, "seed: should be an integer"),
        ("spec", [], "spec: should be a mapping"),
        ("data", {}, "data.corpus: is missing"),
        ("budget", {}, "budget.params: is missing"),
        ("threads", -1, "threads: should be at least 0"),
        ("metrics.valid", DROPPED, "metrics.valid: is missing"),
        ("metrics.valid", [], "metrics.valid: should be at least 1 item"),
        ("metrics.test", 5, "metrics.test: should be a list"),
        ("metrics.test.0.loss", None, "metrics.test[0].loss: should be a number"),
        ("metrics.valid.0.loss", "low", "metrics.valid[0].loss: should be a number"),
        ("metrics.valid.0.accuracy", [], "metrics.valid[0].accuracy: should be a number"),
        ("metrics.valid.0.pass", True, "metrics.valid[0].pass: should be an integer"),
        ("controls.0.more", 1, "controls[0].more: is no key of a manifest"),
        ("seconds_per_epoch", float("nan"), "seconds_per_epoch: should be a finite number"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_what_would_be_right(
    tmp_path: Path, path: str, value: Any, words: str
) -> None:
    with pytest.raises(RunError) as caught:
        read(tmp_path, edited(path, value))
    assert str(caught.value).endswith(f"manifest.json: a broken manifest ({words})")


def test_nesting_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "seed-0.json").write_text('{"a":' * 100_000)
    done = CliRunner().invoke(app, ["results", str(tmp_path)])
    assert done.exit_code == 2
    assert done.stderr.endswith("seed-0.json: no manifest of a run (nested too deeply)\n")


def test_a_spec_nested_too_deeply_for_those_who_write_it_is_refused(tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    for _ in range(400):
        deep = {"a": deep}
    with pytest.raises(RunError, match=r"a broken manifest \(nested too deeply\)"):
        read(tmp_path, edited("spec.model", deep))


@pytest.mark.parametrize("command", ["results", "compare", "reproduce", "report"])
def test_a_broken_manifest_is_one_line_and_no_traceback(tmp_path: Path, command: str) -> None:
    (tmp_path / "seed-0.json").write_text(json.dumps(edited("device", None)))
    done = CliRunner().invoke(app, [command, str(tmp_path / "seed-0.json")])
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].endswith("seed-0.json: a broken manifest (device: should be text)")
