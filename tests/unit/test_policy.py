"""What a spec may say of a memory's policy, and what it tells."""

from collections.abc import Mapping

import numpy as np
import pytest

import hrmsearch as hs
from hrmsearch.errors import SpecError
from hrmsearch.ir import TELEMETRY, text
from hrmsearch.runtime import Array, Options, Pass, load_backend
from hrmsearch.spec.load import resolved
from hrmsearch.spec.model import Spec
from tests.part_models import ATTENTION, INFINI, levels, model, stack

GATE = "gate: {width: 3}"
CLOCK = "clock: {every: 2, budget: {writes: 1, window: 4}}"
CONTROL = "control: {window: 2, limit: -1.0e9, release: -1.0e9}"
SHARES = ("reason_clock", "reason_evidence", "reason_control", "reason_budget")


def governed(policy: str, at: str = "core.0", memory: str = INFINI, tell: str = "") -> Spec:
    text = stack(ATTENTION, memory=f"at: {at}, {memory}, policy: {{{policy}}}")
    return hs.loads(text, "a.yaml", [f"train.telemetry={{of: [{tell}]}}"] if tell else [])


def windows(spec: Spec, count: int, **weights: float) -> list[Mapping[str, Array]]:
    """Return the outputs of consecutive windows of a stream; weights: values of parameters by the end of their path."""
    executable = load_backend("reference").compile(hs.lower(spec), Options(dtype="float64"))
    executable.init(0)
    ends = {path: path.rpartition(".")[2] for path in executable.params}
    fixed = {path: np.full_like(executable.params[path], weights[end]) for path, end in ends.items() if end in weights}
    executable.set_params({**executable.params, **fixed})
    rng, carry, found = np.random.default_rng(0), executable.init_carry(2, 4), list[Mapping[str, Array]]()
    for i in range(count):
        tokens = {name: rng.integers(0, 5, (2, 4), dtype=np.int32) for name in ("tokens", "targets")}
        outputs, carry = executable.forward(Pass(tokens, 0 if i else 3), carry)
        found.append(outputs)
    return found


