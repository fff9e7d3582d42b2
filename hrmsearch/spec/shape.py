"""Which models may stand at a path of a spec, read off the type annotations and the registry."""

from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hrmsearch.spec import presets
from hrmsearch.spec.fields import OrNone
from hrmsearch.spec.node import Data, Path
from hrmsearch.spec.registry import Choice, Kind

Model = type[BaseModel]


class _Type(NamedTuple):
    annotation: Any
    metadata: tuple[Any, ...] = ()


def models_at(model: Model, data: Data, path: Path = ()) -> list[Model]:
    """Return the models that the value at `path` may be; several where a union leaves it open, none for plain data."""
    return list(dict.fromkeys(filter(_is_model, _options_at(_Type(model), data, path))))


def keys_of(models: Iterable[Model]) -> list[str]:
    """Return the keys that any of the models accepts, in the order of their definition."""
    return list(dict.fromkeys(key for model in models for key in _keys(model)))


def _keys(model: Model) -> list[str]:
    own = [field.alias or name for name, field in model.model_fields.items()]
    return [*own, presets.KEY] if issubclass(model, Kind) and model.presets else own


def may_be_none(models: Iterable[Model], key: str | int) -> bool:
    """Return whether a field of one of the models may say `none`."""
    found = (field for model in models for field in _fields(model, key))
    return any(isinstance(mark, OrNone) for field in found for mark in field.metadata)


def _options_at(place: _Type, data: Data, path: Path) -> list[Any]:
    options = _options(place, data)
    if not path:
        return options
    step, *rest = path
    below = [inner for option in options for inner in _below(option, step)]
    return [option for inner in below for option in _options_at(inner, _child(data, step), tuple(rest))]


def _options(place: _Type, data: Data) -> list[Any]:
    """Return the alternatives of a type; a choice is the part whose kind the data names, or the one it defaults to."""
    annotation, metadata = place
    for choice in metadata:
        if isinstance(choice, Choice):
            name = data.get("kind", choice.default) if isinstance(data, dict) else None
            part = choice.forms.get(name) if isinstance(name, str) else None
            return [part] if part else []
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _options(_Type(arguments[0], arguments[1:]), data)
    if origin in (Union, UnionType):
        return [option for member in arguments for option in _options(_Type(member), data)]
    return [annotation]


def _below(option: Any, step: str | int) -> list[_Type]:
    """Return the type of an entry or item of one alternative."""
    arguments = get_args(option)
    if _is_model(option):
        return [_Type(field.annotation, tuple(field.metadata)) for field in _fields(option, step)]
    if not arguments:
        return []
    if isinstance(step, str):
        return [_Type(arguments[-1])]
    is_fixed = get_origin(option) is tuple and arguments[-1] is not Ellipsis
    return [_Type(arguments[min(step, len(arguments) - 1) if is_fixed else 0])]


def _fields(model: Model, key: str | int) -> list[FieldInfo]:
    return [field for name, field in model.model_fields.items() if key == (field.alias or name)]


def _child(data: Data, step: str | int) -> Data:
    if isinstance(data, dict) and isinstance(step, str):
        return data.get(step)
    if isinstance(data, list) and isinstance(step, int) and step < len(data):
        return data[step]
    return None


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
