"""The study file as typed data: which arms, under which budget, searched over what, judged by what."""

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    WithJsonSchema,
    model_validator,
)

from hrmsearch.spec.problems import FieldProblem, closest
from hrmsearch.spec.registry import Part
from hrmsearch.study.spaces import Range, Space
from hrmsearch.tasks.judging import METRICS

#: what a budget may be of, as costs name it
BUDGETS: Final = ("params", "flops_per_token", "state_bytes")
#: what a study may be asked to add as controls
Control = Literal["transformer", "passes", "cycles", "memory"]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=100)]
#: a name that may stand in a path: `arms.NAME.model.dim`
ArmName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", max_length=60)]

_CONSTRAINT: Final = re.compile(r"\s*(?P<what>\w+)\s*<=\s*(?P<limit>[0-9][0-9_]*(\.[0-9]+)?([eE]\+?[0-9]+)?)\s*")
_PERCENT: Final = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?)\s*%")


def _share(value: Any) -> Any:
    """Read `2%` as 0.02."""
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    return float(found["number"]) / 100 if found else value


_SHARE_FORM: Final = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0.0, "exclusiveMaximum": 1.0},
        {"type": "string", "pattern": f"^{_PERCENT.pattern}$"},
    ]
}
#: a share as a number, or in percent
Share = Annotated[float, Field(gt=0.0, lt=1.0), BeforeValidator(_share), WithJsonSchema(_SHARE_FORM)]


class Match(Part):
    """The budget that every arm meets: exactly one of its sizes, within a share of it, by changing paths in order.

    by: dotted paths of integers. An arm that meets the budget as written stays so; otherwise the first path takes the
    value that brings the arm nearest, the next ones close what is left.
    """

    params: PositiveInt | None = None
    flops_per_token: PositiveFloat | None = None
    state_bytes: PositiveInt | None = None
    within: Share = 0.02
    by: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if sum(getattr(self, name) is not None for name in BUDGETS) != 1:
            raise ValueError(f"give exactly one of {', '.join(BUDGETS)}")
        return self

    @property
    def of(self) -> str:
        """Which of the budgets is matched."""
        return next(name for name in BUDGETS if getattr(self, name) is not None)

    @property
    def budget(self) -> float:
        """The size that arms are brought to."""
        return float(getattr(self, self.of))


class Pruning(Part):
    """Successive halving: after `first` epochs, and each time after `factor` times as many, the best 1/factor go on."""

    first: PositiveInt
    factor: Annotated[int, Field(ge=2)] = 2

    def rungs(self, epochs: int) -> list[int]:
        """Return the epochs after which a trial may end, all of them before the last one."""
        found, rung = list[int](), self.first
        while rung < epochs:
            found.append(rung)
            rung *= self.factor
        return found


class Constraint(Part):
    """A limit that a candidate keeps before it may train: `params <= 200000`."""

    what: str
    limit: float


def constraint(text: str) -> Constraint:
    """Return the constraint that a text says; raises ValueError where it says none."""
    found = _CONSTRAINT.fullmatch(text)
    if found is None:
        raise ValueError("a constraint is written like 'params <= 200000'")
    if found["what"] not in BUDGETS:
        near = closest(found["what"], BUDGETS)
        hint = f"did you mean {near!r}?" if near else f"there are {', '.join(BUDGETS)}"
        raise ValueError(f"nothing called {found['what']!r} can be limited; {hint}")
    return Constraint(what=found["what"], limit=float(found["limit"].replace("_", "")))


