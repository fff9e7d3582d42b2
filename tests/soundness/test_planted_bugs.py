"""Bugs planted in sound models: each one changes what the model gives, and none survives its checks."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache

import pytest

pytest.importorskip("torch")

from tests.soundness import graph_bugs, halting_bugs, run_bugs, source_bugs, spec_bugs
from tests.soundness.checking import COUNTS, Record, codes, moved, noticed, recorded
from tests.soundness.halting_bugs import HaltingBug
from tests.soundness.planting import Bug, Model
from tests.soundness.run_bugs import RunBug

LEVELS = {"spec": spec_bugs.BUGS, "graph": graph_bugs.BUGS, "emitted code": source_bugs.BUGS}
BUGS = [bug for bugs in LEVELS.values() for bug in bugs]
ALL = {**LEVELS, "run": run_bugs.BUGS, "halting": halting_bugs.BUGS}


@cache
def sound_record(model: Model) -> Record:
    return recorded(model)


@cache
def against_sound(model: Model, check: str) -> str:
    return noticed(model, check)


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_a_bug_counts_since_its_sound_twin_passes_and_gives_something_else(bug: Bug) -> None:
    broken = bug.breaks(bug.twin)
    assert not codes(bug.twin)
    assert {check: against_sound(bug.twin, check) for check in bug.caught} == dict.fromkeys(bug.caught, "")
    with broken.around():
        assert moved(sound_record(bug.twin), recorded(broken)) > COUNTS


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_a_bug_is_caught(bug: Bug) -> None:
    broken = bug.breaks(bug.twin)
    assert [check for check in bug.caught if not noticed(broken, check)] == []


@pytest.mark.parametrize("bug", run_bugs.BUGS, ids=str)
def test_a_bug_of_a_run_is_caught(bug: RunBug) -> None:
    for check in bug.caught:
        equal, gap = run_bugs.CHECKS[check](bug.given, nullcontext())
        assert (equal, gap <= COUNTS) == (True, True)
        equal, gap = run_bugs.CHECKS[check](bug.given, bug.planted())
        assert (equal, gap > COUNTS) == (False, True)


@pytest.mark.parametrize("bug", halting_bugs.BUGS, ids=str)
def test_a_bug_in_halting_is_caught(bug: HaltingBug) -> None:
    twin = halting_bugs.subject()
    assert [check for check in bug.caught if halting_bugs.noticed(twin, check)] == []
    wanted = halting_bugs.recorded(twin)
    with bug.planted():
        broken = halting_bugs.subject()
        assert [check for check in bug.caught if not halting_bugs.noticed(broken, check)] == []
        assert moved(wanted, halting_bugs.recorded(broken)) > COUNTS


def test_there_are_enough_bugs_of_every_level() -> None:
    names = [bug.name for bugs in ALL.values() for bug in bugs]
    assert len(names) == len(set(names)) >= 25
    assert all(len(bugs) >= 5 for bugs in ALL.values())


def test_the_page_of_planted_bugs_lists_them_all(golden: Callable[[str, str], None]) -> None:
    golden("../../docs/planted-bugs.md", _page())


_HEAD = """# Planted bugs

The tests in `tests/soundness` break a sound model in the ways below. Every bug changes a forward value, a gradient or a
carry by more than 1e-6, its unbroken twin passes every check, and each check named here catches it. `HS...` are
diagnostics (`hrmsearch explain HS101`); `values` and `derivative` compare with the reference backend; `resume` and
`nest` hold a run to one that never stopped and to its passes one by one; the others are invariants of
`hrmsearch check`. `pytest tests/soundness --update-goldens` writes this page.
"""


def _page() -> str:
    lines = [_HEAD]
    for level, bugs in ALL.items():
        lines += [f"## {level.capitalize()}\n", "| bug | what goes wrong | caught by |", "|---|---|---|"]
        lines += [f"| {bug.name} | {bug.how} | {', '.join(f'`{check}`' for check in bug.caught)} |" for bug in bugs]
        lines.append("")
    return "\n".join(lines)
