"""The open registry of spec parts: a kind is known by being defined.

A *family* is a slot of the spec language (`mixer`, `memory`, `task`, ...) and a *kind* is one way to fill it. A part
registers by subclassing its family's base, so `spec` imports none of them, and a plug-in adds a kind like a built-in.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar, cast, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    create_model,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from hrmsearch.spec import presets

_FAMILIES: dict[str, dict[str, type["Kind"]]] = {}


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
    `kind: Literal["attention"] = "attention"`. presets: settings by name, each a mapping of fields.
    """

    family: ClassVar[str]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    kind: str

    def __init_subclass__(cls, family: str | None = None, *, registers: bool = True, **options: Any) -> None:
        super().__init_subclass__(**options)
        if family is not None:
            cls.family = family
            _FAMILIES.setdefault(family, {})

    @classmethod
    def __pydantic_init_subclass__(cls, registers: bool = True, **options: Any) -> None:
        super().__pydantic_init_subclass__(**options)
        for name in get_args(cls.model_fields["kind"].annotation) if registers else ():
            known = _FAMILIES[cls.family].setdefault(name, cls)
            if known.__qualname__ != cls.__qualname__ or known.__module__ != cls.__module__:
                raise TypeError(f"{cls.family} kind {name!r} is defined by {known} and by {cls}")


@cache
def discover() -> None:
    """Import every package that registers parts, built-in or plug-in: the entry points `hrmsearch.parts`."""
    for point in entry_points(group="hrmsearch.parts"):
        point.load()


def kinds(family: str) -> dict[str, type[Kind]]:
    """Return the registered kinds of a family, by name."""
    return dict(sorted(_FAMILIES[family].items()))


def families() -> dict[str, dict[str, type[Kind]]]:
    """Return the registered kinds of every family, by name."""
    return {family: kinds(family) for family in sorted(_FAMILIES)}


class Choice:
    """Validates a mapping by its `kind` against the registry as it stands when the spec is loaded.

    Text of the form `kind/preset` stands for a mapping too. default: the kind of a mapping that names none.
    beside: fields of the slot itself, written in the same mapping; the part then has them too, and `alone` takes them
    off again.
    """

    def __init__(self, family: str, default: str | None = None, beside: type[Part] | None = None) -> None:
        self.family = family
        self.default = default
        self.beside = beside

    @property
    def forms(self) -> dict[str, type[Kind]]:
        """The models that a mapping may be, by kind."""
        known = kinds(self.family)
        return known if self.beside is None else {name: _with(part, self.beside) for name, part in known.items()}

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._validate, serialization=core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True)
        )

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        forms = {name: _reference(part, handler) for name, part in self.forms.items()}
        # only the default kind may go unnamed; a form is a reference, so the demand stands beside it
        options = [
            form if name == self.default else {"required": ["kind"], "allOf": [form]} for name, form in forms.items()
        ]
        short = [f"{name}/{preset}" for name, part in self.forms.items() for preset in part.presets]
        texts = [{"enum": short}] if short else []
        return {"oneOf": [*options, *texts], "discriminator": {"propertyName": "kind"}}

    def _validate(self, value: object) -> Part:
        known = self.forms
        choices = {"family": self.family, "choices": ", ".join(known)}
        if isinstance(value, Kind) and type(value) in known.values():
            return value
        if isinstance(value, Kind) and type(value) in kinds(self.family).values():
            return known[value.kind].model_construct(value.model_fields_set, **dict(value))
        given = presets.split(value) if isinstance(value, str) else value
        if not isinstance(given, dict):
            raise PydanticCustomError("kind_form", "expected a mapping with a 'kind'; one of: {choices}", choices)
        fields = cast("dict[str, Any]", given)
        kind = fields.get("kind", self.default)
        if kind is None:
            raise PydanticCustomError("kind_missing", "'kind' is missing; one of: {choices}", choices)
        part = known.get(str(kind))
        if part is None:
            unknown = {**choices, "kind": kind}
            raise PydanticCustomError("kind_unknown", "unknown {family} kind '{kind}'; one of: {choices}", unknown)
        return part.model_validate({"kind": kind, **_whole(part, str(kind), fields)})


