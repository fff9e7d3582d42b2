"""Whatever the nest, the loader and the batch: every window goes through every pass once, in order, well marked."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from hrmsearch.ir import Graph, Lifetime, Nest
from hrmsearch.runtime import Carry, Pass, Span, SpanResult
from hrmsearch.tasks.base import Split
from hrmsearch.tasks.loaders import train_batches
from hrmsearch.train.nest import group_length, groups, micro_batches, rows_of, spans, updates_per_epoch
from hrmsearch.train.stepping import Stepper, Update


@st.composite
def nests(draw: st.DrawFn) -> Nest:
    passes = draw(st.integers(1, 4))
    divisors = [k for k in range(1, passes + 1) if passes % k == 0]
    of_passes = st.sampled_from(divisors).map(lambda k: ("passes", k))
    span = draw(of_passes | st.integers(1, 3).map(lambda k: ("windows", k)))
    step = draw(st.sampled_from(["span", "window"])) if span[0] == "passes" or span[1] == 1 else "span"
    return Nest(passes, span, step, draw(st.sampled_from(["shuffled", "contiguous"])), True, 3)


def split_of(count: int) -> Split:
    return Split.of_text(np.arange(count * 3 + 1, dtype=np.int32), 3, "text")


class Recorder:
    """Stands in for an executable: its carry is a list of the passes that rows went through."""

    def __init__(self, nest: Nest) -> None:
        self.graph = Graph("recorded", nest)
        self.calls: list[Pass] = []
        self.weights: list[float] = []
        self.updates = 0

    def init_carry(self, batch: int, tokens: int) -> Carry:
        return {"rows": batch, "seen": ()}

    def backward(self, span: Span, carry: Carry, weight: float = 1.0) -> SpanResult:
        assert all(len(call.inputs["tokens"]) == carry["rows"] for call in span)
        assert carry["seen"] or span[0].reset == Lifetime.STREAM
        self.calls += span
        self.weights += [weight] * len(span)
        after: Mapping[str, Any] = {"rows": carry["rows"], "seen": (*carry["seen"], *map(id, span))}
        return SpanResult([1.0] * len(span), after)

    def update(self, lr: float) -> float:
        self.updates += 1
        return lr

    def train_step(self, span: Span, carry: Carry, lr: float) -> tuple[SpanResult, float]:
        return self.backward(span, carry), self.update(lr)


counts, rows, shares = st.integers(1, 30), st.integers(1, 5), st.integers(1, 3)


@given(nests(), counts, rows)
def test_groups_and_spans_are_the_passes_over_the_windows_in_order(nest: Nest, count: int, batch: int) -> None:
    assume(nest.loader == "shuffled" or count >= batch)
    batches = list(train_batches([split_of(count)], nest.loader, batch, 0, 0))
    dealt = list(groups(batches, group_length(nest)))
    assert [b for group in dealt for b in group] == batches
    assert all(len({rows_of(b) for b in group}) == 1 for group in dealt)
    calls = [call for group in dealt for span in spans(group, nest) for call in span]
    assert [id(call.inputs) for call in calls] == [id(b.arrays) for b in batches for _ in range(nest.passes)]
    firsts, later = calls[:: nest.passes], [c for i, c in enumerate(calls) if i % nest.passes]
    assert [call.reset for call in firsts] == [int(b.reset) for b in batches]
    assert all(call.reset == Lifetime.PASS for call in later)
    assert [call.last for call in calls] == [(i + 1) % nest.passes == 0 for i in range(len(calls))]


@given(nests(), counts, rows)
def test_a_span_is_as_long_as_the_nest_says_until_an_epoch_or_the_rows_end(nest: Nest, count: int, batch: int) -> None:
    assume(nest.loader == "shuffled" or count >= batch)
    unit, length = nest.backprop
    for group in groups(train_batches([split_of(count)], nest.loader, batch, 0, 0), group_length(nest)):
        sizes = {len(span) for span in spans(group, nest)}
        assert sizes == {length if unit == "passes" else len(group) * nest.passes}


@given(nests(), counts, rows, shares)
def test_an_epoch_takes_as_many_steps_as_were_counted_before(nest: Nest, count: int, micro: int, share: int) -> None:
    assume(nest.loader == "shuffled" or count >= micro * share)
    split, fake, heard = split_of(count), Recorder(nest), list[Update]()
    stepper = Stepper(fake, micro, lambda: 0.5, lambda loss, number: None)  # pyright: ignore[reportArgumentType]
    for group in groups(train_batches([split], nest.loader, micro * share, 0, 0), group_length(nest)):
        losses = stepper.step(group, heard.append)
        assert np.allclose(losses, [1.0] * nest.passes)
    assert fake.updates == len(heard) == updates_per_epoch([len(split)], nest, micro * share)


@given(nests(), counts, rows, shares)
def test_micro_batches_share_the_rows_and_their_weights_sum_to_one(
    nest: Nest, count: int, micro: int, share: int
) -> None:
    assume(nest.loader == "shuffled" or count >= micro * share)
    for group in groups(train_batches([split_of(count)], nest.loader, micro * share, 0, 0), group_length(nest)):
        fake = Recorder(nest)
        stepper = Stepper(fake, micro, lambda: 0.5, lambda loss, number: None)  # pyright: ignore[reportArgumentType]
        fresh = [type(b)(b.arrays, Lifetime.STREAM) for b in group]
        stepper.step(fresh, lambda update: None)
        assert np.isclose(sum(fake.weights), nest.passes * len(group))
        for batch, parts in zip(group, zip(*micro_batches(group, micro), strict=True), strict=True):
            joined = np.concatenate([part.arrays["tokens"] for part in parts])
            assert np.array_equal(joined, batch.arrays["tokens"])
            assert all(rows_of(part) <= micro for part in parts)
