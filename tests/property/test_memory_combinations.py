"""Every memory kind x place x lifetime x commit rule runs and holds what is claimed, or is refused with a reason."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from hrmsearch.spec.registry import kinds
from hrmsearch.testing.check import check, examine, prepare
from hrmsearch.testing.combination_table import table
from hrmsearch.testing.combinations import PLACES, Verdict, combinations, judge, variants
from hrmsearch.testing.invariants import invariants

PAGE = Path(__file__).parents[2] / "docs" / "memories.md"
BEGIN, END = "<!-- combinations -->\n", "<!-- end of combinations -->\n"
BRIEF = ("causality", "commits", "gradients", "interrupted-stream", "reset-rows", "row-independence", "write-mask")


def _ours(*, deep: bool = False) -> list[str]:
    """Return the memories that are made of parts of this package; other tests may have registered some of their own."""

    def ours(family: str, kind: str) -> bool:
        return kinds(family)[kind].__module__.startswith("hrmsearch.")

    return [
        name
        for name, memory in variants(deep=deep).items()
        if ours("memory", memory["kind"]) and ("mixer" not in memory or ours("mixer", memory["mixer"]["kind"]))
    ]


MEMORIES = _ours()


@cache
def verdicts(name: str) -> Sequence[Verdict]:
    return [judge(one) for one in combinations({name: variants(deep=True)[name]})]


@pytest.mark.parametrize("name", MEMORIES)
def test_a_combination_runs_or_says_at_its_line_why_not(name: str) -> None:
    for verdict in verdicts(name):
        if verdict.problem is not None:
            assert verdict.problem.field.startswith("model.memory[0]"), str(verdict.one)
            assert (verdict.problem.place.file, verdict.problem.place.line) == ("combination.yaml", 1)
            assert len(verdict.refusal) > 20, verdict.refusal
        for diagnostic in verdict.diagnostics:
            assert diagnostic.code in ("HS101", "HS106", "HS108", "HS109"), f"{verdict.one}: {diagnostic}"
            assert diagnostic.severity == ("error" if diagnostic.code == "HS101" else "warning")


@pytest.mark.parametrize("kind", sorted({variants()[name]["kind"] for name in MEMORIES}))
def test_every_kind_runs_somewhere(kind: str) -> None:
    ran = [v for name in MEMORIES if variants()[name]["kind"] == kind for v in verdicts(name) if v.runs]
    assert {v.one.at for v in ran} in ({"prepend"}, {"input"}, {*PLACES[1:]})


def test_the_page_says_what_the_compiler_says(request: pytest.FixtureRequest) -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n{table(v for name in MEMORIES for v in verdicts(name))}\n{END}{after}"
    if request.config.getoption("--update-goldens"):
        PAGE.write_text(wanted, encoding="utf-8", newline="\n")
    assert PAGE.read_text(encoding="utf-8") == wanted


def _built(name: str) -> list[Verdict]:
    """Return what can be built of a memory; the analyses may have found errors in it."""
    return [verdict for verdict in verdicts(name) if verdict.problem is None]


def _some(name: str) -> list[Verdict]:
    """Return of what can be built a few, so that every place and every time occurs; another few for every memory."""
    built = [verdict for verdict in _built(name) if verdict.one.commit] or _built(name)
    times = list(dict.fromkeys((v.one.when, v.one.commit) for v in built))
    places = list(dict.fromkeys(v.one.at for v in built))
    shift, count = len(name), max(len(times), len(places))
    drawn = {(places[(i + shift) % len(places)], *times[i % len(times)]) for i in range(count)}
    return [v for v in built if (v.one.at, v.one.when, v.one.commit) in drawn]


@pytest.mark.parametrize("name", MEMORIES)
def test_what_can_be_built_holds_what_is_claimed_of_it(name: str) -> None:
    for verdict in _some(name):
        subject = prepare(verdict.one.spec(accept=verdict.errors))
        for claim in (invariants()[name] for name in BRIEF):
            # what an analysis foretells is not looked for again
            if claim.code not in verdict.errors:
                outcome = examine(subject, claim, examples=2)
                assert outcome.verdict != "failed", f"{verdict.one}: {outcome}"


@pytest.mark.slow
@pytest.mark.parametrize("name", MEMORIES)
def test_every_combination_passes_check(name: str) -> None:
    for verdict in _built(name):
        if verdict.one.commit or len(_built(name)) == 1:
            _check(verdict, "torch")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["reference", "tinygrad"])
@pytest.mark.parametrize("name", MEMORIES)
def test_a_memory_passes_check_on_other_backends_at_every_place(name: str, backend: str) -> None:
    if backend == "tinygrad":
        pytest.importorskip(backend)
    for verdict in _some(name):
        _check(verdict, backend)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in _ours(deep=True) if name not in MEMORIES])
def test_a_memory_passes_check_whatever_its_choices(name: str) -> None:
    for verdict in _some(name):
        _check(verdict, "torch")


def _check(verdict: Verdict, backend: str) -> None:
    report = check(verdict.one.spec(accept=verdict.errors), backend=backend, examples=3)
    assert report.ok, f"{verdict.one}: {report}"
