"""Every carry invariant over random specs, on every backend that is here; and the published leak, measured."""

import numpy as np
import pytest
from hypothesis import event, given, note, settings
from hypothesis import strategies as st

import hrmsearch as hs
from hrmsearch.passes.forms import in_form
from hrmsearch.spec.model import Spec
from hrmsearch.testing import specs
from hrmsearch.testing.check import default_backend, examine, prepare
from hrmsearch.testing.invariants import Drawn, Invariant, Subject, invariants
from hrmsearch.testing.invariants.subject import Case
from tests.backends import QUICK, usable
from tests.leaky import leaky


def _holds(subject: Subject, one: Invariant, data: st.DataObject) -> None:
    if one.unless(subject):
        return
    event(one.name)
    draws = Drawn(data)
    try:
        one(subject, draws)
    except AssertionError:
        note(f"{one.name}: {draws.values}")
        raise


@pytest.mark.parametrize("backend", usable(["reference", *QUICK]))
@settings(max_examples=12)
@given(spec=specs(), data=st.data())
def test_every_invariant_but_causality_holds_of_any_spec(backend: str, spec: Spec, data: st.DataObject) -> None:
    subject = prepare(spec, backend)
    for one in invariants().values():
        if one.name != "causality":
            _holds(subject, one, data)


@pytest.mark.parametrize("backend", usable(["reference", *QUICK]))
@settings(max_examples=25)
@given(spec=specs(sound=True), data=st.data())
def test_sound_specs_are_causal(backend: str, spec: Spec, data: st.DataObject) -> None:
    _holds(prepare(spec, backend), invariants()["causality"], data)


@pytest.mark.parametrize(("passes", "verdict"), [(1, "held"), (2, "failed")])
def test_the_published_memory_leaks_from_the_second_pass_on(passes: int, verdict: str) -> None:
    subject = prepare(hs.load("infini_hrm_as_published", [f"nest.passes={passes}"]))
    assert examine(subject, invariants()["causality"]).verdict == verdict


@pytest.mark.parametrize("spec", ["hrm", "infini_hrm", "transformer", "deepsup_transformer", "hrm_simultaneous"])
def test_sound_shipped_specs_move_nothing_exactly(spec: str) -> None:
    assert examine(prepare(hs.load(spec)), invariants()["causality"]).verdict == "held"


@pytest.mark.parametrize("form", ["null", "step", "chunk", "scan"])
@pytest.mark.parametrize("name", ["scan-forms", "step-chunk-whole", "causality", "gradients"])
def test_a_recurrence_runs_the_same_in_every_form(name: str, form: str) -> None:
    pytest.importorskip("torch")
    block = "{kind: residual, repeat: 2, mixer: {kind: leaky, lifetime: stream}}"
    subject = prepare(leaky(f"{{kind: stack, norm: {{}}, blocks: [{block}]}}", "task.window=20"), "torch")
    if form != "null":
        assert subject.compile is not None
        subject.executable = subject.compile(in_form(subject.graph, form))
    assert examine(subject, invariants()[name]).verdict == "held"


def _moved_by_the_last_token(name: str) -> float:
    """Return how far other token changes a full window's earlier logits, at the spec's own initial weights."""
    subject = prepare(hs.load(name), default_backend(), enlarge=0.0)
    subject.weigh(0)
    case = Case(subject, seed=0, rows=2, tokens=64)
    (window,) = case.windows(1)
    changed = {**window, "tokens": window["tokens"].copy()}
    changed["tokens"][:, 63] = (changed["tokens"][:, 63] + 1) % subject.classes
    before, after = (case.stream([one])[0][0] for one in (window, changed))
    return max(float(np.abs(a["logits"] - b["logits"])[:, :63].max()) for a, b in zip(after, before, strict=True))


def test_the_last_token_of_a_window_moves_earlier_logits_as_measured() -> None:
    assert 1e-4 < _moved_by_the_last_token("infini_hrm_as_published") < 1e-1
    assert _moved_by_the_last_token("hrm") == 0.0
    assert _moved_by_the_last_token("infini_hrm") == 0.0
