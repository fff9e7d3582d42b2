"""Rows that halt one by one: who halts, what restarts, that samples are neither lost nor repeated, and whole runs."""

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import hrmsearch as hs
from hrmsearch import passes
from hrmsearch.analyses import validate
from hrmsearch.errors import SpecError
from hrmsearch.ir import Graph, Halt, Lifetime, Nest, parse, text
from hrmsearch.runtime import Executable, Options, Pass, load_backend
from hrmsearch.spec.model import Spec
from hrmsearch.tasks.loaders import order
from hrmsearch.tasks.words import Words
from hrmsearch.testing.inputs import random_inputs
from hrmsearch.train import RunOptions, SeedResult, Silent, manifest, metrics, run, summarise
from hrmsearch.train.halting import HALTED_AFTER, RollingBatch, halts, least_passes
from hrmsearch.train.job import task_of
from hrmsearch.train.samples import Samples
from hrmsearch.train.scoring import HALTED, PASSES, score
from tests.backends import QUICK, usable
from tests.training import Stopping, outcome, train

Array = NDArray[Any]
TEXT = """
spec: 1
name: halting
model:
  dim: 4
  init: {normal: 0.5}
  memory: [{at: prepend, kind: puzzle, width: 4, init: {normal: 1.0}, optimizer: {lr: 0.01}}]
  core:
    kind: hrm
    state: {start: {kind: fixed, init: {normal: 1.0}}}
    levels:
      L: {period: 1, block: {kind: transformer, mixer: {kind: attention, heads: 2, causal: false}}}
      H: {period: 2, block: {kind: transformer, mixer: {kind: attention, heads: 2, causal: false}}}
  head: {kind: lm, read: H}
  q_head: {read: H, pool: first, outputs: [halt, continue], bias: 0.0}
nest: {passes: 3, halt: {explore: 0.5, target: second_forward}}
loss: {kind: stablemax_cross_entropy, halt: 0.5}
task: {kind: toy, window: 5, windows: 7, kinds: 2}
train: {optimizer: {kind: adam_atan2, lr: 0.01}, batch: 3, epochs: 3, ema: 0.9, clip: none, checkpoint: 0}
accept: {HS101: rows halt by what they see whole}
"""
LM = "loss={kind: stablemax_cross_entropy}"
TRM = (
    "model.core.share=true",
    "model.core.gradient=last_cycle",
    "model.q_head.outputs=[halt]",
    "nest.halt={explore: 0.5, eval: halt}",
)


def halting(*overrides: str) -> Spec:
    return hs.loads(TEXT, "halting.yaml", overrides)


def compiled(spec: Spec, backend: str) -> tuple[Executable, Graph]:
    graph = passes.run(hs.lower(spec))
    executable = load_backend(backend).compile(graph, Options(dtype="float64"))
    executable.init(1)
    return executable, graph


def drawn(seed: int, which: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, which, len(name)])


# -- who halts ---------------------------------------------------------------------------------------------------------


@given(most=st.integers(1, 5), data=st.data())
def test_halting_is_bounded_and_a_row_that_wants_to_halt_does_from_its_least_on(most: int, data: Any) -> None:
    rows = 4
    taken, least = (np.array(data.draw(st.lists(st.integers(1, most), min_size=rows, max_size=rows))) for _ in "ab")
    q = {n: np.array(data.draw(st.lists(st.floats(-3, 3), min_size=rows, max_size=rows))) for n in ("halt", "continue")}
    names = data.draw(st.sampled_from([("halt",), ("halt", "continue")]))
    outputs = {f"q_{name}": q[name] for name in names}
    wanting = q["halt"] > (q["continue"] if "continue" in names else 0)
    found = halts(outputs, taken, most, least)
    assert found[taken >= most].all(), "nobody goes on for ever"
    np.testing.assert_array_equal(found, (taken >= most) | (wanting & (taken >= least)))


@given(explore=st.sampled_from([0.0, 0.3, 1.0]), most=st.integers(1, 6), seed=st.integers(0, 99))
def test_exploration_asks_for_two_passes_to_the_most_or_for_nothing(explore: float, most: int, seed: int) -> None:
    drawn = least_passes(Halt(explore), most, Words(seed), 400)
    asked = drawn[drawn > 0]
    assert set(asked) <= set(range(2, max(most, 2) + 1))
    assert abs(len(asked) / 400 - explore) < 0.12
    if explore == 1.0 and most > 1:
        assert set(asked) == set(range(2, most + 1)), "each of them occurs"


# -- the rolling batch -------------------------------------------------------------------------------------------------


