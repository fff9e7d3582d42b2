"""Plain data -> a typed model, and every way in which it does not fit as a problem with a place."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hrmsearch.errors import Problem, SpecError
from hrmsearch.spec import presets, problems
from hrmsearch.spec.node import Data, Node, Path, spell
from hrmsearch.spec.override import Resolve
from hrmsearch.spec.shape import Model, keys_of, may_be_none, models_at
from hrmsearch.spec.source import Source

T = TypeVar("T", bound=BaseModel)

MOST_PROBLEMS: Final = 50


def validate(model: type[T], source: Source) -> T:
    """Return the source's tree as a `model`; lists are handed over as tuples, since parts are frozen.

    Raises SpecError with every problem in document order, those in overrides last.
    """
    try:
        return model.model_validate(frozen(source.tree))
    except ValidationError as error:
        details = error.errors(include_url=False)
    raise SpecError(_Report(model, source).problems(details))


def implied(model: type[BaseModel], prefix: str = "model") -> Resolve:
    """Return what completes an override's path: `dim` -> `model.dim` where `dim` is no key of the whole spec.

    A name that exists in both means the whole spec; a misspelt one goes where a similar name is, so that the error can
    suggest it.
    """
    outer, inner = keys_of([model]), keys_of(models_at(model, None, (prefix,)))

    def resolve(path: Path) -> Path:
        name = str(path[0])
        known = name in outer or name in inner
        is_outer = name in outer if known else problems.closest(name, outer) or not problems.closest(name, inner)
        return path if is_outer else (prefix, *path)

    return resolve


def frozen(data: Data) -> Any:
    """Return plain data with tuples for lists, at any depth."""
    if isinstance(data, dict):
        return {name: frozen(value) for name, value in data.items()}
    return tuple(map(frozen, data)) if isinstance(data, list) else data


@dataclass(frozen=True, slots=True)
class _Finding:
    """An error of pydantic, its location split into the document's path and the union branches taken on the way."""

    error: ErrorDetails
    path: Path
    branches: tuple[tuple[int, str], ...]  # (length of the path where the union is, the branch's label)
    on_key: bool

    def is_structural(self, depth: int) -> bool:
        """Return whether the mapping at `depth` has the wrong keys for this branch."""
        return self.error["type"] in ("missing", "extra_forbidden") and len(self.path) == depth + 1


@dataclass(frozen=True, slots=True)
class _Complaint:
    """A problem before it has a place."""

    path: Path
    message: str
    field: Path
    on_key: bool = False


def _complain(path: Path, message: str, *, on_key: bool = False) -> _Complaint:
    return _Complaint(path, message, path, on_key)


