"""The reference of the spec language as Markdown, from its JSON Schema: every part with its fields and defaults."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from hrmsearch.report.table import Table

Schema = Mapping[str, Any]
#: by family and kind the name of the kind's definition in a schema
Families = Mapping[str, Mapping[str, str]]

_HEAD: Final = """# The spec language

Generated from the schema by `hrmsearch schema --write`; the words are those of the code. A spec is one mapping,
[Spec](#spec). A slot such as [mixer](#mixer) takes a mapping whose `kind` says which of the kinds under its name fills
it; `kind/preset` is short for the mapping of a preset. A field that is *inherited* takes `model.defaults` where it is
left out. `hrmsearch validate --render SPEC` prints a spec with every default.
"""
_BOUNDS: Final = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_PLAIN: Final = {"integer": "integer", "number": "number", "boolean": "true or false", "string": "text"}


def reference(schema: Schema, families: Families) -> str:
    """Return the reference of a language: its root, its parts, then every slot with its kinds."""
    writer = _Writer(schema, families)
    met = list(_met(schema, schema["$defs"]))
    parts = [_HEAD, *writer.part("Spec", schema)]
    for name in met:
        parts += writer.part(name, schema["$defs"][name]) if writer.family(name) is None else ()
    for family in dict.fromkeys(filter(None, map(writer.family, met))):
        parts += writer.slot(family, families[family])
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


class _Writer:
    """Writes sections."""

    def __init__(self, schema: Schema, families: Families) -> None:
        self._definitions: Mapping[str, Schema] = schema["$defs"]
        self._slots = [form for form in _parts(schema, root=False) if "discriminator" in form]
        self._family = {name: family for family, kinds in families.items() for name in kinds.values()}

    def family(self, name: str) -> str | None:
        """Return the slot that a definition is a kind for; None for other parts."""
        return self._family.get(self._base(name))

    def part(self, title: str, form: Schema) -> Iterator[str]:
        """Yield the section of a part."""
        yield f"## {title}"
        yield from self._body(form)

    def slot(self, family: str, kinds: Mapping[str, str]) -> Iterator[str]:
        """Yield the section of a slot, with one for each of its kinds."""
        yield f"## {family}"
        yield "Kinds: " + ", ".join(f"[{kind}](#{_heading(family, kind)})" for kind in kinds) + "."
        for kind, name in kinds.items():
            yield f"### {family} {kind}"
            yield from self._body(self._definitions[name])
            presets = self._presets(family, kind)
            yield f"Presets: {', '.join(presets)}." if presets else ""

    def _body(self, form: Schema) -> Iterator[str]:
        yield _prose(form.get("description", ""))
        fields = {name: one for name, one in form["properties"].items() if name != "kind"}
        required = form.get("required", [])
        rows = [(f"`{name}`", self._type(one), _default(one, name in required)) for name, one in fields.items()]
        yield Table(["field", "value", "default"], "lll", [rows]).markdown() if rows else ""

    # -- types -------------------------------------------------------------------------------------------------------

    def _type(self, form: Schema) -> str:
        """Return what a field may hold, in words."""
        if "discriminator" in form:
            return self._choice([_reference(option) for option in form["oneOf"]])
        if "$ref" in form:
            return self._link(_reference(form))
        if "anyOf" in form:
            options = [option for option in form["anyOf"] if option != {"type": "null"}]
            return " or ".join(map(self._type, options))
        if "const" in form or "enum" in form:
            return " or ".join(map(_code, form.get("enum", [form.get("const")])))
        return self._container(form)

    def _container(self, form: Schema) -> str:
        if form["type"] == "array":
            if "prefixItems" in form:
                return f"list of {len(form['prefixItems'])}: {', '.join(map(self._type, form['prefixItems']))}"
            return f"list of {self._type(form['items'])}"
        if form["type"] == "object":
            named = list(form.get("patternProperties", {}).values()) or [form["additionalProperties"]]
            return f"mapping of names to {self._type(named[0])}"
        bounds = " and ".join(f"{sign} {form[word]:g}" for word, sign in _BOUNDS.items() if word in form)
        pattern = f"that matches `{form['pattern']}`" if "pattern" in form else ""
        return " ".join(filter(None, [_PLAIN[form["type"]], bounds, pattern]))

    def _choice(self, names: Sequence[str | None]) -> str:
        """Return the slot of kinds, and the fields that it has beside theirs."""
        (first, *_) = [name for name in names if name is not None]
        family = self._family[self._base(first)]
        own = self._definitions[self._base(first)]["properties"]
        beside = {name: one for name, one in self._definitions[first]["properties"].items() if name not in own}
        more = [f"`{name}` ({self._type(one)}; {_default(one, False)})" for name, one in beside.items()]
        return f"[{family}](#{_heading(family)})" + (f", each also with {' and '.join(more)}" if more else "")

    def _link(self, name: str | None) -> str:
        if name in self._family:
            return self._choice([name])
        return f"[{name}](#{_heading(str(name))})"

    def _base(self, name: str) -> str:
        """Return the kind of a form that a slot extends by fields of its own; the name itself for others."""
        longest = max((kind for kind in self._family if name.startswith(kind)), key=len, default=name)
        return longest if self._extends(name, longest) else name

    def _extends(self, name: str, kind: str) -> bool:
        """Return whether a definition is another one with more fields."""
        whole, own = (self._definitions[one]["properties"] for one in (name, kind))
        return own.items() <= whole.items() if kind in self._definitions else False

    def _presets(self, family: str, kind: str) -> list[str]:
        found: dict[str, None] = {}
        for slot in self._slots:
            names = {self._family.get(name) for option in slot["oneOf"] if (name := _reference(option))}
            texts = [text for option in slot["oneOf"] for text in option.get("enum", [])]
            found |= dict.fromkeys(text for text in texts if family in names and text.startswith(f"{kind}/"))
        return list(map(_code, found))


def _met(form: Schema, definitions: Mapping[str, Schema]) -> Iterator[str]:
    """Yield the names of all definitions below a form, in the order in which a reader meets them, level by level."""
    known: dict[str, None] = {}
    level = [form]
    while level:
        names = [name for one in level for part in _parts(one) if (name := _reference(part)) is not None]
        fresh = [name for name in dict.fromkeys(names) if name not in known]
        known |= dict.fromkeys(fresh)
        level = [definitions[name] for name in fresh]
    yield from known


def _parts(form: Any, *, root: bool = True) -> Iterator[Schema]:
    """Yield a form and every form in it, but not in the definitions beside it."""
    if isinstance(form, dict):
        found = cast("dict[str, Any]", form)
        yield found
        for key, one in found.items():
            yield from _parts(one, root=False) if not (root and key == "$defs") else ()
    elif isinstance(form, list):
        for one in cast("list[Any]", form):
            yield from _parts(one, root=False)


def _reference(form: Schema) -> str | None:
    """Return the name of the definition that a form refers to, if it does."""
    target = form.get("$ref") or next((one["$ref"] for one in form.get("allOf", ()) if "$ref" in one), None)
    return target.rpartition("/")[2] if target else None


def _default(form: Schema, required: bool) -> str:
    if required:
        return "required"
    if "inherits" in form:
        return "inherited" + (f", with {_code(form['but'])}" if form.get("but") else "")
    if "default" not in form:
        return "its own defaults"
    return "left out" if form["default"] is None else _code(form["default"])


def _code(value: Any) -> str:
    """Return a value as it is written in a spec."""
    return f"`{_flow(value)}`"


def _flow(value: Any) -> str:
    """Return a value as YAML on one line, without keys that hold nothing."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return f"{{{', '.join(f'{key}: {_flow(one)}' for key, one in items if one is not None)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, cast('list[Any]', value)))}]"
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _heading(*words: str) -> str:
    """Return the anchor of a heading of words without punctuation."""
    return "-".join(words).lower()


def _prose(text: str) -> str:
    """Return a docstring as Markdown: what is no code must not read as markup."""
    return "\n".join(line if line.startswith("    ") else _escaped(line) for line in text.split("\n"))


def _escaped(line: str) -> str:
    pieces = line.split("`")
    return "`".join(piece if i % 2 else piece.replace("*", "\\*").replace("<", "\\<") for i, piece in enumerate(pieces))
