"""The table of memories by place, lifetime and commit rule, as Markdown."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from hrmsearch.testing.combinations import COMMITS, PLACES, Verdict

#: by place, lifetime and commit rule, what a table says
_Grid = Mapping[tuple[str, str, str], str]
_Said = TypeVar("_Said")


def table(verdicts: Iterable[Verdict]) -> str:
    """Return a section for every set of memories of which the compiler says the same, and the reasons behind them."""
    reasons: dict[str, int] = {}
    grids: dict[str, dict[tuple[str, str, str], str]] = {}
    for verdict in verdicts:
        one = verdict.one
        grids.setdefault(one.name, {})[one.at, one.when, one.commit] = _word(verdict, reasons)
    alike: dict[str, list[str]] = {}
    for name, grid in grids.items():
        alike.setdefault("\n".join(_rows(grid)), []).append(f"`{name}`")
    sections = [f"**{', '.join(names)}**\n\n{rows}\n" for rows, names in alike.items()]
    notes = [f"{number}. {reason}" for reason, number in reasons.items()]
    return "\n".join([*sections, "Refused, because\n", *notes]) + "\n"


def _word(verdict: Verdict, reasons: dict[str, int]) -> str:
    if verdict.problem is not None:
        return f"({reasons.setdefault(verdict.refusal, len(reasons) + 1)})"
    warnings = sorted({one.code for one in verdict.diagnostics} - {*verdict.errors})
    return ", ".join(verdict.errors or ["runs", *warnings])


def _rows(grid: _Grid) -> Iterator[str]:
    """Yield the lines of a table; places of which the same is said share a column, times of which it is a line."""
    times = list(dict.fromkeys((when, commit) for _, when, commit in grid))
    columns = _joined({place: [grid[place, *time] for time in times] for place in PLACES})
    heads = [", ".join(f"`{place}`" for place in places) for places, _ in columns]
    yield f"| lifetime | commit | {' | '.join(heads)} |"
    yield f"|---|---|{'---|' * len(heads)}"
    lifetimes = list(dict.fromkeys(when for when, _ in times))
    parts = {
        when: _joined({commit or "left out": [grid[p[0], when, commit] for p, _ in columns] for commit in COMMITS})
        for when in lifetimes
    }
    for whens, lines in _joined(parts):
        for commits, cells in lines:
            yield f"| {_either(whens, lifetimes)} | {_either(commits, COMMITS)} | {' | '.join(cells)} |"


def _either(names: Sequence[str], every: Sequence[str]) -> str:
    return "any" if len(names) == len(every) else " or ".join(names)


def _joined(said: Mapping[str, _Said]) -> list[tuple[list[str], _Said]]:
    """Return names with what is said of them, those of which the same is said together."""
    found: list[tuple[list[str], _Said]] = []
    for name, words in said.items():
        same = next((names for names, other in found if other == words), None)
        if same is None:
            found.append(([name], words))
        else:
            same.append(name)
    return found
