"""`hrmsearch schema`: the JSON Schemas of specs and study files, for editors, and a reference of specs for people."""

from pathlib import Path
from typing import Any

import click


@click.command("schema")
@click.option("--study", is_flag=True, help="Of study files, which `hrmsearch sweep` runs.")
@click.option("--markdown", is_flag=True, help="Print the reference of specs instead, for people.")
@click.option("--write", is_flag=True, help="Write docs/schema and docs/spec.md of the checkout.")
def command(study: bool, markdown: bool, write: bool) -> None:
    """Print the JSON Schema of specs, for editors."""
    if not write:
        click.echo(page() if markdown else text(schema(study)), nl=False)
        return
    from hrmsearch.cli.files import write_text

    write_text(target("spec"), text(schema(False)))
    write_text(target("study"), text(schema(True)))
    write_text(target("spec").parents[1] / "spec.md", page())


def page() -> str:
    """Return the reference of specs as Markdown."""
    from hrmsearch.report.reference import reference
    from hrmsearch.spec.registry import families

    known = schema(False)
    named = {family: {kind: part.__name__ for kind, part in kinds.items()} for family, kinds in families().items()}
    return reference(known, named)


def text(form: dict[str, Any]) -> str:
    """Return a schema as JSON text."""
    import json

    return json.dumps(form, indent=1, ensure_ascii=False) + "\n"


def schema(study: bool) -> dict[str, Any]:
    """Return the schema of study files, or of specs, as data."""
    from hrmsearch.spec.model import Spec
    from hrmsearch.spec.registry import discover
    from hrmsearch.study.files import StudyFile

    discover()
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    form, title = (StudyFile, "hrmsearch study") if study else (Spec, "hrmsearch spec")
    return head | form.model_json_schema() | {"title": title}


def target(name: str) -> Path:
    """Return where the checkout keeps a schema; raises RunError outside of one."""
    from hrmsearch.errors import RunError
    from hrmsearch.spec.load import shipped_dir

    root = shipped_dir().parent
    if not (root / "pyproject.toml").is_file():
        raise RunError("schema --write works in a checkout of hrmsearch; elsewhere: hrmsearch schema > spec.json")
    return root / "docs" / "schema" / f"{name}.json"
