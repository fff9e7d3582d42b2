"""What a searched path may be: a list of choices, or a range with the scale that it is searched on."""

import json
import math
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Self, cast

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Part

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Scalar = bool | int | float | str | None


class Range(Part):
    """Numbers between two ends, both included: exactly one of its scales.

    log: floats, even on a logarithmic scale. uniform: floats. int: integers. log_int: integers, logarithmic.
    step: of `int` only; the values are low, low + step, ...
    """

    log: tuple[PositiveFloat, PositiveFloat] | None = None
    uniform: tuple[float, float] | None = None
    integers: tuple[int, int] | None = Field(default=None, alias="int")
    log_int: tuple[PositiveInt, PositiveInt] | None = None
    step: PositiveInt = 1

    @model_validator(mode="after")
    def _one_scale(self) -> Self:
        ends = {"log": self.log, "uniform": self.uniform, "int": self.integers, "log_int": self.log_int}
        given = {name: pair for name, pair in ends.items() if pair is not None}
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(ends)}")
        ((name, (low, high)),) = given.items()
        if not low < high:
            raise FieldProblem("the first end must be less than the second", name)
        if self.step != 1 and (self.integers is None or (high - low) % self.step):
            raise FieldProblem("a step divides a range of 'int' from end to end", "step")
        return self

    @property
    def ends(self) -> tuple[float, float]:
        """The two ends."""
        return cast("tuple[float, float]", self.log or self.uniform or self.integers or self.log_int)

    @property
    def is_whole(self) -> bool:
        """Whether the values are integers."""
        return self.integers is not None or self.log_int is not None

    @property
    def is_logarithmic(self) -> bool:
        """Whether the scale is logarithmic."""
        return self.log is not None or self.log_int is not None


#: choices in a list, or a range
Space = tuple[Any, ...] | Range


def samples(space: Space) -> Sequence[Any]:
    """Return values whose validity stands for that of all: every choice, or both ends of a range."""
    return list(space.ends) if isinstance(space, Range) else list(space)


def size(space: Space) -> float:
    """Return how many values a space has; infinity for floats."""
    if not isinstance(space, Range):
        return len(space)
    low, high = space.ends
    return (high - low) // space.step + 1 if space.is_whole else math.inf


def values(space: Space) -> Sequence[Any]:
    """Return all values of a space of finite size."""
    if not isinstance(space, Range):
        return list(space)
    low, high = space.ends
    return range(int(low), int(high) + 1, space.step)


def draw(space: Space, rng: Random) -> Any:
    """Return a value at random, even on the space's scale."""
    if not isinstance(space, Range):
        return rng.choice(space)
    low, high = space.ends
    if space.integers is not None:
        return rng.randrange(int(low), int(high) + 1, space.step)
    if space.log_int is not None:
        # half a unit beyond the ends, so that they are as likely as their neighbours
        drawn = math.exp(rng.uniform(math.log(low - 0.5), math.log(high + 0.5)))
        return min(max(round(drawn), int(low)), int(high))
    drawn = math.exp(rng.uniform(math.log(low), math.log(high))) if space.log else rng.uniform(low, high)
    return min(max(drawn, low), high)


def holds(space: Space, value: Any) -> bool:
    """Return whether a value lies in a space."""
    if not isinstance(space, Range):
        return any(type(value) is type(choice) and value == choice for choice in space)
    low, high = space.ends
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        return False
    return not space.is_whole or (isinstance(value, int) and (value - int(low)) % space.step == 0)


# -- as Optuna knows them ----------------------------------------------------------------------------------------------


def stored(value: Any) -> Scalar:
    """Return a value as a parameter of a trial: scalars as they are, everything else as JSON, so that it is stable."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


def restored(space: Space, parameter: Any) -> Any:
    """Return the value that a parameter of a trial stands for."""
    if isinstance(space, Range):
        return int(parameter) if space.is_whole else float(parameter)
    return next(choice for choice in space if type(stored(choice)) is type(parameter) and stored(choice) == parameter)


def distribution(space: Space) -> "BaseDistribution":
    """Return the space as a distribution of Optuna's."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(space, Range):
        return CategoricalDistribution([stored(choice) for choice in space])
    low, high = space.ends
    if space.is_whole:
        return IntDistribution(int(low), int(high), log=space.is_logarithmic, step=space.step)
    return FloatDistribution(low, high, log=space.is_logarithmic)
