"""Diagnostics as text for people and as JSON values for programs."""

from collections.abc import Sequence
from typing import Any

from hrmsearch.analyses import Diagnostic
from hrmsearch.errors import Problem


def listing(found: Sequence[Diagnostic]) -> str:
    """Return every diagnostic in full, and a last line that counts them."""
    return "\n\n".join([*map(str, found), verdict(found)])


def verdict(found: Sequence[Diagnostic]) -> str:
    """Return one line: how many errors and warnings there are, and how many of them the spec accepts."""
    return tally([(one.severity, one.accepted) for one in found])


def tally(found: Sequence[tuple[str, str | None]]) -> str:
    """Return the same line for severities and reasons of acceptance."""
    if not found:
        return "no diagnostics"
    errors = sum(severity == "error" for severity, _ in found)
    parts = [_plural(errors, "error"), _plural(len(found) - errors, "warning")]
    accepted = sum(reason is not None for _, reason in found)
    return " and ".join(filter(None, parts)) + (f", {accepted} accepted" if accepted else "")


def record(found: Diagnostic) -> dict[str, Any]:
    """Return a diagnostic as JSON values: `accepted` says whether, `reason` why."""
    return {**found.as_json(), "accepted": found.accepted is not None, "reason": found.accepted}


def problem_record(problem: Problem) -> dict[str, Any]:
    """Return what keeps a spec from being built in the form of a diagnostic; its code is `spec`."""
    place = {"file": problem.place.file, "line": problem.place.line, "column": problem.place.column}
    what = {"field": problem.field, "message": problem.message, "accepted": False, "reason": None}
    return {"code": "spec", "name": "invalid-spec", "severity": "error", **place, **what}


def _plural(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}" if n else ""
