"""Reads a spec: a path or the name of a shipped one, overrides, validation, inherited defaults."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hrmsearch.errors import Place, Problem, SpecError
from hrmsearch.spec.model import Spec
from hrmsearch.spec.problems import closest
from hrmsearch.spec.registry import discover, inherit
from hrmsearch.spec.source import Source, parse, read
from hrmsearch.spec.validate import implied, validate


def shipped_dir() -> Path:
    """Return the folder of the shipped specs: inside an installed wheel, or beside the package in a checkout."""
    package = Path(__file__).parent.parent
    return package / "specs" if (package / "specs").is_dir() else package.parent / "specs"


def shipped() -> dict[str, Path]:
    """Return the shipped specs by name; studies and other folders are not among them."""
    return {path.stem: path for path in sorted(shipped_dir().glob("*.yaml"))}


def locate(spec: str | os.PathLike[str]) -> Path:
    """Return the file that a path or a shipped name means; a file that exists wins.

    Raises SpecError for a bare word that is neither.
    """
    path = Path(spec)
    known = shipped()
    if path.exists() or str(spec) not in known:
        bare = not path.exists() and path.suffix == "" and len(path.parts) == 1
        if bare:
            near = closest(str(spec), known)
            hint = f"did you mean {near!r}?" if near else f"give a path, or one of: {', '.join(known)}"
            raise SpecError([Problem(Place(str(spec), 1, 1), "", f"no shipped spec has this name; {hint}")])
        return path
    return _near(known[str(spec)])


def _near(path: Path) -> Path:
    """Return a path as a person in the current folder would write it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def load(spec: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Spec:
    """Return the spec in a file, or the shipped spec of that name, with overrides such as `model.dim=96` applied.

    Raises SpecError with file, line and column of everything that is wrong.
    """
    return from_source(read(locate(spec)), overrides)


def loads(text: str, file: str = "spec.yaml", overrides: Sequence[str] = ()) -> Spec:
    """Return the spec that a YAML text describes; `file` names it in errors."""
    return from_source(parse(text, file), overrides)


def from_source(source: Source, overrides: Sequence[str] = ()) -> Spec:
    """Return the spec of a text that was read."""
    discover()
    resolve = implied(Spec)
    for override in overrides:
        source = source.with_override(override, resolve)
    spec = validate(Spec, source)
    return inherit(spec, spec.model.defaults).with_source(source)


def render(spec: Spec) -> str:
    """Return the spec as YAML with every default written out; it loads as the same spec."""
    return dump(resolved(spec))


def dump(tree: Any) -> str:
    """Return plain data as YAML for people to read."""
    from io import StringIO

    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    yaml.width = 120
    stream = StringIO()
    yaml.dump(tree, stream)  # pyright: ignore[reportUnknownMemberType]
    return stream.getvalue()


def resolved(spec: Spec) -> dict[str, Any]:
    """Return the spec as plain data with every default filled in."""
    return _without_null(spec.model_dump(mode="json"))


def _without_null(data: Any) -> Any:
    """Drop keys that hold nothing: alternatives that were not chosen."""
    if isinstance(data, dict):
        return {key: _without_null(value) for key, value in data.items() if value is not None}  # pyright: ignore[reportUnknownVariableType]
    return [_without_null(item) for item in data] if isinstance(data, list) else data  # pyright: ignore[reportUnknownVariableType]
