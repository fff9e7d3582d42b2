"""The open registry of spec parts: a kind is known by being defined.

A *family* is a slot of the spec language (`mixer`, `memory`, `task`, ...) and a *kind* is one way to fill it. A part
registers by subclassing its family's base, so `spec` imports none of them, and a plug-in adds a kind like a built-in.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_FAMILIES: dict[str, dict[str, type["Part"]]] = {}


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in cast("list[Any]", value)) if isinstance(value, list) else value


class Part(BaseModel):
    """A node of a spec: strict, frozen, and every unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, serialize_by_alias=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _lists_are_tuples(cls, data: Any) -> Any:
        """Freeze lists, which strict validation would not take for the tuples of a frozen part."""
        if not isinstance(data, Mapping):
            return data
        fields = cast("Mapping[str, Any]", data)
        return {name: _tuples(value) if isinstance(value, list) else value for name, value in fields.items()}


class Kind(Part):
    """A part chosen by its `kind`; the base of every family.

    A family is declared by `class Mixer(Kind, family="mixer")`, a kind by subclassing it with a field
    `kind: Literal["attention"] = "attention"`.
    """

    family: ClassVar[str]
    kind: str

    def __init_subclass__(cls, family: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if family is not None:
            cls.family = family
            _FAMILIES.setdefault(family, {})

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        super().__pydantic_init_subclass__(**options)
        for name in get_args(cls.model_fields["kind"].annotation):
            known = _FAMILIES[cls.family].setdefault(name, cls)
            if known.__qualname__ != cls.__qualname__ or known.__module__ != cls.__module__:
                raise TypeError(f"{cls.family} kind {name!r} is defined by {known} and by {cls}")


@cache
def discover() -> None:
    """Import every package that registers parts, built-in or plug-in: the entry points `hrmsearch.parts`."""
    for point in entry_points(group="hrmsearch.parts"):
        point.load()


def kinds(family: str) -> dict[str, type[Part]]:
    """Return the registered kinds of a family, by name."""
    return dict(sorted(_FAMILIES[family].items()))


class Choice:
    """Validates a mapping by its `kind` against the registry as it stands when the spec is loaded."""

    def __init__(self, family: str, default: str | None = None) -> None:
        self.family = family
        self.default = default  # the kind of a mapping that names none

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._validate, serialization=core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True)
        )

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        forms = {name: handler(part.__pydantic_core_schema__) for name, part in kinds(self.family).items()}
        # only the default kind may go unnamed; a form may be a reference, so the demand stands beside it
        options = [
            form if name == self.default else {"required": ["kind"], "allOf": [form]} for name, form in forms.items()
        ]
        return {"oneOf": options, "discriminator": {"propertyName": "kind"}}

    def _validate(self, value: object) -> Part:
        known = kinds(self.family)
        choices = {"family": self.family, "choices": ", ".join(known)}
        if isinstance(value, Part) and type(value) in known.values():
            return value
        if not isinstance(value, dict):
            raise PydanticCustomError("kind_form", "expected a mapping with a 'kind'; one of: {choices}", choices)
        fields = cast("dict[str, Any]", value)
        kind = fields.get("kind", self.default)
        if kind is None:
            raise PydanticCustomError("kind_missing", "'kind' is missing; one of: {choices}", choices)
        part = known.get(str(kind))
        if part is None:
            unknown = {**choices, "kind": kind}
            raise PydanticCustomError("kind_unknown", "unknown {family} kind '{kind}'; one of: {choices}", unknown)
        return part.model_validate({"kind": kind, **fields})


def _dump(part: Part | None, info: core_schema.SerializationInfo) -> dict[str, Any] | None:
    """Dump a part; an inherited one is None until the defaults are filled in."""
    return part and part.model_dump(mode=info.mode)


def inherited(slot: str) -> Any:
    """Declare a block field that takes `model.defaults.<slot>` where a spec leaves it out."""
    return Field(default=None, json_schema_extra={"inherits": slot})


def _slot(field: FieldInfo) -> str | None:
    extra = field.json_schema_extra
    return cast("str", extra["inherits"]) if isinstance(extra, dict) and "inherits" in extra else None


def inherit(part: Part, defaults: Part) -> Any:
    """Return `part` with every inherited field filled in, at any depth."""
    changes: dict[str, Any] = {}
    for name, field in type(part).model_fields.items():
        value, slot = getattr(part, name), _slot(field)
        if value is None and slot is not None:
            changes[name] = getattr(defaults, slot)
        elif isinstance(value, Part | Mapping | tuple):
            changes[name] = _inherit_any(value, defaults)
    return part.model_copy(update=changes) if changes else part


def _inherit_any(value: Any, defaults: Part) -> Any:
    if isinstance(value, Part):
        return inherit(value, defaults)
    if isinstance(value, Mapping):
        mapping = cast("Mapping[str, Any]", value)
        return {key: _inherit_any(item, defaults) for key, item in mapping.items()}
    if isinstance(value, tuple):
        return tuple(_inherit_any(item, defaults) for item in cast("Sequence[Any]", value))
    return value
