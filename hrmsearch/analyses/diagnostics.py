"""Diagnostics: what the analyses found, each with a code, its place in the spec, the path that proves it and a remedy.

An analysis is a file of this package that declares one rule:

    @rule("HS103", "carry-outlives-loader")
    def loader(graph: Graph) -> Iterator[Finding]: ...

It is known by being there. Its rule is explained in its module's docstring and, for users, in `pages/<code>.md`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Literal

from hrmsearch.errors import GraphError, Place
from hrmsearch.ir.graph import Graph
from hrmsearch.spec.model import Spec

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an analysis found.

    field: the spec path it stands at. path: the chain that proves it, first cause first. notes: details, a line each.
    severity: where it is not the rule's own.
    """

    field: str
    message: str
    path: tuple[str, ...] = ()
    suggestion: str = ""
    notes: tuple[str, ...] = ()
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A finding of a rule at its place in the user's text; `accepted` is the reason for which the spec accepts it."""

    code: str
    name: str
    severity: Severity
    place: Place
    field: str
    message: str
    path: tuple[str, ...] = ()
    suggestion: str = ""
    notes: tuple[str, ...] = ()
    accepted: str | None = None
    excerpt: str = ""

    @property
    def stops(self) -> bool:
        """Whether this forbids training: an error that the spec does not accept."""
        return self.severity == "error" and self.accepted is None

    def as_json(self) -> dict[str, Any]:
        """Return the diagnostic as plain data, the place as `file`, `line` and `column`."""
        place = {"file": self.place.file, "line": self.place.line, "column": self.place.column}
        head = {"code": self.code, "name": self.name, "severity": self.severity, **place, "field": self.field}
        tail = {"path": list(self.path), "suggestion": self.suggestion, "notes": list(self.notes)}
        return {**head, "message": self.message, **tail, "accepted": self.accepted}

    def __str__(self) -> str:
        return "\n".join(_render(self))


Analysis = Callable[[Graph], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A registered analysis: its stable code, its name, how severe its findings are by default."""

    code: str
    name: str
    severity: Severity
    run: Analysis


_RULES: dict[str, Rule] = {}


def rule(code: str, name: str, severity: Severity = "error") -> Callable[[Analysis], Analysis]:
    """Register an analysis under a code."""

    def register(run: Analysis) -> Analysis:
        assert code not in _RULES or _RULES[code].run.__module__ == run.__module__, code
        _RULES[code] = Rule(code, name, severity, run)
        return run

    return register


@cache
def rules() -> dict[str, Rule]:
    """Return every rule by code: those of the files in this folder."""
    package = __name__.rpartition(".")[0]
    for module in iter_modules([str(Path(__file__).parent)]):
        import_module(f"{package}.{module.name}")
    return dict(sorted(_RULES.items()))


def validate(graph: Graph, spec: Spec | None = None) -> list[Diagnostic]:
    """Return what every analysis has to say of a graph as it was lowered, by code.

    spec: gives exact places, excerpts and accepted codes; without it places are those the graph remembers.
    """
    return [_located(graph, spec, one, found) for one in rules().values() for found in one.run(graph)]


def page(code: str) -> str:
    """Return the page that explains a code; raises GraphError for an unknown one."""
    if code not in rules():
        raise GraphError(f"no diagnostic is called {code!r}; there are: {', '.join(rules())}")
    return (Path(__file__).parent / "pages" / f"{code}.md").read_text(encoding="utf-8")


def _located(graph: Graph, spec: Spec | None, one: Rule, found: Finding) -> Diagnostic:
    reasons: dict[str, str] = getattr(spec, "accept", None) or {}
    place, excerpt = _remembered(graph, found.field), ""
    if spec is not None:
        (problem,) = spec.problem(found.field, found.message).problems
        place, excerpt = problem.place, problem.excerpt
    return Diagnostic(
        one.code,
        one.name,
        found.severity or one.severity,
        place,
        found.field,
        found.message,
        found.path,
        found.suggestion,
        found.notes,
        reasons.get(one.code),
        excerpt,
    )


def _remembered(graph: Graph, field: str) -> Place:
    """Return the place of a field or of its nearest ancestor that the graph was built from."""
    while field and field not in graph.places:
        field = field[: max(field.rfind("."), field.rfind("["), 0)]
    if not field:
        return Place(graph.name, 1, 1)
    file, line, column = graph.places[field].rsplit(":", 2)
    return Place(file, int(line), int(column))


def _render(found: Diagnostic) -> Iterator[str]:
    yield f"{found.severity}[{found.code}] {found.name}: {found.message}"
    yield f"  --> {found.place}: {found.field}"
    yield from (f"   | {line}" for line in found.excerpt.splitlines())
    if found.path:
        yield f"   = path: {' -> '.join(found.path)}"
    yield from (f"   = note: {note}" for note in found.notes)
    if found.suggestion:
        yield f"   = help: {found.suggestion}"
    if found.accepted is not None:
        yield f"   = accepted: {found.accepted}"