def assert_rolls(calls: list[Pass], halted: list[Array], most: int) -> None:
    """Passes begin with every row fresh; a row gets another sample exactly where it halted, and is restored there."""
    assert np.all(calls[0].reset == np.int8(Lifetime.WINDOW))
    taken = np.ones(len(halted[0]), int)
    for (before, after), stop in zip(pairwise(calls), halted, strict=False):
        assert (stop | (taken < most)).all(), "no row takes more passes than the most"
        np.testing.assert_array_equal(after.reset, np.where(stop, Lifetime.WINDOW, Lifetime.PASS))
        kept = ~stop
        np.testing.assert_array_equal(after.inputs["tokens"][kept], before.inputs["tokens"][kept])
        taken = np.where(stop, 1, taken + 1)


@given(rows=st.integers(1, 4), most=st.integers(1, 4), count=st.integers(1, 9), seed=st.integers(0, 99))
def test_a_rolling_batch_deals_every_sample_once_a_round_and_in_order(
    rows: int, most: int, count: int, seed: int
) -> None:
    task = task_of(halting(f"task.windows={count}"))
    data = task.load()
    samples = Samples(data, seed, {"tokens", "targets", "puzzle"})
    dealt: list[Array] = []

    def take(n: int) -> Mapping[str, Array]:
        new = samples.take(n)
        dealt.extend(new["tokens"])
        return new

    rng = np.random.default_rng(seed)
    batch = RollingBatch(Nest(most, halt=Halt(0.3)), rows, take, seed)
    calls, halted = list[Pass](), list[Array]()
    for step in range(12):
        calls.append(batch.next())
        batch.heed({"q_halt": rng.normal(size=rows)}, step)
        halted.append(batch.halted)
    assert_rolls(calls, halted, most)
    split = data.splits["train"]
    assert split.puzzles is not None
    rounds = range(-(-len(dealt) // count))
    wanted = [split.tokens[i] for r in rounds for i in order(seed, r, count)]
    np.testing.assert_array_equal(dealt, wanted[: len(dealt)])
    assert len(dealt) == rows + sum(int(stop.sum()) for stop in halted[:-1])
    first = {row.tobytes(): set(split.puzzles[(split.tokens == row).all(1)]) for row in split.tokens}
    for call in calls:
        for tokens, puzzle in zip(call.inputs["tokens"], call.inputs["puzzle"], strict=True):
            assert puzzle in first[tokens.tobytes()], "a sample keeps the number of its puzzle"


@given(rows=st.integers(1, 5), most=st.integers(1, 4), seed=st.integers(0, 99))
def test_rows_that_halt_are_counted_once_by_the_passes_they_took(rows: int, most: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    batch = RollingBatch(Nest(most, halt=Halt(0.3)), rows, lambda n: {"tokens": np.zeros((n, 1), np.int32)}, seed)
    taken = np.zeros(rows, int)
    for step in range(8):
        batch.next()
        taken += 1
        batch.heed({"q_halt": rng.normal(size=rows)}, step)
        assert batch.counts.tolist() == [int((batch.halted & (taken == i + 1)).sum()) for i in range(most)]
        assert batch.counts.sum() == batch.halted.sum(), "no step lies outside of 1 to the most"
        taken[batch.halted] = 0


@given(cut=st.integers(0, 6), seed=st.integers(0, 99))
def test_a_restored_batch_goes_on_as_if_it_had_never_stopped(cut: int, seed: int) -> None:
    data = task_of(halting()).load()

    def begun() -> tuple[Samples, RollingBatch]:
        samples = Samples(data, seed, {"tokens", "targets"})
        return samples, RollingBatch(Nest(3, halt=Halt(0.5, True)), 3, samples.take, seed)

    def rolled(samples: Samples, batch: RollingBatch, steps: range) -> list[bytes]:
        del samples
        found: list[bytes] = []
        for step in steps:
            call = batch.next()
            found += [call.inputs[name].tobytes() for name in sorted(call.inputs)]
            batch.heed({"q_halt": np.random.default_rng(step).normal(size=3)}, step)
        return found

    whole = rolled(*begun(), range(8))
    samples, batch = begun()
    head = rolled(samples, batch, range(cut))
    others, other = begun()
    others.restore(samples.snapshot())
    other.restore(batch.snapshot())
    assert head + rolled(others, other, range(cut, 8)) == whole


# -- the model ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["reference", *usable(QUICK)])
@settings(max_examples=10)
@given(seed=st.integers(0, 99), stop=st.lists(st.booleans(), min_size=3, max_size=3))
def test_a_row_that_halted_restarts_exactly_and_its_neighbours_notice_nothing(
    backend: str, seed: int, stop: list[bool]
) -> None:
    executable, graph = compiled(halting(), backend)
    sizes = {"B": 3, "T": 5}
    first, second = (random_inputs(graph, sizes, partial(drawn, seed, i)) for i in range(2))
    mixed = {n: np.where(np.reshape(stop, (-1, *[1] * (a.ndim - 1))), second[n], a) for n, a in first.items()}
    _, carry = executable.forward(Pass(first, int(Lifetime.WINDOW)), executable.init_carry(3, 5))
    resets = np.where(stop, Lifetime.WINDOW, Lifetime.PASS).astype(np.int8)
    found, after = executable.forward(Pass(mixed, resets), carry)
    fresh, fresh_after = executable.forward(Pass(second, int(Lifetime.WINDOW)), executable.init_carry(3, 5))
    going, going_after = executable.forward(Pass(first, int(Lifetime.PASS)), carry)
    for name in ("logits", "q_halt", "q_continue", "nll", "right", "halt_loss", "continue_loss"):
        for row, halted in enumerate(stop):
            assert np.array_equal(found[name][row], (fresh if halted else going)[name][row]), name
    arrays, new, old = (executable.carry_to_numpy(c) for c in (after, fresh_after, going_after))
    for path, array in arrays.items():
        for row, halted in enumerate(stop):
            assert np.array_equal(array[row], (new if halted else old)[path][row]), path


@pytest.mark.parametrize("backend", ["reference", *usable(QUICK)])
def test_the_target_of_continue_is_what_the_next_pass_says_and_counts_only_halting_at_the_last(backend: str) -> None:
    executable, graph = compiled(halting(), backend)
    inputs = random_inputs(graph, {"B": 4, "T": 5}, lambda n: np.random.default_rng(len(n)))
    final = inputs["final"] = np.array([True, False, True, False])
    found, carry = executable.forward(Pass(inputs, 3), executable.init_carry(4, 5))
    following, _ = executable.forward(Pass(inputs, 0), carry)
    halt, go_on = following["q_halt"], following["q_continue"]
    best = np.where(final, halt, np.maximum(halt, go_on))
    np.testing.assert_allclose(found["continue_target"], 1 / (1 + np.exp(-best)), rtol=1e-12)
    wanted = 0.5 * (found["halt_loss"] + found["continue_loss"]).mean() + (found["nll"] / found["count"]).mean()
    np.testing.assert_allclose(found["loss"], wanted, rtol=1e-12)


@pytest.mark.parametrize("backend", usable(QUICK))
def test_with_a_single_pass_nobody_can_go_on_so_nothing_looks_ahead_and_continue_is_not_trained(backend: str) -> None:
    # sapientinc/HRM: models/hrm/hrm_act_v1.py has no target where halt_max_steps is 1, models/losses.py then no loss
    spec = halting("nest.passes=1")
    executable, graph = compiled(spec, backend)
    assert graph.nest.halt is not None
    assert not graph.nest.halt.bootstraps
    assert "final" not in graph.inputs
    inputs = random_inputs(graph, {"B": 4, "T": 5}, lambda n: np.random.default_rng(len(n)))
    found, _ = executable.forward(Pass(inputs, 3), executable.init_carry(4, 5))
    assert {"q_halt", "q_continue"} <= found.keys()
    assert not {"continue_loss", "continue_target"} & found.keys()
    wanted = 0.5 * found["halt_loss"].mean() + (found["nll"] / found["count"]).mean()
    np.testing.assert_allclose(found["loss"], wanted, rtol=1e-12)
    _, grads = executable.loss_and_grads([Pass(inputs, 3)], executable.init_carry(4, 5))
    for path in ("q_head.weight", "q_head.bias"):
        halt, go_on = np.moveaxis(grads[path], -1, 0)
        assert np.any(halt)
        assert not np.any(go_on)


def test_a_run_of_a_single_pass_halts_every_row_at_once(tmp_path: Path) -> None:
    result = train(halting("nest.passes=1"), tmp_path)
    assert len(result.halted) == 1
    assert result.halted[0] > 0


def test_without_the_input_final_nothing_looks_ahead() -> None:
    executable, graph = compiled(halting(), "reference")
    inputs = random_inputs(graph, {"B": 2, "T": 5}, lambda n: np.random.default_rng(len(n)))
    del inputs["final"]
    found, _ = executable.forward(Pass(inputs, 3), executable.init_carry(2, 5))
    assert {"nll", "count", "q_halt", "q_continue"} <= found.keys()
    assert not {"loss", "continue_target"} & found.keys()


@pytest.mark.parametrize("pool", ["first", "mean"])
def test_a_halt_decision_flows_into_everything_after_it(pool: str) -> None:
    causal = [f"model.core.levels.{level}.block.mixer.causal=true" for level in "LH"]
    spec = halting(*causal, f"model.q_head.pool={pool}")
    codes = [d.code for d in validate(hs.lower(spec), spec) if d.code == "HS101"]
    assert codes, "whether another pass comes tells what the q-head saw"
    fixed = halting(*causal, "nest={passes: 3}", LM, "model.q_head=none")
    assert not [d for d in validate(hs.lower(fixed), fixed) if d.code == "HS101"]


def test_a_graph_that_halts_reads_back_as_it_prints() -> None:
    for overrides in ((), TRM):
        printed = text(hs.lower(halting(*overrides)))
        assert text(parse(printed)) == printed
        assert " halt={" in printed


# -- scoring -----------------------------------------------------------------------------------------------------------


def test_rows_scored_as_they_halt_keep_what_they_said_then() -> None:
    spec = halting("nest.halt.eval=halt", "nest.passes=4", "model.q_head.init={normal: 3.0}")
    executable, graph = compiled(spec, "reference")
    task = task_of(spec)
    split = task.load().splits["valid"]
    scores = score(executable, split, task, batch=len(split))
    inputs = {name: array for name, array in split.rows(slice(None)).items() if name in graph.inputs}
    carry, done = executable.init_carry(len(split), 5), np.zeros(len(split), bool)
    said, taken, halted = np.zeros(len(split)), np.zeros(len(split)), 0
    for i, found in enumerate(scores):
        outputs, carry = executable.forward(Pass(inputs, 3 if i == 0 else 1), carry)
        said = np.where(done, said, outputs["nll"])
        taken += ~done
        done |= (outputs["q_halt"] > outputs["q_continue"]) | (i == 3)
        np.testing.assert_allclose(found.loss, said.sum() / outputs["count"].sum(), rtol=1e-9)
        np.testing.assert_allclose(found.telemetry[PASSES], taken.mean())
        np.testing.assert_allclose(found.telemetry[HALTED] * len(split), done.sum() - halted)
        halted = done.sum()
    assert halted == len(split)
    assert 0 < taken.mean() < 4, "some rows halt early, or the test says nothing"


# -- runs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overrides", [(), TRM, ("train.accumulate=2", "train.batch=2")], ids=["hrm", "trm", "parts"])
def test_a_run_that_was_stopped_anywhere_ends_with_the_same_bits(overrides: tuple[str, ...], tmp_path: Path) -> None:
    spec = halting(*overrides)
    whole = train(spec, tmp_path / "whole")
    for at in (2, 5):
        with pytest.raises(KeyboardInterrupt):
            train(spec, tmp_path / f"at{at}", Stopping(at))
        again = train(spec, tmp_path / f"at{at}", resume=True)
        assert outcome(again.run_dir) == outcome(whole.run_dir)
    lines = [line for line in outcome(whole.run_dir)["lines"] if line["split"] == "train"]
    assert all(1 <= line["passes"] <= 3 and 0 <= line["right"] <= 1 for line in lines if "halted" in line)


def test_the_histogram_of_a_run_counts_every_row_that_halted(tmp_path: Path) -> None:
    spec = halting("nest.halt.eval=halt", "model.q_head.bias=0.0", "train.telemetry={of: [q]}", "seeds=[0, 1]")
    results = run(spec, RunOptions(out=tmp_path), Silent())
    for result in results:
        lines = [line for line in metrics.read(result.run_dir / "metrics.jsonl") if line["split"] == "train"]
        for line in lines:
            counts = [line[f"{HALTED_AFTER}{number}"] for number in (1, 2, 3)]
            assert not [name for name in line if name.startswith(HALTED_AFTER)][3:]
            assert sum(counts) == line["halted"]
            np.testing.assert_allclose(np.dot(counts, (1, 2, 3)), line["halted"] * line["passes"])
        totals = [sum(line[f"{HALTED_AFTER}{number}"] for line in lines) for number in (1, 2, 3)]
        assert list(result.halted) == totals
        assert SeedResult.of(result.run_dir, manifest.read(result.run_dir / "manifest.json")).halted == result.halted
        for split in ("valid", "test"):
            assert sum(score.telemetry[HALTED] for score in result.scores[split]) == pytest.approx(1.0)
    assert summarise(results).halted == tuple(map(sum, zip(*(result.halted for result in results), strict=True)))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.q_head=none", "halt, continue"),
        ("model.q_head.outputs=[halt]", "trains, with a target"),
        (LM, "has to be trained"),
        ("task.loader=contiguous", "take windows as they come"),
        ("model.core.state.commit=last_pass", "rows say after it"),
        ("nest.backprop={passes: 3}", "step after every pass"),
        ("nest.step=window", "step after every pass"),
    ],
)
def test_what_cannot_halt_is_refused(override: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        hs.lower(halting(override))
