"""HS110: what it proves is so, and what it does not prove can be otherwise."""

from collections.abc import Callable, Mapping

import pytest

from hrmsearch.analyses import Diagnostic, validate
from hrmsearch.ir import Builder, Context, DType, Graph, Nest, Type, Value, axis, verify

ROW, TOKEN = axis("B"), axis("T")
MOST = 2.0
Step = Callable[[Builder, Value, Value], Value]


def counted(step: Step, start: float = 0.0) -> Graph:
    """Return a graph whose state `spent` promises [0, 2] and takes `step(spent, token)` at every token."""
    graph = Graph("counted", Nest())
    b = Builder(graph, Context(1, 1, 2), graph.main, place="model.memory[0]")
    proposed = b.input("proposed", Type(DType.BOOL, (ROW, TOKEN)))
    reset, type_ = b.input("reset", Type(DType.I8, (ROW,))), Type(DType.WIDE, (ROW,))
    when: Mapping[str, str] = {"lifetime": "stream", "commit": "every_pass"}
    begun = b.full(start, Type(DType.WIDE))
    spent = b.state("spent", type_, begun, reset, **when, within=(0.0, MOST))

    def body(spent: Value, proposed: Value) -> list[Value]:
        return [step(b, spent, proposed)]

    (last,) = b.scan("T", [spent], [b.cast(proposed, DType.WIDE)], body, at=1)
    graph.candidates["spent"] = last
    return verify(graph)


def findings(graph: Graph) -> list[Diagnostic]:
    return [one for one in validate(graph) if one.code == "HS110"]


def _guarded(b: Builder, spent: Value, proposed: Value) -> Value:
    more = spent + proposed
    return b.where(b.op("less", MOST, more), spent, more)


def _guarded_by_no(b: Builder, spent: Value, proposed: Value) -> Value:
    more = spent + proposed
    return b.where(b.op("not", b.op("less", MOST, more)), more, 0.0)


def _guarded_by_both(b: Builder, spent: Value, proposed: Value) -> Value:
    more = spent + proposed
    return b.where(b.op("and", b.op("less", more, MOST), b.op("less", 0.0, more)), more, spent)


def _never_rising(b: Builder, spent: Value, proposed: Value) -> Value:
    more = spent + proposed + 3.0
    return b.where(b.op("less", MOST, more), spent, more)


def _cut(b: Builder, spent: Value, proposed: Value) -> Value:
    return b.op("minimum", spent + proposed, MOST)


KEPT: Mapping[str, Step] = {
    "a count that rises where the comparison lets it": _guarded,
    "a count that is zero again beyond its bound": _guarded_by_no,
    "a count under two conditions": _guarded_by_both,
    "a branch that is never taken": _never_rising,
    "a minimum": _cut,
}


@pytest.mark.parametrize("name", KEPT)
def test_a_bounded_count_is_proven(name: str) -> None:
    assert findings(counted(KEPT[name])) == []


def _unguarded(b: Builder, spent: Value, proposed: Value) -> Value:
    del b
    return spent + proposed


def _guarded_too_late(b: Builder, spent: Value, proposed: Value) -> Value:
    return b.where(b.op("less", MOST, spent), spent, spent + proposed)


def _turned_around(b: Builder, spent: Value, proposed: Value) -> Value:
    more = spent + proposed
    return b.where(b.op("less", MOST, more), more, spent)


def _guarded_by_either(b: Builder, spent: Value, proposed: Value) -> Value:
    more = spent + proposed
    return b.where(b.op("or", b.op("less", more, MOST), b.op("less", 0.5, proposed)), more, spent)


BROKEN: Mapping[str, Step] = {
    "without a comparison": _unguarded,
    "that is compared before it rises": _guarded_too_late,
    "that rises where it should not": _turned_around,
    "that rises for another reason": _guarded_by_either,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_count_is_not_proven(name: str) -> None:
    (found,) = findings(counted(BROKEN[name]))
    assert (found.severity, found.field) == ("error", "model.memory[0]")
    assert found.path == (
        "spent is in [0, 2] as a pass begins",
        "a step takes [0, 2] to [0, 3]",
        "it is left in [-inf, inf]",
    )


def test_a_start_outside_of_the_promise_is_found() -> None:
    (found,) = findings(counted(_guarded, start=3.0))
    assert found.path[-1] == "it starts in [3, 3]"
