"""The JSON Schema: current in the checkout, named by every shipped spec, and true of them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from hrmsearch.spec.load import shipped
from hrmsearch.study.load import load_study, studies

FILE = Path(__file__).parents[2] / "docs" / "schema" / "spec.json"
STUDY, PAGE = FILE.with_name("study.json"), FILE.parents[1] / "spec.md"


def read(path: Path) -> Any:
    return YAML(typ="safe").load(path)  # pyright: ignore[reportUnknownMemberType]


def errors(data: Any, schema: Path = FILE) -> list[str]:
    jsonschema: Any = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))
    return [error.message for error in validator.iter_errors(data)]


@pytest.mark.parametrize(
    ("file", "options"),
    [(FILE, []), (STUDY, ["--study"]), (PAGE, ["--markdown"])],
    ids=["spec", "study", "reference"],
)
def test_the_file_in_the_checkout_is_current(file: Path, options: list[str]) -> None:
    # in a process of its own: kinds that other tests register would be in the schema too
    command = [sys.executable, "-m", "hrmsearch", "schema", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == file.read_text(encoding="utf-8"), "write it anew: hrmsearch schema --write"


@pytest.mark.parametrize("file", [FILE, STUDY], ids=["spec", "study"])
def test_the_file_is_a_json_schema(file: Path) -> None:
    jsonschema: Any = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(json.loads(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", shipped().values(), ids=shipped().keys())
def test_every_shipped_spec_names_it_and_fits_it(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema={os.path.relpath(FILE, path.parent)}"
    assert errors(read(path)) == []


@pytest.mark.parametrize("path", studies().values(), ids=studies().keys())
def test_every_shipped_study_names_it_fits_it_and_loads(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema={os.path.relpath(STUDY, path.parent)}"
    assert errors(read(path), STUDY) == []
    assert load_study(path).name == path.stem


def test_a_misspelt_key_does_not_fit() -> None:
    spec = read(shipped()["hrm"])
    spec["model"]["core"]["cylces"] = spec["model"]["core"].pop("cycles")
    assert errors(spec)


def test_the_reference_has_every_definition_and_every_field_of_the_schema() -> None:
    definitions: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))["$defs"]
    page = PAGE.read_text(encoding="utf-8")
    sections = re.split(r"^##+ ", page, flags=re.MULTILINE)
    for name, form in definitions.items():
        fields = [field for field in form["properties"] if field != "kind"]
        if not name.endswith(("Where", "Weighted")):  # forms of a kind in a slot that has fields of its own
            assert any(all(f"| `{field}` |" in section for field in fields) for section in sections), name


def test_every_link_of_the_reference_leads_to_a_heading() -> None:
    page = PAGE.read_text(encoding="utf-8")
    headings = {line.lstrip("# ").lower().replace(" ", "-") for line in page.splitlines() if line.startswith("##")}
    links = set(re.findall(r"\]\(#([^)]*)\)", page))
    assert len(links) > 40
    assert links <= headings
