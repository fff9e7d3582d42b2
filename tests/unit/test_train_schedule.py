"""The learning rate: exact at the joints, and never above its peak."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrmsearch.spec.model import Schedule
from hrmsearch.train.schedule import learning_rate


def test_warm_up_is_a_straight_line_to_the_peak() -> None:
    rates = [learning_rate(Schedule(warmup=4), 0.8, step, 10) for step in range(1, 7)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8], abs=1e-15)


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    assert learning_rate(Schedule(), 0.8, 1, 10) == 0.8


def test_a_cosine_is_half_way_in_the_middle_and_at_its_floor_at_the_last_step() -> None:
    cosine = Schedule(kind="cosine", warmup=2, floor=0.1)
    assert learning_rate(cosine, 1.0, 2, 12) == 1.0
    assert learning_rate(cosine, 1.0, 7, 12) == pytest.approx(0.55, abs=1e-15)
    assert learning_rate(cosine, 1.0, 12, 12) == pytest.approx(0.1, abs=1e-15)


@given(st.sampled_from(["constant", "cosine"]), st.integers(0, 30), st.floats(0, 1), st.integers(1, 20), st.data())
def test_a_rate_lies_between_zero_and_the_peak(
    kind: str, warmup: int, floor: float, total: int, data: st.DataObject
) -> None:
    schedule = Schedule.model_validate({"kind": kind, "warmup": warmup, "floor": floor})
    assert 0 <= learning_rate(schedule, 0.5, data.draw(st.integers(1, total)), total) <= 0.5 * (1 + 1e-12)
