"""Reads a study file and its arms, and checks every path of it against every arm before anything runs."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from hrmsearch.errors import Place, Problem, SpecError
from hrmsearch.spec.load import from_source, shipped, shipped_dir
from hrmsearch.spec.model import Spec
from hrmsearch.spec.node import Path as Steps
from hrmsearch.spec.problems import closest
from hrmsearch.spec.shape import keys_of
from hrmsearch.spec.source import Source, parse, read
from hrmsearch.spec.validate import validate
from hrmsearch.study.arms import Arm, Study
from hrmsearch.study.checking import check
from hrmsearch.study.controls import derived
from hrmsearch.study.files import Control, StudyFile
from hrmsearch.study.paths import ONE, Target, assignment, blamed, target, wrong


def studies() -> dict[str, Path]:
    """Return the shipped study files by name."""
    return {path.stem: path for path in sorted((shipped_dir() / "studies").glob("*.yaml"))}


def locate(study: str | os.PathLike[str]) -> Path:
    """Return the file that a path or the name of a shipped study means; raises SpecError for a word that is neither."""
    path, known = Path(study), studies()
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    if str(study) not in known:
        near = closest(str(study), known)
        hint = f"did you mean {near!r}?" if near else f"give a path, or one of: {', '.join(known)}"
        raise SpecError([Problem(Place(str(study), 1, 1), "", f"no shipped study has this name; {hint}")])
    here = Path.cwd()
    found = known[str(study)]
    return found.relative_to(here) if found.is_relative_to(here) else found


def load_study(study: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Study:
    """Return the study in a file, or the shipped one of that name, with overrides applied.

    An override's path is one of the study file (`trials=4`), or one that it sets in every arm (`train.epochs=3`) or in
    one (`arms.hrm.train.epochs=3`). Raises SpecError with file, line and column of everything that is wrong.
    """
    return _study(read(locate(study)), overrides)


def loads_study(text: str, file: str = "study.yaml", overrides: Sequence[str] = ()) -> Study:
    """Return the study that a YAML text describes; arms are looked for beside `file`."""
    return _study(parse(text, file), overrides)


def _study(source: Source, overrides: Sequence[str]) -> Study:
    for override in overrides:
        source = source.with_override(override, _completed)
    file = validate(StudyFile, source)
    changes = dict(_targets(source, file, "set", file.common))
    spaces = dict(_targets(source, file, "search", file.search))
    arms: dict[str, Arm] = {}
    for name, path in file.arms.items():
        arm = _changed(source, _arm_source(source, name, path), name, changes, file.common)
        space = {at.path: file.search[key] for key, at in spaces.items() if at.concerns(name)}
        arms[name] = Arm(name, arm, space, _by(source, file, name))
    arms |= {arm.name: arm for kind in file.controls for arm in _controls(source, file, kind, arms)}
    found = Study(file, source, arms)
    check(found)
    return found


def _completed(path: Steps) -> Steps:
    """Return where an override of a study goes: what is no key of the file is set in the arms, its path as one key."""
    first, *rest = map(str, path)
    is_arm = first == "arms" and len(rest) > 1
    own, inner = keys_of([StudyFile]), keys_of([Spec])
    # a misspelt name goes where a similar one is, so that the error can suggest it
    meant = first if first in (*own, *inner) else closest(first, [*own, *inner])
    if meant in own and not is_arm:
        return path
    words = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return ("set", words.removeprefix("."))


def _targets(source: Source, file: StudyFile, section: str, entries: Mapping[str, Any]) -> Iterator[tuple[str, Target]]:
    """Yield the targets of a section's paths; raises SpecError for those of unknown arms."""
    for key in entries:
        try:
            yield key, target(key, file.arms)
        except ValueError as error:
            raise wrong(source, (section, key), str(error), key=True) from None


def _arm_source(source: Source, name: str, path: str) -> Source:
    """Return the text of an arm: a file beside the study file, or a shipped spec."""
    beside = Path(os.path.normpath(Path(source.file).parent / path))
    if beside.is_file():
        return read(beside)
    known = shipped()
    if path in known:
        return read(known[path])
    near = closest(Path(path).stem, known)
    hint = f"; did you mean {near!r}, which is shipped?" if near else f"; the shipped specs are {', '.join(known)}"
    raise wrong(source, ("arms", name), f"no such spec: {beside}{hint}")


def _changed(
    source: Source, arm: Source, name: str, changes: Mapping[str, Target], values: Mapping[str, Any]
) -> Source:
    """Return an arm's text with what the study sets in it; raises SpecError at the study's entry that does not fit."""
    from_source(arm)  # what is wrong in the arm itself is told of the arm itself
    for key, at in changes.items():
        if not at.concerns(name):
            continue
        try:
            arm = arm.with_override(assignment(at.path, values[key]))
            from_source(arm)
        except SpecError as error:
            raise SpecError(blamed(source, ("set", key), name, error)) from None
    return arm.with_override(assignment("name", name))


def _by(source: Source, file: StudyFile, name: str) -> tuple[str, ...]:
    """Return the paths that an arm is matched by."""
    found: list[str] = []
    for i, path in enumerate(file.match.by if file.match else ()):
        try:
            at = target(path, file.arms)
        except ValueError as error:
            raise wrong(source, ("match", "by", i), str(error)) from None
        found += [at.path] if at.concerns(name) else []
    return tuple(found)


def _controls(source: Source, file: StudyFile, kind: Control, arms: Mapping[str, Arm]) -> Iterator[Arm]:
    """Yield the controls of a kind; raises SpecError where there is nothing to control."""
    at = ("controls", file.controls.index(kind))
    if kind == "transformer" and file.match is None:
        raise wrong(source, at, "a transformer of equal size needs a budget; give 'match'")
    bases = [file.control] if kind == "transformer" else list(file.arms)
    made = [derived(kind, base, arms[base].source, arms[base].spec()) for base in bases]
    found = [control for control in made if control is not None]
    if not found:
        raise wrong(source, at, f"no arm has {_NEEDED[kind]}, so there is nothing to take away")
    for control in found:
        if control.name in file.arms:
            raise wrong(source, at, f"its arm would be called {control.name}, as one of yours is; rename that")
        base = arms[control.base]
        common = {path: space for path, space in file.search.items() if not path.startswith(ONE)}
        space = control.keeps(base.space) if control.fixed else common
        arm = control.source.with_override(assignment("name", control.name))
        yield Arm(control.name, arm, space, control.by or base.by, control.base)


_NEEDED: Final = {"passes": "more than one pass", "cycles": "more than one cycle", "memory": "a memory"}
