"""Dotted paths of a study file: which arms one means, and what it changes there."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

from hrmsearch.errors import Problem, SpecError
from hrmsearch.spec.model import steps
from hrmsearch.spec.node import Path, spell
from hrmsearch.spec.problems import closest
from hrmsearch.spec.source import Source

#: what a path of one arm begins with
ONE: Final = "arms."


#: what an integer that a spec leaves to a rule is first tried as
START: Final = 64


@dataclass(frozen=True, slots=True)
class Target:
    """A path below the root of a spec, and the arm it is meant for; None is every arm."""

    path: str
    arm: str | None = None

    def concerns(self, arm: str) -> bool:
        """Return whether the path is meant for an arm."""
        return self.arm is None or self.arm == arm


def target(path: str, arms: Iterable[str]) -> Target:
    """Read a path: `train.optimizer.lr` or `arms.NAME.train.optimizer.lr`; raises ValueError for an unknown arm."""
    if not path.startswith(ONE):
        return Target(path)
    known = list(arms)
    name, _, rest = path.removeprefix(ONE).partition(".")
    if name not in known:
        near = closest(name, known)
        raise ValueError(f"there is no arm {name!r}; " + (f"did you mean {near!r}?" if near else f"there are {known}"))
    if not rest:
        raise ValueError(f"name a path of the arm, such as arms.{name}.model.dim")
    return Target(rest, name)


def assignment(path: str, value: Any) -> str:
    """Return the override that gives a path a value; JSON is YAML, so that any value has a text."""
    return f"{path}={json.dumps(value)}"


def value_at(tree: Any, path: str) -> Any:
    """Return the value at a dotted path of plain data, or None if there is none."""
    for step in steps(path):
        if isinstance(tree, dict):
            tree = cast("dict[Any, Any]", tree).get(step)
        elif isinstance(tree, list) and isinstance(step, int):
            tree = next(iter(cast("list[Any]", tree)[step : step + 1]), None)
        else:
            return None
    return tree


def wrong(source: Source, at: Path, message: str, *, key: bool = False) -> SpecError:
    """Return the error that one thing is wrong in a study file."""
    return SpecError([source.problem(at, message, key=key)])


def blamed(source: Source, at: Path, arm: str, error: SpecError, given: str = "") -> list[Problem]:
    """Return what is wrong in an arm as problems of the study file's entry that brought it about.

    given: the assignment that was tried, where the entry itself does not say it.
    """
    place = source.place(at, key=True)
    said = f" ({given})" if given else ""
    return [
        Problem(place, spell(at), f"arm {arm}{said}: {_about(found, given)}", source.excerpt(place))
        for found in error.problems
    ]


def _about(found: Problem, given: str) -> str:
    """Return the field and what is wrong with it; a field that was just named need not be said again."""
    told = not found.field or given.startswith(f"{found.field}=")
    return found.message if told else f"{found.field}: {found.message}"
