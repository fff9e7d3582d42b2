"""`hrmsearch check` on tinygrad: the invariants hold there too, and few shapes are compiled."""

import pytest

pytest.importorskip("tinygrad", reason="tinygrad is not installed")

import hrmsearch as hs
from hrmsearch.testing.check import check, examine, prepare
from hrmsearch.testing.invariants import invariants
from hrmsearch_tinygrad import TinygradExecutable
from tests.part_models import MODELS
from tests.tinygrad_cpu import needs_tinygrad

pytestmark = needs_tinygrad


def test_every_example_of_the_claims_about_rows_is_one_structure() -> None:
    subject = prepare(hs.loads(MODELS["infini"]), "tinygrad")
    for name in ("reset-rows", "row-independence", "row-order"):
        assert examine(subject, invariants()[name], 6).verdict == "held"
    assert isinstance(subject.executable, TinygradExecutable)
    assert isinstance(subject.executable, TinygradExecutable)
    assert subject.executable.structures == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_invariants_hold_of_a_model_with_every_kind_of_part(name: str) -> None:
    report = check(hs.loads(MODELS[name]), backend="tinygrad", examples=4)
    assert report.ok, str(report)
