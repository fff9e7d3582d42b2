"""`validate`: the verdict as an exit code, as text and as JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hrmsearch.cli.app import app
from hrmsearch.spec.load import load, render, shipped

CONTRACT = ("code", "severity", "file", "line", "column", "message", "accepted")


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["validate", *map(str, arguments)])


def diagnostics(done: Result) -> list[dict[str, Any]]:
    data = json.loads(done.stdout)
    assert list(data) == ["diagnostics"]
    assert all(key in one for one in data["diagnostics"] for key in CONTRACT)
    return data["diagnostics"]


def test_a_sound_spec_passes() -> None:
    done = invoke("infini_hrm")
    assert (done.exit_code, done.output) == (0, "no diagnostics\n")
    assert diagnostics(invoke("infini_hrm", "--json")) == []


def test_a_proven_error_exits_with_1_and_points_at_its_line() -> None:
    done = invoke("infini_hrm", "--set", "memory[0].commit=every_pass", "--json")
    assert done.exit_code == 1
    leak = next(one for one in diagnostics(done) if one["code"] == "HS101")
    assert (leak["severity"], leak["accepted"]) == ("error", False)
    assert leak["file"] == "--set memory[0].commit=every_pass"


def test_an_accepted_error_is_printed_but_passes() -> None:
    leaky = ["infini_hrm", "--set", "memory[0].commit=every_pass", "--set", "accept={HS101: as published}"]
    done = invoke(*leaky)
    assert done.exit_code == 0, done.output
    assert "error[HS101] future-leak: " in done.output
    assert "= accepted: as published\n" in done.output
    found = diagnostics(invoke(*leaky, "--json"))
    assert [(one["accepted"], one["reason"]) for one in found if one["code"] == "HS101"] == [(True, "as published")]


def test_a_broken_spec_exits_with_2_and_is_json_too_where_that_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    text = shipped()["hrm"].read_text().replace("cycles:", "cylces:")
    path.write_text(text)
    line = text[: text.index("cylces")].count("\n") + 1
    done = invoke(path, "--json")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"{path}:{line}:5: model.core.cylces: unknown key; did you mean 'cycles'?\n")
    (found,) = diagnostics(done)
    assert (found["code"], found["line"], found["column"]) == ("spec", line, 5)
    assert (found["field"], found["message"]) == ("model.core.cylces", "unknown key; did you mean 'cycles'?")


@pytest.mark.parametrize("name", shipped())
def test_rendered_yaml_is_the_whole_spec(name: str, tmp_path: Path) -> None:
    done = invoke(name, "--render")
    assert done.exit_code in (0, 1)
    assert done.stdout == render(load(name))
    path = tmp_path / "whole.yaml"
    path.write_text(done.stdout)
    assert invoke(path, "--render").stdout == done.stdout


def test_render_and_json_exclude_each_other() -> None:
    assert invoke("hrm", "--render", "--json").exit_code == 2
