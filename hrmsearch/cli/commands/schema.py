"""`hrmsearch schema`: the spec language as a JSON Schema for editors, and as a reference for people."""

from pathlib import Path
from typing import Any

import click


@click.command("schema")
@click.option("--markdown", is_flag=True, help="Print the reference instead, for people.")
@click.option("--write", is_flag=True, help="Write docs/schema/spec.json and docs/spec.md of the checkout.")
def command(markdown: bool, write: bool) -> None:
    """Print the JSON Schema of specs, for editors."""
    if not write:
        click.echo(page() if markdown else text(), nl=False)
        return
    from hrmsearch.cli.files import write_text

    write_text(target(), text())
    write_text(target().parents[1] / "spec.md", page())


def page() -> str:
    """Return the reference as Markdown."""
    from hrmsearch.report.reference import reference
    from hrmsearch.spec.registry import families

    known = schema()
    named = {family: {kind: part.__name__ for kind, part in kinds.items()} for family, kinds in families().items()}
    return reference(known, named)


def text() -> str:
    """Return the schema as JSON text."""
    import json

    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def schema() -> dict[str, Any]:
    """Return the schema as data."""
    from hrmsearch.spec.model import Spec
    from hrmsearch.spec.registry import discover

    discover()
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return head | Spec.model_json_schema() | {"title": "hrmsearch spec"}


def target() -> Path:
    """Return where the checkout keeps the schema; raises RunError outside of one."""
    from hrmsearch.errors import RunError
    from hrmsearch.spec.load import shipped_dir

    root = shipped_dir().parent
    if not (root / "pyproject.toml").is_file():
        raise RunError("schema --write works in a checkout of hrmsearch; elsewhere: hrmsearch schema > spec.json")
    return root / "docs" / "schema" / "spec.json"
