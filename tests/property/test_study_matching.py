"""Matching: an arm meets its budget by the real count, or the nearest sizes are shown."""

from collections.abc import Sequence
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hrmsearch as hs
from hrmsearch.errors import SpecError
from hrmsearch.spec.model import Spec
from hrmsearch.study.matching import Unmatched, match, measure
from tests.studying import ARM

HEADS = st.sampled_from([1, 2, 3, 4])
DIM, WIDTH = "model.dim", "model.defaults.ffn.width"


def spec_of(heads: int, overrides: Sequence[str] = ()) -> Spec:
    return hs.loads(ARM.format(name="a", heads=heads, causal="true"), "a.yaml", [f"dim={2 * heads}", *overrides])


def params(heads: int, **values: int) -> int | None:
    """Return the parameters of the arm by counting the entries of every one; None where the integers do not fit."""
    paths = {"dim": DIM, "width": WIDTH}
    try:
        graph = hs.lower(spec_of(heads, [f"{paths[name]}={value}" for name, value in values.items()]))
    except SpecError:
        return None
    return sum(prod(op.result.type.shape({})) for op in graph.params.values())


@settings(max_examples=8)
@given(HEADS, st.integers(200, 20_000), st.sampled_from([0.005, 0.02, 0.1]))
def test_a_match_is_within_tolerance_by_the_real_count(heads: int, budget: int, within: float) -> None:
    try:
        found = match(lambda o: spec_of(heads, o), "params", budget, within, [DIM, WIDTH])
    except Unmatched:
        return
    real = hs.lower(spec_of(heads, found.overrides))
    count = sum(prod(op.result.type.shape({})) for op in real.params.values())
    assert count == found.size == measure("params", spec_of(heads), real)
    assert abs(count - budget) <= within * budget


@settings(max_examples=8)
@given(HEADS, st.integers(400, 12_000))
def test_one_path_takes_the_value_that_is_nearest_by_brute_force(heads: int, budget: int) -> None:
    # rotary positions take heads of even width
    sizes = [params_by_formula(dim, 4) for dim in range(2 * heads, 65, 2 * heads)]
    best = min(sizes, key=lambda size: abs(size - budget))
    off = abs(best - budget) / budget
    found = match(lambda o: spec_of(heads, o), "params", budget, off + 1e-12, [DIM])
    assert abs(found.size - budget) == abs(best - budget)
    if best != budget:
        with pytest.raises(Unmatched) as caught:
            match(lambda o: spec_of(heads, o), "params", budget, off - 1e-12, [DIM])
        assert f"{best:,.0f} (" in str(caught.value)


@settings(max_examples=8)
@given(HEADS, st.integers(1_000, 6_000))
def test_two_paths_meet_whatever_a_small_grid_can_meet(heads: int, budget: int) -> None:
    grid = [params_by_formula(dim, width) for dim in range(2 * heads, 17, 2 * heads) for width in range(1, 80)]
    within = 0.01
    if any(abs(size - budget) <= within * budget for size in grid):
        found = match(lambda o: spec_of(heads, o), "params", budget, within, [DIM, WIDTH])
        assert found.off(budget) <= within


def params_by_formula(dim: int, width: int) -> int:
    """Return the parameters of the arm from the sizes of its maps: table, q k v o, three of the ffn, norms, head."""
    return 2 * 97 * dim + 4 * dim * dim + 3 * dim * width + 2 * dim


@settings(max_examples=10)
@given(HEADS, st.integers(1, 4), st.integers(1, 50))
def test_the_formula_of_this_test_is_the_real_count(heads: int, factor: int, width: int) -> None:
    dim = 2 * heads * factor
    assert params_by_formula(dim, width) == params(heads, dim=dim, width=width)
    assert params(heads, dim=dim + 1, width=width) is None


def test_an_arm_that_fits_as_written_is_left_alone() -> None:
    written = params(2)
    assert written is not None
    assert match(lambda o: spec_of(2, o), "params", written * 1.015, 0.02, [DIM]).values == {}


def test_a_later_path_closes_what_heads_make_coarse() -> None:
    found = match(lambda o: spec_of(4, o), "params", 5_000, 0.005, [DIM, WIDTH])
    assert set(found.values) == {DIM, WIDTH}
    assert found.values[DIM] % 8 == 0


def test_a_path_that_changes_nothing_is_passed_over() -> None:
    found = match(lambda o: spec_of(1, o), "params", 5_000, 0.05, ["train.batch", DIM])
    assert set(found.values) <= {"train.batch", DIM}
    assert found.off(5_000) <= 0.05


def test_an_impossible_budget_shows_the_nearest_sizes() -> None:
    with pytest.raises(
        Unmatched, match=r"params cannot be brought to 150 within 1 %; the nearest are 432 \(as written\)"
    ):
        match(lambda o: spec_of(1, o), "params", 150, 0.01, [DIM])


@pytest.mark.parametrize("what", ["flops_per_token", "state_bytes"])
def test_other_budgets_are_matched_as_manifests_record_them(what: str) -> None:
    stream = "core.state={lifetime: window}"
    budget = measure(what, wide := spec_of(1, [stream, "dim=24"]), hs.lower(wide))
    found = match(lambda o: spec_of(1, [stream, *o]), what, budget, 0.001, [DIM])
    assert found.values == {DIM: 24}