def _whole(part: type[Kind], kind: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return fields with those of the preset they name filled in."""
    if presets.KEY not in fields or presets.KEY in part.model_fields:
        return fields
    name = fields[presets.KEY]
    if not isinstance(name, str) or name not in part.presets:
        known = {"kind": kind, "preset": name, "presets": ", ".join(part.presets)}
        raise PydanticCustomError("preset_unknown", "unknown preset '{preset}' of {kind}; one of: {presets}", known)
    return {**part.presets[name], **{key: value for key, value in fields.items() if key != presets.KEY}}


@cache
def _with(part: type[Kind], beside: type[Part]) -> type[Kind]:
    """Return the model of a kind's fields and a slot's own, in one mapping; it is no kind itself."""
    name = f"{part.__name__}{beside.__name__}"
    made = create_model(
        name, __base__=(beside, part), __doc__=part.__doc__, __module__=part.__module__, __cls_kwargs__=_UNREGISTERED
    )
    return cast("type[Kind]", made)


_UNREGISTERED = {"registers": False}


def alone(part: Part, beside: type[Part]) -> Any:
    """Return a part without the fields that its slot has beside it."""
    kind = cast("type[Part]", next(base for base in type(part).__bases__ if base is not beside))
    return kind.model_construct(part.model_fields_set, **{name: getattr(part, name) for name in kind.model_fields})


# the parts whose JSON Schema is being written: one that holds itself refers to itself
_open: set[type[Part]] = set()


def _reference(part: type[Kind], handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    """Return a reference to a part's JSON Schema, which is written once."""
    schema = {"ref": f"{part.__module__}.{part.__qualname__}:{id(part)}", **part.__pydantic_core_schema__}
    if part in _open:
        return handler(core_schema.definition_reference_schema(str(schema["ref"])))
    _open.add(part)
    try:
        # the handler writes its own schema in place; what is nested in it may become a definition
        form = handler(core_schema.definitions_schema(cast("CoreSchema", schema), []))
    finally:
        _open.discard(part)
    _offer_presets(part, handler.resolve_ref_schema(form))
    return form


def _offer_presets(part: type[Kind], form: JsonSchemaValue) -> None:
    """Add to a part's JSON Schema the presets that may be named in it, and stand for its required fields."""
    if part.presets and presets.KEY not in form["properties"]:
        form["properties"][presets.KEY] = {"enum": list(part.presets)}
        if "required" in form:
            form["anyOf"] = [{"required": [presets.KEY]}, {"required": form.pop("required")}]


def _dump(part: Part | None, info: core_schema.SerializationInfo) -> dict[str, Any] | None:
    """Dump a part; an inherited one is None until the defaults are filled in."""
    return part and part.model_dump(mode=info.mode)


def inherited(slot: str, **changes: Any) -> Any:
    """Declare a block field that takes `model.defaults.<slot>`, with changes, where a spec leaves it out."""
    return Field(default=None, json_schema_extra={"inherits": slot, "but": changes} if changes else {"inherits": slot})


def _inherited_value(field: FieldInfo, defaults: Part) -> Any:
    """Return what a field takes from the defaults; None if it inherits nothing."""
    extra = cast("dict[str, Any]", field.json_schema_extra or {})
    if "inherits" not in extra:
        return None
    value, changes = getattr(defaults, extra["inherits"]), extra.get("but")
    return value.model_copy(update=changes) if changes else value


def inherit(part: Part, defaults: Part) -> Any:
    """Return `part` with every inherited field filled in, at any depth; a field that says `none` keeps it."""
    changes: dict[str, Any] = {}
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if value is None and name not in part.model_fields_set:
            value = _inherited_value(field, defaults)
            if value is not None:
                changes[name] = value
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
