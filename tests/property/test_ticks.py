"""The tick schedule against its definition."""

from collections.abc import Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from hrmsearch.blocks.ticks import Item, Tick, fold, schedule


@st.composite
def periods(draw: st.DrawFn) -> dict[str, int]:
    """Draw periods of which each divides the next, under names whose order says nothing."""
    factors = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    names = draw(st.permutations(["L", "M", "H"]))
    values = [1]
    for factor in factors[1:]:
        values.append(values[-1] * factor)
    return dict(zip(names, values, strict=False))


def unfold(items: Sequence[Item]) -> Iterator[Tick]:
    for item in items:
        if isinstance(item, tuple):
            yield item
        else:
            for _ in range(item.n):
                yield from unfold(item.body)


def depth(items: Sequence[Item]) -> int:
    return sum(1 if isinstance(item, tuple) else 1 + depth(item.body) for item in items)


@given(periods(), st.integers(1, 5))
def test_a_level_updates_exactly_when_its_period_divides_the_tick(levels: dict[str, int], cycles: int) -> None:
    ticks = schedule(levels, cycles)
    assert len(ticks) == cycles * max(levels.values())
    for i, tick in enumerate(ticks, 1):
        assert set(tick) == {name for name, period in levels.items() if i % period == 0}
        assert [levels[name] for name in tick] == sorted(levels[name] for name in tick)


@given(periods(), st.integers(1, 6), st.data())
def test_folding_a_stretch_of_ticks_keeps_every_tick(levels: dict[str, int], cycles: int, data: st.DataObject) -> None:
    ticks = schedule(levels, cycles)
    start = data.draw(st.integers(0, len(ticks)))
    end = data.draw(st.integers(start, len(ticks)))
    assert list(unfold(fold(ticks[start:end], list(levels.values())))) == ticks[start:end]


@given(periods(), st.integers(2, 50))
def test_whole_cycles_fold_to_a_size_that_does_not_grow(levels: dict[str, int], cycles: int) -> None:
    lengths = list(levels.values())
    once = depth(fold(schedule(levels, 2), lengths))
    assert depth(fold(schedule(levels, cycles), lengths)) <= once + 1
