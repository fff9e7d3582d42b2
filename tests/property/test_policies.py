"""Clocks, evidence, gates and controllers against their rules written out token by token, in windows of any lengths."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hrmsearch as hs
from hrmsearch.blocks.clock import Budget, Slots
from hrmsearch.blocks.control import EnergyBudget
from hrmsearch.blocks.evidence import LogLikelihoodRatio
from hrmsearch.blocks.gains import ExpBounded, TanhBounded
from hrmsearch.blocks.gate import Alpha, Hysteresis
from hrmsearch.blocks.tokenwise import Held, Numbers, along_tokens, holds
from hrmsearch.ir import Builder
from hrmsearch.runtime import Array
from hrmsearch.spec.model import Spec
from hrmsearch.testing.check import examine, prepare
from hrmsearch.testing.invariants import invariants
from tests.governed import WIDTH, streamed
from tests.part_models import ATTENTION, INFINI, stack

TOKENS = 24
LENGTHS = st.lists(st.integers(1, TOKENS), min_size=1).filter(lambda lengths: sum(lengths) <= TOKENS)
SHARES = st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]), min_size=TOKENS, max_size=TOKENS)


def windows(lengths: list[int]) -> list[int]:
    """Return lengths that make up all tokens."""
    return [*lengths, *([TOKENS - sum(lengths)] if sum(lengths) < TOKENS else [])]


def row(values: list[Any]) -> Array:
    return np.array([values], np.float64)


# -- clocks ----------------------------------------------------------------------------------------------------------


def written(clock: Slots, proposed: list[float], lengths: list[int]) -> list[bool]:
    """Return which of the proposed tokens a clock lets write."""

    def part(b: Builder, held: Numbers, values: Numbers) -> tuple[Numbers, Numbers]:
        ticked = clock.ticked(b, values["proposed"], held)
        mask = b.op("and", ticked.mask, holds(b, values["proposed"]))
        mask, spent = clock.spent(b, mask, ticked, held)
        return {"write": mask}, {**ticked.left, **spent}

    told = streamed(part, {"proposed": row(proposed)}, clock.carries, lengths)
    return [bool(value) for value in told["write"][0]]


@given(
    every=st.integers(1, 7),
    slot=st.integers(0, 6),
    budget=st.tuples(st.integers(1, 3), st.integers(1, 9)),
    proposed=st.lists(st.booleans(), min_size=TOKENS, max_size=TOKENS),
    lengths=LENGTHS,
)
def test_a_clock_writes_its_slot_until_the_budget_of_the_commit_window_is_spent(
    every: int, slot: int, budget: tuple[int, int], proposed: list[bool], lengths: list[int]
) -> None:
    clock = Slots(every=every, slot=slot % every, budget=Budget(writes=budget[0], window=budget[1]))
    wanted, spent = list[bool](), 0
    for time in range(TOKENS):
        spent = 0 if time % budget[1] == 0 else spent
        wanted.append(proposed[time] and time % every == slot % every and spent < budget[0])
        spent += wanted[-1]
        assert clock.allows(time) or not wanted[-1]
    assert written(clock, [float(value) for value in proposed], windows(lengths)) == wanted


def test_the_slot_that_writes_is_by_default_the_last_of_its_cycle() -> None:
    assert written(Slots(every=5), [1.0] * TOKENS, [7, 7, 10]) == [time % 5 == 4 for time in range(TOKENS)]


# -- evidence --------------------------------------------------------------------------------------------------------


def kept(evidence: LogLikelihoodRatio, x: Array, lengths: list[int], gain: float = 1.0) -> Array:
    def part(b: Builder, held: Numbers, values: Numbers) -> tuple[Numbers, Numbers]:
        mask, left = evidence.mask(b, values["x"], held, gain)
        return {"mask": mask}, left

    carries = {name: Held(start, axes=(WIDTH,)) for name, start in (("mean", 0.0), ("variance", 1.0))}
    return np.asarray(streamed(part, {"x": x}, carries, lengths)["mask"], np.bool_)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**16), ratio=st.floats(1.1, 10.0), decay=st.floats(0.1, 0.99), lengths=LENGTHS)
def test_a_token_is_evidence_where_the_wider_normal_is_the_likelier_one(
    seed: int, ratio: float, decay: float, lengths: list[int]
) -> None:
    x = np.random.default_rng(seed).normal(0.0, 2.0, (1, TOKENS, 3))
    evidence = LogLikelihoodRatio(ratio=ratio, decay=decay, eps=1e-12)
    mean, variance, wanted = np.zeros(3), np.ones(3), list[float]()
    for token in x[0]:
        off: Array = token - mean
        signal, noise = (-0.5 * (off**2 / v + np.log(2 * math.pi * v)) for v in (ratio * variance, variance))
        wanted.append(float((signal - noise).mean()))
        mean, variance = mean + (1 - decay) * off, decay * variance + (1 - decay) * off**2
    sure = np.abs(wanted) > 1e-9
    assert (kept(evidence, x, windows(lengths))[0] == (np.array(wanted) > 0))[sure].all()


def test_noise_is_rarely_written_and_a_burst_of_signal_is() -> None:
    x = np.random.default_rng(0).normal(0.0, 1.0, (1, 400, 3))
    bursts = np.arange(50, 400, 25)
    x[0, bursts] *= 5.0
    mask = kept(LogLikelihoodRatio(ratio=16.0, decay=0.95), x, [400])[0]
    noise = np.setdiff1d(np.arange(20, 400), bursts)
    assert mask[bursts].mean() > 0.8
    assert mask[noise].mean() < 0.1
    assert (
        kept(LogLikelihoodRatio(ratio=16.0, decay=0.95, threshold=0.5), x, [400], 2.0).sum()
        > kept(LogLikelihoodRatio(ratio=16.0, decay=0.95, threshold=0.5), x, [400]).sum()
    )


# -- gates -----------------------------------------------------------------------------------------------------------


def followed(gate: Alpha, wanted: list[float], caps: list[float], lengths: list[int]) -> Array:
    def part(b: Builder, held: Numbers, values: Numbers) -> tuple[Numbers, Numbers]:
        def step(before: Numbers, token: Numbers) -> tuple[Numbers, Numbers]:
            alpha, left = gate.follow(b, token["wanted"], before, token["cap"])
            return left, {"alpha": alpha}

        return along_tokens(b, held, values, step)

    return streamed(part, {"wanted": row(wanted), "cap": row(caps)}, gate.carries, lengths)["alpha"][0]


@given(
    wanted=SHARES,
    caps=SHARES,
    rate=st.sampled_from([0.05, 0.2, 1.0]),
    at=st.tuples(st.sampled_from([0.4, 0.6]), st.sampled_from([0.2, 0.4])),
    lengths=LENGTHS,
)
def test_alpha_follows_what_is_wanted_at_its_rate_while_the_gate_is_open(
    wanted: list[float], caps: list[float], rate: float, at: tuple[float, float], lengths: list[int]
) -> None:
    gate = Alpha(rate=rate, hysteresis=Hysteresis(open=at[0], close=at[1]))
    last, is_open, right = 0.0, False, list[float]()
    for want, cap in zip(wanted, caps, strict=True):
        is_open = want >= at[0] or (is_open and want >= at[1])
        target = min(want if is_open else 0.0, cap)
        last = min(max(target, last - rate), last + rate)
        right.append(last)
    alpha = followed(gate, wanted, caps, windows(lengths))
    np.testing.assert_allclose(alpha, right, atol=1e-12)
    assert (np.abs(np.diff(alpha, prepend=0.0)) <= rate + 1e-12).all()


# -- controllers -----------------------------------------------------------------------------------------------------


@given(
    rises=st.lists(st.sampled_from([-1.0, 0.0, 0.1, 0.3, 2.0]), min_size=TOKENS, max_size=TOKENS),
    window=st.integers(1, 7),
    release=st.sampled_from([None, 0.05, -0.5]),
    lengths=LENGTHS,
)
def test_a_controller_decides_by_the_mean_rise_of_the_window_before(
    rises: list[float], window: int, release: float | None, lengths: list[int]
) -> None:
    control = EnergyBudget(window=window, limit=0.1, release=release)

    def part(b: Builder, held: Numbers, values: Numbers) -> tuple[Numbers, Numbers]:
        return along_tokens(
            b, held, values, lambda before, token: (control.watch(b, token["rise"], before), {"acts": before["acts"]})
        )

    acts, right = False, list[bool]()
    for time in range(TOKENS):
        if time and time % window == 0:
            mean = sum(rises[time - window : time]) * (1.0 / window)
            acts = mean > 0.1 or (acts and mean >= (0.1 if release is None else release))
        right.append(acts)
    found = streamed(part, {"rise": row(rises)}, control.carries, windows(lengths))["acts"][0]
    assert [bool(value) for value in found] == right


# -- gains -----------------------------------------------------------------------------------------------------------


@given(level=st.floats(0.0, 50.0), negative=st.floats(-50.0, 0.0))
def test_a_gain_is_one_at_level_zero_and_never_leaves_its_bounds(level: float, negative: float) -> None:
    assert ExpBounded(on=("alpha",)).factor == TanhBounded(on=("logit",)).factor == 1.0
    assert ExpBounded(level=level, on=("alpha",)).factor == max(math.exp(-0.5 * level), 0.3)
    assert 1.0 <= TanhBounded(level=level, on=("logit",)).factor <= 2.0
    assert 0.5 <= TanhBounded(level=negative, on=("logit",)).factor <= 1.0


# -- whole models ----------------------------------------------------------------------------------------------------

RECURRING = "kind: recurrent, lifetime: stream, commit: last_pass, mixer: {kind: hl_kernel}"
PARTS = {
    "clock": "clock: {every: 2, budget: {writes: 2, window: 5}}",
    "evidence": "evidence: {ratio: 2.0, threshold: -0.1}",
    "gate": "gate: {width: 3, rate: 0.1, clamp: 1.0, hysteresis: {open: 0.5, close: 0.3}}",
    "control": "control: {window: 3, limit: 0.0, clamp: 0.2, deny: false}",
    "gains": "gains: [{kind: exp_bounded, preset: serotonin, level: 1.0}]",
}


def governed(memory: str, *parts: str) -> Spec:
    policy = f"policy: {{{', '.join(PARTS[part] for part in parts)}}}"
    mixer = "kind: hl_kernel, lifetime: stream, commit: last_pass"
    return hs.loads(stack(f"kind: residual, mixer: {{{mixer}}}", memory=f"at: core.0, {memory}, {policy}"), "a.yaml")


def test_a_governed_recurrence_streams_one_token_at_a_time_as_it_does_whole() -> None:
    subject = prepare(governed(RECURRING, *PARTS), "reference")
    outcome = examine(subject, invariants()["step-chunk-whole"], examples=10, seed=0)
    assert outcome.verdict == "held", str(outcome)


@pytest.mark.parametrize("memory", [INFINI, f"{INFINI}, chunk: 2, update: delta", RECURRING])
@pytest.mark.parametrize("name", ["closed-gate", "alpha-bounds", "scheduled-writes", "controller", "causality"])
def test_any_memory_keeps_what_its_policy_says(memory: str, name: str) -> None:
    outcome = examine(prepare(governed(memory, *PARTS), "reference"), invariants()[name], examples=5, seed=0)
    assert outcome.verdict == "held", str(outcome)


def test_a_policy_holds_of_a_memory_that_lives_for_a_pass() -> None:
    spec = governed(RECURRING.replace("stream", "pass"), *PARTS)
    assert "policy" not in "".join(hs.lower(spec).states)
    for name in ("closed-gate", "alpha-bounds", "scheduled-writes", "controller"):
        outcome = examine(prepare(spec, "reference"), invariants()[name], examples=3, seed=0)
        assert outcome.verdict == "held", str(outcome)


def test_a_policy_claims_nothing_of_a_model_without_one() -> None:
    subject = prepare(hs.loads(stack(ATTENTION, memory=f"at: input, {INFINI}"), "a.yaml"), "reference")
    for name in ("closed-gate", "alpha-bounds", "scheduled-writes", "controller"):
        assert examine(subject, invariants()[name], examples=1).verdict == "not applicable"