class _Report:
    def __init__(self, model: type[BaseModel], source: Source) -> None:
        self._model = model
        self._source = source

    def problems(self, details: Iterable[ErrorDetails]) -> list[Problem]:
        complaints = dict.fromkeys(self._settle([self._trace(error) for error in details], 0))
        placed = [(self._source.place(c.path, key=c.on_key), c) for c in complaints]
        placed.sort(key=lambda pair: self._source.order(pair[0]))
        found = [Problem(p, spell(c.field), c.message, self._source.excerpt(p)) for p, c in placed[:MOST_PROBLEMS]]
        if len(placed) > MOST_PROBLEMS:
            found.append(Problem(placed[MOST_PROBLEMS][0], "", f"and {len(placed) - MOST_PROBLEMS} more problems"))
        return found

    def _trace(self, error: ErrorDetails) -> _Finding:
        """Split a location: what does not exist in the document is the label of a union branch."""
        path: list[str | int] = []
        branches: list[tuple[int, str]] = []
        node: Node | None = self._source.root
        last = len(error["loc"]) - 1
        for position, step in enumerate(error["loc"]):
            child = node.child(step) if node else None
            if child or isinstance(step, int) or (position == last and error["type"] in ("missing", "extra_forbidden")):
                path.append(step)
                node = child
            elif step != "[key]":
                branches.append((len(path), step))
        return _Finding(error, tuple(path), tuple(branches), "[key]" in error["loc"])

    def _settle(self, findings: list[_Finding], level: int) -> list[_Complaint]:
        """Turn findings into complaints; those of one union, at `level` in their branches, become one."""
        direct = [finding for finding in findings if len(finding.branches) <= level]
        unions: dict[Path, dict[str, list[_Finding]]] = {}
        for finding in findings:
            if len(finding.branches) > level:
                depth, label = finding.branches[level]
                unions.setdefault(finding.path[:depth], {}).setdefault(label, []).append(finding)
        complaints = self._direct(direct)
        for path, branches in unions.items():
            complaints += self._union(path, list(branches.values()), level)
        return complaints

    def _union(self, path: Path, branches: list[list[_Finding]], level: int) -> list[_Complaint]:
        """Choose the branch that the user most likely meant, or say what all of them expect."""
        depth = len(path)
        # A branch is entered if the value has its form, and something inside it or about its kind is wrong.
        entered = [
            branch
            for branch in branches
            if any(len(f.path) > depth or problems.expected(f.error) is None for f in branch)
        ]
        if not entered:
            errors = [finding.error for branch in branches for finding in branch]
            return [self._mismatch(errors, path, branches[0][0].on_key)]
        fitting = [branch for branch in entered if not any(f.is_structural(depth) for f in branch)]
        if fitting or len(entered) == 1:
            return self._settle(min(fitting or entered, key=len), level + 1)
        return self._wrong_keys(path)

    def _wrong_keys(self, path: Path) -> list[_Complaint]:
        """Complain about a mapping whose keys fit no branch of a union."""
        models, given = self._models(path), self._given(path)
        known = keys_of(models)
        unknown = [name for name in given if name not in known]
        if unknown:
            return [self._unknown_key((*path, name), known) for name in unknown]
        forms = " or ".join(f"{{{', '.join(f'{name}: ...' for name in keys_of([model]))}}}" for model in models)
        held = f"the keys {', '.join(given)}" if given else "an empty mapping"
        return [_complain(path, f"expected {forms}, got {held}")]

    def _direct(self, findings: list[_Finding]) -> list[_Complaint]:
        unknown = {f.path: keys_of(self._models(f.path[:-1])) for f in findings if f.error["type"] == "extra_forbidden"}
        complaints = [self._unknown_key(path, known) for path, known in unknown.items()]
        # A key that is missing only because it is misspelt is one problem, not two.
        meant = {(*path[:-1], self._meant(path, known)) for path, known in unknown.items()}
        others = (f for f in findings if f.path not in unknown and f.path not in meant)
        return complaints + [self._complaint(finding) for finding in others if not self._echoes(finding)]

    def _echoes(self, finding: _Finding) -> bool:
        """Return whether a list is only too short because items of it are wrong, which is a problem of its own."""
        value = self._source.value(finding.path)
        least = finding.error.get("ctx", {}).get("min_length", 0)
        return finding.error["type"] == "too_short" and isinstance(value, list) and len(value) >= least

    def _models(self, path: Path) -> list[Model]:
        return models_at(self._model, self._source.tree, path)

    def _given(self, path: Path) -> list[str]:
        value = self._source.value(path)
        return list(value) if isinstance(value, dict) else []

    def _meant(self, path: Path, known: list[str]) -> str | None:
        """Return the key that a misspelt one means: one that is not there yet, if any is near."""
        given = self._given(path[:-1])
        name = str(path[-1])
        return problems.closest(name, [other for other in known if other not in given]) or problems.closest(name, known)

    def _unknown_key(self, path: Path, known: list[str]) -> _Complaint:
        meant = self._meant(path, known)
        hint = f"did you mean '{meant}'?" if meant else f"known keys: {', '.join(known)}"
        return _complain(path, f"unknown key; {hint}", on_key=True)

    def _complaint(self, finding: _Finding) -> _Complaint:
        error, path = finding.error, finding.path
        match error["type"]:
            case "missing":
                return _Complaint(path[:-1], "required, but missing", path, on_key=True)
            case "kind_missing":
                return self._kind_missing(error, path)
            case "kind_unknown":
                return _complain(self._entry(path, "kind"), problems.unknown_kind(error))
            case "preset_unknown":
                return _complain(self._entry(path, presets.KEY), problems.unknown_preset(error))
            case "value_error" if isinstance(cause := error.get("ctx", {}).get("error"), problems.FieldProblem):
                return _complain((*path, *cause.at), str(cause), on_key=cause.key)
            case _ if problems.expected(error) is None:
                return _complain(path, problems.standalone(error), on_key=finding.on_key)
            case _:
                return self._mismatch([error], path, finding.on_key)

    def _entry(self, path: Path, key: str) -> Path:
        """Return the path of an entry; text that stands for a mapping has none, and is meant as a whole."""
        return path if isinstance(self._source.value(path), str) else (*path, key)

    def _mismatch(self, errors: list[ErrorDetails], path: Path, on_key: bool) -> _Complaint:
        value = path[-1] if on_key else self._source.value(path)
        words = ["none"] if path and not on_key and may_be_none(self._models(path[:-1]), path[-1]) else []
        return _complain(path, problems.mismatch(errors, value, words), on_key=on_key)

    def _kind_missing(self, error: ErrorDetails, path: Path) -> _Complaint:
        misspelt = problems.closest("kind", self._given(path))
        if misspelt:
            return _complain((*path, misspelt), "unknown key; did you mean 'kind'?", on_key=True)
        return _complain(path, problems.standalone(error), on_key=True)
