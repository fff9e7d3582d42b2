"""Gains: bounded factors that a level sets, the same for all tokens; a study varies the level."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Kind

#: what a gain may multiply: the stream that comes to a memory, the residual it predicts, alpha, alpha's logit, the
#: evidence for a write
Target = Literal["stream", "residual", "alpha", "logit", "evidence"]


class Gain(Kind, family="gain"):
    """A factor that a level m sets; at m = 0 it is 1, and it never leaves its bounds.

    level: m. on: what is multiplied: `stream` that comes to the memory, the `residual` it predicts, `alpha`, the
    `logit` of alpha, the `evidence` for a write. Several gains on one thing multiply.
    """

    level: float = 0.0
    on: tuple[Target, ...] = Field(min_length=1)

    @property
    @abstractmethod
    def factor(self) -> float:
        """What is multiplied by."""


class ExpBounded(Gain):
    """exp(-rate m), cut to [low, high]. The preset `serotonin` damps the stream, the residual and alpha together."""

    kind: Literal["exp_bounded"] = "exp_bounded"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"serotonin": {"on": ["stream", "residual", "alpha"]}}
    level: NonNegativeFloat = 0.0
    rate: PositiveFloat = 0.5
    low: float = Field(default=0.3, gt=0.0, le=1.0)
    high: float = Field(default=1.0, ge=1.0)

    @property
    def factor(self) -> float:
        """The exponential within its bounds."""
        return min(max(math.exp(-self.rate * self.level), self.low), self.high)


class TanhBounded(Gain):
    """1 + (high - 1) tanh(m), for m >= 0 in [1, high), for m < 0 in (low, 1] with 1 - (1 - low) tanh(-m).

    Presets: `acetylcholine` sharpens alpha by its logit, `dopamine` scales what is predicted, `noradrenaline` the
    evidence for a write.
    """

    kind: Literal["tanh_bounded"] = "tanh_bounded"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "acetylcholine": {"on": ["logit"]},
        "dopamine": {"on": ["residual"]},
        "noradrenaline": {"on": ["evidence"]},
    }
    low: float = Field(default=0.5, gt=0.0, le=1.0)
    high: float = Field(default=2.0, ge=1.0)

    @model_validator(mode="after")
    def _there_is_room(self) -> Self:
        if self.low == self.high:
            raise FieldProblem("bounds of 1 and 1 leave no gain", "high")
        return self

    @property
    def factor(self) -> float:
        """The tangent scaled to the bound on its side of 1."""
        far = self.high - 1.0 if self.level >= 0.0 else 1.0 - self.low
        return 1.0 + far * math.tanh(self.level)
