"""A weighted sum of losses."""

from functools import reduce
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, model_validator

from hrmsearch.ir import Builder, Value
from hrmsearch.losses.base import Given, Loss, Objective
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Choice, Part, alone


class Weighted(Part):
    """How much a term counts, written beside its own fields."""

    weight: NonNegativeFloat = 1.0


class Sum(Objective):
    """The sum of its terms, each by kind with its weight: `{kind: oacd, read: L, weight: 0.5}`.

    At most one of them scores targets; that is what is reported.
    """

    kind: Literal["sum"] = "sum"
    terms: tuple[Annotated[Objective, Choice("loss", beside=Weighted)], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_scores(self) -> Self:
        scoring = [i for i, term in enumerate(self.terms) if term.scorer("") is not None]
        if len(scoring) > 1:
            raise FieldProblem(f"terms[{scoring[0]}] scores targets already", "terms", scoring[1])
        return self

    @property
    def _weighted(self) -> list[tuple[float, Objective]]:
        return [(term.weight, alone(term, Weighted)) for term in self.terms if isinstance(term, Weighted)]

    @property
    def reads(self) -> tuple[str, ...]:
        """What the terms read."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.reads))

    def scorer(self, place: str) -> tuple[str, Loss] | None:
        """Return the term that scores targets."""
        found = (term.scorer(f"{place}.terms[{i}]") for i, (_, term) in enumerate(self._weighted))
        return next((one for one in found if one is not None), None)

    def total(self, b: Builder, given: Given, place: str) -> Value:
        """Return the weighted sum."""
        places = (f"{place}.terms[{i}]" for i in range(len(self.terms)))
        terms = [w * term.total(b, given, at) for at, (w, term) in zip(places, self._weighted, strict=True)]
        return reduce(lambda first, second: first + second, terms)
