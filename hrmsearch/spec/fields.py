"""Field types that several parts share: optional values spelt `none`, and rules for initial weights."""

import math
from typing import Any, Literal, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, PositiveFloat, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Part


class OrNone:
    """Lets a field say `none` for None: `Annotated[PositiveInt | None, OrNone()]`, and prints it as `none` again."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: None if value == "none" else value,
            handler(source),
            serialization=core_schema.wrap_serializer_function_ser_schema(
                lambda value, dump: "none" if value is None else dump(value)
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        form = handler(schema)
        options = [option for option in form.pop("anyOf", []) if option != {"type": "null"}]
        return {**form, "anyOf": [*options, {"const": "none"}]}


def exactly_one(part: Part) -> None:
    """Raise unless exactly one field of a part of alternatives has a value."""
    names = list(type(part).model_fields)
    if sum(getattr(part, name) is not None for name in names) != 1:
        raise ValueError(f"give exactly one of {', '.join(names)}")


class InitRule(Part):
    """A rule with a number: exactly one of its fields.

    normal, trunc_normal: a standard deviation; the latter is cut at two of them and rescaled so that it stays exact.
    uniform: the two ends. constant: the value.
    """

    normal: PositiveFloat | None = None
    trunc_normal: PositiveFloat | None = None
    uniform: tuple[float, float] | None = None
    constant: float | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        exactly_one(self)
        if self.uniform is not None and not self.uniform[0] < self.uniform[1]:
            raise FieldProblem("the first end must be less than the second", "uniform")
        return self


Init = Literal["zeros", "ones", "lecun_normal"] | InitRule


def resolve(init: Init, fan_in: int) -> Any:
    """Return the rule as the IR writes it; `lecun_normal` is a cut normal of deviation 1/sqrt(fan_in)."""
    if isinstance(init, InitRule):
        return init.model_dump(mode="json", exclude_unset=True)
    return {"trunc_normal": 1.0 / math.sqrt(fan_in)} if init == "lecun_normal" else init
