"""What a study's workers agree on: the file, every arm as it was matched, and where runs go.

It is kept in the storage beside the trials, so that a worker on any host needs the storage and the study's name only.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from hrmsearch.errors import Problem, SpecError
from hrmsearch.spec.load import dump, from_source, resolved
from hrmsearch.spec.model import Spec
from hrmsearch.spec.registry import Part, discover
from hrmsearch.spec.source import parse
from hrmsearch.spec.validate import frozen
from hrmsearch.study.arms import Study
from hrmsearch.study.files import StudyFile
from hrmsearch.study.matching import Size, Unmatched, match
from hrmsearch.study.paths import assignment, value_at
from hrmsearch.study.spaces import Space, holds, stored

#: reading YAML takes longer than all else that makes a candidate's spec
_parsed = lru_cache(maxsize=64)(parse)


class ArmPlan(Part):
    """An arm ready to be searched.

    text: its YAML as written, with what the study sets. space: what is searched in it. by: what it is matched by.
    values: the integers that bring the arm as written to the budget. size: what they bring it to; None without a match.
    controls: the arm it controls, if the study added it.
    """

    name: str
    text: str
    space: dict[str, Space]
    by: tuple[str, ...] = ()
    values: dict[str, int] = Field(default_factory=dict[str, int])
    size: float | None = None
    controls: str = ""

    def spec(self, overrides: Sequence[str] = ()) -> Spec:
        """Return the arm's spec with overrides, not matched; raises SpecError where they do not fit together."""
        return from_source(_parsed(self.text, f"{self.name}.yaml"), overrides)

    def written(self) -> dict[str, Any]:
        """Return the point of the search that the arm was written at, as parameters; empty where it lies outside."""
        tree = resolved(self.spec())
        found = {path: value_at(tree, path) for path in self.space}
        inside = all(holds(space, found[path]) for path, space in self.space.items())
        return {path: stored(value) for path, value in found.items()} if inside else {}


class Contract(Part):
    """A study as its workers run it.

    folder: where runs go, on the host that began it. optimize: whether backends spend time on compiling.
    """

    format: Literal["hrmsearch study 1"] = "hrmsearch study 1"
    file: StudyFile
    arms: tuple[ArmPlan, ...]
    backend: str
    device: str
    folder: str
    optimize: bool = False

    @classmethod
    def read(cls, text: str) -> "Contract":
        """Return the contract that a JSON text holds."""
        discover()
        return cls.model_validate(frozen(json.loads(text)))

    @property
    def name(self) -> str:
        """The study's name."""
        return self.file.study

    def arm(self, name: str) -> ArmPlan:
        """Return an arm by name."""
        return next(arm for arm in self.arms if arm.name == name)

    def candidate(self, arm: ArmPlan, values: Mapping[str, Any]) -> Spec:
        """Return an arm's spec at a point of its search, brought to the budget.

        Raises SpecError where the values do not fit together, Unmatched where the budget cannot be met.
        """
        chosen = [assignment(path, value) for path, value in values.items()]
        # how a model is trained does not change its size
        if all(path.startswith("train.") for path in values):
            matched = [assignment(path, value) for path, value in arm.values.items()]
        else:
            size = sized(self.file, arm, chosen)
            matched = size.overrides if size else []
        return arm.spec([*chosen, *matched])


def sized(file: StudyFile, arm: ArmPlan, chosen: Sequence[str] = ()) -> Size | None:
    """Return what brings an arm to the study's budget; None where it has none. Raises Unmatched."""
    if file.match is None:
        return None
    budget, within = file.match.budget, file.match.within
    return match(lambda more: arm.spec([*chosen, *more]), file.match.of, budget, within, arm.by)


def contract(study: Study, backend: str, device: str, folder: Path, *, optimize: bool = False) -> Contract:
    """Return a study with every arm matched; raises SpecError at the arms that cannot be, with the nearest sizes."""
    plans, problems = list[ArmPlan](), list[Problem]()
    for arm in study.arms.values():
        plan = ArmPlan(
            name=arm.name, text=dump(arm.source.tree), space=dict(arm.space), by=arm.by, controls=arm.controls
        )
        try:
            size = sized(study.file, plan)
        except Unmatched as error:
            problems.append(study.source.problem(("arms", arm.controls or arm.name), f"arm {arm.name}: {error}"))
            continue
        plans.append(plan.model_copy(update={"values": dict(size.values), "size": size.size}) if size else plan)
    if problems:
        raise SpecError(problems)
    arms = tuple(plans)
    return Contract(file=study.file, arms=arms, backend=backend, device=device, folder=str(folder), optimize=optimize)
