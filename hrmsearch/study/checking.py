"""What can be known to be wrong with a study before anything runs: paths that arms lack, values that do not fit."""

from typing import Any

from hrmsearch.errors import Problem, SpecError
from hrmsearch.spec.load import resolved
from hrmsearch.spec.model import Spec
from hrmsearch.study.arms import Arm, Study
from hrmsearch.study.files import BUDGETS
from hrmsearch.study.paths import START, Target, assignment, blamed, target, value_at, wrong
from hrmsearch.study.spaces import samples


def check(study: Study) -> None:
    """Raise SpecError for what no arm of a study can be brought to, at its place in the study file."""
    _check_by(study)
    _check_search(study)
    _check_tasks(study)
    _check_objectives(study)


def _check_by(study: Study) -> None:
    """Raise SpecError for a path to match by that no arm has as an integer, or that is searched too."""
    for i, path in enumerate(study.file.match.by if study.file.match else ()):
        at, place = target(path, study.file.arms), ("match", "by", i)
        arms = [arm for arm in study.arms.values() if at.path in arm.by]
        searched = [arm.name for arm in arms if at.path in arm.space]
        if searched:
            message = f"{at.path} is searched in {', '.join(searched)}; a path is matched or searched, not both"
            raise wrong(study.source, place, message)
        failures = [_not_an_integer(arm, at.path) for arm in arms]
        if all(failures):
            raise wrong(study.source, place, f"no arm can be matched by {at.path}: {failures[0]}")


def _not_an_integer(arm: Arm, path: str) -> str:
    """Return why an arm cannot be matched by a path; nothing where it can."""
    now = value_at(resolved(arm.spec()), path)
    if isinstance(now, int) and not isinstance(now, bool):
        return ""
    try:
        arm.spec([assignment(path, START)])
    except SpecError as error:
        return f"{arm.name}: {error.problems[0].message}"
    return ""


def _check_search(study: Study) -> None:
    """Raise SpecError for every searched path that an arm does not have, and every value that does not fit there."""
    found: list[Problem] = []
    for key in study.file.search:
        at = target(key, study.file.arms)
        if at.path in ("name", "spec", "seeds"):
            message = f"{at.path} is the study's own, and cannot be searched"
            found.append(study.source.problem(("search", key), message, key=True))
            continue
        for arm in study.arms.values():
            if at.path in arm.space and at.concerns(arm.controls or arm.name):
                found += _misfits(study, key, at, arm)
    if found:
        raise SpecError(found)


def _misfits(study: Study, key: str, at: Target, arm: Arm) -> list[Problem]:
    """Return what is wrong with the first value of a space that does not fit an arm."""
    for value in samples(study.file.search[key]):
        given = assignment(at.path, value)
        try:
            arm.spec([given])
        except SpecError as error:
            return blamed(study.source, ("search", key), arm.name, error, given)
    return []


def _check_tasks(study: Study) -> None:
    """Raise SpecError unless all arms are judged on the same targets."""
    tasks = {name: _judged(arm.spec()) for name, arm in study.arms.items()}
    reference = tasks[study.file.control]
    for name, task in tasks.items():
        differing = sorted(key for key in {*task, *reference} if task.get(key) != reference.get(key))
        if differing:
            message = (
                f"arm {name} and the control {study.file.control} differ in task.{differing[0]}, and results on other "
                f"data are not comparable; 'set: {{task: ...}}' gives all arms one task"
            )
            raise wrong(study.source, ("arms", name), message)


def _check_objectives(study: Study) -> None:
    """Raise SpecError for an objective on valid that the study's task is not judged by."""
    task = study.arms[study.file.control].spec().task
    known = ("loss", *task.metrics)
    for name in study.file.objectives:
        if name not in BUDGETS and name.removeprefix("valid.") not in known:
            message = f"{task.kind} has no such metric; there are {', '.join(known)}"
            raise wrong(study.source, ("objectives", name), message, key=True)


def _judged(spec: Spec) -> dict[str, Any]:
    """Return what of a task decides on which targets an arm is judged; how windows are dealt does not."""
    return {name: value for name, value in spec.task.model_dump(mode="json").items() if name != "loader"}