class StudyFile(Part):
    """One comparison: its arms, the budget they share, the search, and what decides.

    arms: a spec each, by a path relative to this file or the name of a shipped one. search: spaces by dotted path, of
    every arm or, below `arms.NAME`, of one. trials: per arm; every arm gets the same, and with 0 arms are compared as
    they are written. seed: of the search, and of the training of its trials. seeds: of the finalists, fresh and paired:
    how many, or which. set: values for every arm, or below `arms.NAME` for one. prune: rungs on which trials may end
    early.
    """

    study: Name
    question: str = ""
    arms: dict[ArmName, str] = Field(min_length=1)
    control: str
    controls: tuple[Control, ...] = ()
    match: Match | None = None
    search: dict[str, Space] = Field(default_factory=dict[str, Space])
    objectives: dict[str, Literal["min", "max"]] = Field(min_length=1, max_length=4)
    trials: NonNegativeInt = 8
    seed: NonNegativeInt = 0
    seeds: PositiveInt | tuple[NonNegativeInt, ...] = 5
    common: dict[str, Any] = Field(default_factory=dict[str, Any], alias="set")
    prune: Pruning | None = None
    constraints: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _control_is_an_arm(self) -> Self:
        if self.control not in self.arms:
            near = closest(self.control, self.arms)
            hint = f"did you mean {near!r}?" if near else f"the arms are {', '.join(self.arms)}"
            raise FieldProblem(f"there is no arm {self.control!r}; {hint}", "control")
        return self

    @model_validator(mode="after")
    def _choices_differ(self) -> Self:
        for path, space in self.search.items():
            if isinstance(space, Range):
                continue
            if not space:
                raise FieldProblem("an empty list leaves nothing to choose", "search", path)
            for i, choice in enumerate(space):
                # 1, 1.0 and true are one value to the search
                if choice in space[:i]:
                    raise FieldProblem(f"the choice {choice!r} occurs twice", "search", path, i)
        return self

    @model_validator(mode="after")
    def _something_is_tried(self) -> Self:
        if self.search and not self.trials:
            raise FieldProblem("a search needs trials; give a number of them, or leave out `search`", "trials")
        return self

    @model_validator(mode="after")
    def _objectives_may_choose(self) -> Self:
        for name, direction in self.objectives.items():
            split, _, metric = name.partition(".")
            if split == "test":
                raise FieldProblem("test reports and chooses nothing; use valid", "objectives", name, key=True)
            if name not in BUDGETS and (split != "valid" or metric not in METRICS):
                known = ", ".join([*(f"valid.{known}" for known in METRICS), *BUDGETS])
                raise FieldProblem(f"no such objective; there are {known}", "objectives", name, key=True)
            better = "max" if name not in BUDGETS and METRICS[metric].better == "more" else "min"
            if direction != better:
                raise FieldProblem(f"{name} is better the other way: {better}", "objectives", name)
        if next(iter(self.objectives)) in BUDGETS:
            raise FieldProblem("the first objective chooses the finalists, so it is one of valid", "objectives")
        return self

    @model_validator(mode="after")
    def _seeds_are_fresh(self) -> Self:
        if isinstance(self.seeds, tuple):
            if len(set(self.seeds)) != len(self.seeds) or not self.seeds:
                raise FieldProblem("finalists need seeds that differ", "seeds")
            if self.seed in self.seeds:
                message = f"seed {self.seed} is that of the search, which chose by it; finalists need fresh ones"
                raise FieldProblem(message, "seeds", self.seeds.index(self.seed))
        return self

    @model_validator(mode="after")
    def _constraints_are_read(self) -> Self:
        for i, text in enumerate(self.constraints):
            try:
                constraint(text)
            except ValueError as error:
                raise FieldProblem(str(error), "constraints", i) from None
        return self

    @property
    def fresh_seeds(self) -> tuple[int, ...]:
        """The seeds of the finalists."""
        count = self.seeds
        return count if isinstance(count, tuple) else tuple(range(self.seed + 1, self.seed + 1 + count))

    @property
    def limits(self) -> list[Constraint]:
        """The constraints, read."""
        return [constraint(text) for text in self.constraints]

    @property
    def leading(self) -> str:
        """The metric on valid that chooses."""
        return next(iter(self.objectives)).removeprefix("valid.")