@pytest.mark.parametrize(
    ("policy", "field", "message"),
    [
        ("clock: {every: 3, slot: 3}", "clock.slot", "a cycle of 3 tokens has the slots 0 to 2"),
        ("clock: {every: 1}", "clock.every", "the clock does nothing"),
        ("gate: {hysteresis: {open: 0.3, close: 0.5}}", "gate.hysteresis.close", "cannot open at 0.3"),
        ("gate: {rate: 0.0}", "gate.rate", "0"),
        ("gate: {norm: {kind: rms, place: post}}", "gate.norm.place", "pre-norm"),
        ("evidence: {ratio: 1.0}", "evidence.ratio", "1"),
        ("control: {limit: 0.1, release: 0.2}", "control.release", "at most the limit"),
        ("control: {deny: false}", "control.deny", "does nothing"),
        ("control: {clamp: 0.2}", "control.clamp", "there is no gate for it"),
        ("gains: [{kind: exp_bounded, on: [alpha]}]", "gains[0].on[0]", "there is no gate for it"),
        ("gains: [tanh_bounded/noradrenaline]", "gains[0].on[0]", "there is no evidence for it"),
        ("gains: [{kind: tanh_bounded, on: [stream], low: 1.0, high: 1.0}]", "gains[0].high", "no gain"),
        ("gains: [exp_bounded/caffeine]", "gains[0]", "unknown preset 'caffeine'"),
        ("", "", "a policy has at least one of"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_where_it_stands(policy: str, field: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        governed(policy)
    (problem,) = error.value.problems
    assert problem.field == f"model.memory[0].policy{field and '.'}{field}"
    assert message in problem.message


def test_a_policy_tells_only_what_it_has() -> None:
    with pytest.raises(SpecError, match="no part here tells 'reason_budget'"):
        hs.lower(governed(f"{GATE}, clock: {{every: 2}}", tell="alpha, reason_budget"))


def test_a_policy_renders_and_reads_back() -> None:
    spec = governed(f"{GATE}, {CLOCK}, {CONTROL}, gains: [exp_bounded/serotonin], evidence: {{ratio: 3.0}}")
    assert resolved(hs.loads(hs.render(spec))) == resolved(spec)


def test_a_memory_without_a_policy_resolves_as_it_always_did() -> None:
    spec = hs.loads(stack(ATTENTION, memory=f"at: core.0, {INFINI}"), "a.yaml")
    assert "policy" not in str(resolved(spec))


@pytest.mark.parametrize("at", ["input", "output", "core.0"])
def test_reasons_and_writes_add_up_to_all_tokens(at: str) -> None:
    policy = f"{GATE}, {CLOCK}, {CONTROL}, evidence: {{ratio: 2.0, threshold: -0.1}}"
    for outputs in windows(governed(policy, at, tell="reason, commits, denied"), 4):
        told = {name: outputs[f"{TELEMETRY}memory_0.{name}"] for name in (*SHARES, "commits", "denied")}
        np.testing.assert_allclose(sum(told[name] for name in SHARES) + told["commits"] / 4, 1.0)
        np.testing.assert_allclose((told["reason_control"] + told["reason_budget"]) * 4, told["denied"])
        assert (told["reason_clock"] == 0.5).all()


def test_a_controller_that_is_overloaded_from_the_first_tokens_on_lets_nothing_be_written() -> None:
    policy = f"{GATE}, clock: {{every: 1, budget: {{writes: 4, window: 4}}}}, {CONTROL}"
    first, second = windows(governed(policy, tell="commits, acting, reason"), 2)
    assert (first[f"{TELEMETRY}memory_0.commits"] == 2).all()
    assert (second[f"{TELEMETRY}memory_0.commits"] == 0).all()
    assert (second[f"{TELEMETRY}memory_0.reason_control"] == 1).all()
    assert (second[f"{TELEMETRY}memory_0.acting"] == 1).all()


def test_energy_is_told_before_and_after_the_gate() -> None:
    shut, open_ = (windows(governed(GATE, tell="alpha, open, energy"), 1, b_0=b)[0] for b in (-1e4, 1e4))
    told = [
        {n: out[f"{TELEMETRY}memory_0.{n}"] for n in ("alpha", "open", "energy_before", "energy_after")}
        for out in (shut, open_)
    ]
    assert (told[0]["energy_before"] == told[0]["energy_after"]).all()
    assert (told[0]["alpha"] == 0).all()
    assert (told[0]["open"] == 0).all()
    assert (told[1]["energy_before"] != told[1]["energy_after"]).all()
    assert (told[1]["alpha"] == 1).all()


def test_a_gate_at_one_says_what_the_memory_says_and_a_gate_at_zero_says_nothing() -> None:
    plain = hs.loads(stack(ATTENTION, memory=f"at: core.0, {INFINI}"), "a.yaml")
    without = hs.loads(stack(ATTENTION), "a.yaml")
    said, silent = (windows(governed(GATE), 3, b_0=b) for b in (1e4, -1e4))
    for got, wanted in ((said, plain), (silent, without)):
        for outputs, right in zip(got, windows(wanted, 3), strict=True):
            np.testing.assert_allclose(outputs["logits"], right["logits"], atol=1e-12)


def test_telemetry_that_is_not_asked_for_leaves_no_trace() -> None:
    asked, silent = (hs.lower(governed(f"{GATE}, {CLOCK}", tell=tell)) for tell in ("alpha, open, commits", ""))
    assert sum(name.startswith(TELEMETRY) for name in asked.outputs) == 3
    assert not any(name.startswith(TELEMETRY) for name in silent.outputs)
    assert (" = mean(" in text(asked), " = mean(" in text(silent)) == (True, False)


def test_every_tick_of_a_level_hears_its_memory_as_far_as_the_gate_lets_it() -> None:
    core = f"kind: hrm, cycles: 2, {levels('window', 'fixed')}"
    without, shut = (
        hs.loads(model(core, "kind: lm, read: H", memory), "a.yaml", tell)
        for memory, tell in (
            ("", []),
            (f"at: core.L, {INFINI}, policy: {{{GATE}}}", ["train.telemetry={of: [alpha]}"]),
        )
    )
    for got, wanted in zip(windows(shut, 2, b_0=-1e4), windows(without, 2), strict=True):
        np.testing.assert_array_equal(got["logits"], wanted["logits"])
        assert (got[f"{TELEMETRY}memory_0.alpha"] == 0).all()


def test_a_gain_on_the_stream_is_on_all_that_comes_to_the_memory() -> None:
    gain = "gains: [{kind: exp_bounded, level: 1.0e3, on: [stream]}]"
    damped = windows(governed(f"{GATE}, {gain}", "output"), 1, b_0=-1e4)
    plain = windows(hs.loads(stack(ATTENTION), "a.yaml"), 1)
    np.testing.assert_allclose(damped[0]["logits"], 0.3 * plain[0]["logits"], atol=1e-12)
