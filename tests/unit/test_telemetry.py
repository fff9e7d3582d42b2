"""Telemetry: parts say what the spec asks for, training logs it, and nothing else changes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import hrmsearch as hs
from hrmsearch.blocks.base import Mixer, State
from hrmsearch.blocks.memory import Memory
from hrmsearch.errors import SpecError
from hrmsearch.ir import TELEMETRY, Builder, Type, Value, text
from hrmsearch.runtime import Options, Pass, load_backend, prepared
from hrmsearch.spec.load import resolved
from hrmsearch.spec.model import Spec
from hrmsearch.testing import toy
from tests.part_models import LAST, model
from tests.training import Stopping, outcome, tiny, train

assert toy
ALL = "train.telemetry={of: [energy, norm, ponder]}"
BLOCK = "{kind: residual, mixer: {kind: loud}}"
STACK = f"kind: stack, blocks: [{BLOCK}, {BLOCK}]"
HRM = f"kind: hrm, cycles: 2, levels: {{L: {{block: {BLOCK}}}}}"


class Loud(Mixer):
    """Gives back its stream, and tells how large it is."""

    kind: Literal["loud"] = "loud"

    @property
    def tells(self) -> tuple[str, ...]:
        return ("loudness", "loudness_most")

    def build(self, b: Builder, x: Value) -> Value:
        return self.step(b, x, {})[0]

    def step(self, b: Builder, x: Value, state: State) -> tuple[Value, dict[str, Value]]:
        return x, self.say(b, {"loudness": lambda: x * x, "loudness_most": lambda: b.amax(x, "D")})


class Counting(Memory):
    """Counts tokens, and tells how many there were."""

    kind: Literal["counting"] = "counting"

    @property
    def tells(self) -> tuple[str, ...]:
        return ("commits",)

    def init_state(self, b: Builder, x: Value) -> Mapping[str, tuple[Value, Type]]:
        type_ = Type(x.type.dtype, x.type.axes[:1])
        return {"n": (b.zeros(type_), type_)}

    def update(self, b: Builder, state: State, x: Value, write: Value | None = None) -> dict[str, Value]:
        assert write is None
        return {"n": state["n"] + b.mean(b.sum(x * 0.0 + 1.0, "T"), "D")}

    def readout(self, b: Builder, state: State, x: Value) -> Value:
        return x + state["n"]

    def step(self, b: Builder, state: State, x: Value, write: Value | None = None) -> tuple[Value, dict[str, Value]]:
        new = self.update(b, state, x, write)
        return self.readout(b, state, x), {**new, **self.say(b, {"commits": lambda: new["n"] - state["n"]})}


def loud(*of: str, core: str = STACK, head: str = LAST, memory: str = "") -> Spec:
    """Return a spec with the parts above, asked for readings."""
    asked = (f"train.telemetry={{of: [{', '.join(of)}]}}",) if of else ()
    return hs.loads(model(core, head, memory), overrides=asked)


def told(spec: Spec, backend: str = "reference") -> dict[str, np.ndarray]:
    """Return every output of one pass."""
    executable = load_backend(backend).compile(prepared(hs.lower(spec, trace=True), backend), Options(dtype="float64"))
    executable.init(0)
    tokens = np.random.default_rng(0).integers(0, 5, (2, 4), dtype=np.int32)
    return executable.forward(Pass({"tokens": tokens}, 3), executable.init_carry(2, 4))[0]


def lines(folder: Path, split: str = "step") -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if line["split"] == split]


# -- what is told ----------------------------------------------------------------------------------------------------


def test_a_part_tells_what_it_is_asked_for_under_its_place_and_averages_over_tokens() -> None:
    outputs = told(loud("loudness_most"))
    assert [name for name in outputs if name.startswith(TELEMETRY)] == [
        "telemetry.core.0.loudness_most",
        "telemetry.core.1.loudness_most",
    ]
    assert outputs["telemetry.core.0.loudness_most"].shape == (2,)


def test_a_name_stands_for_all_readings_that_begin_with_it() -> None:
    named = {name.rpartition(".")[2] for name in told(loud("loudness")) if name.startswith(TELEMETRY)}
    assert named == {"loudness", "loudness_most"}


@pytest.mark.parametrize("backend", ["torch", "tinygrad"])
def test_the_model_that_runs_holds_nothing_of_a_reading_that_is_not_asked_for(backend: str) -> None:
    pytest.importorskip(backend)
    off, on = (loud(*of, memory="at: core.1, kind: counting") for of in ((), ("commits",)))
    without, with_ = (load_backend(backend).emit(prepared(hs.lower(spec), backend)) for spec in (off, on))
    assert "telemetry" not in without + text(hs.lower(off)) + str(resolved(off))
    assert "telemetry.memory_0.commits" in with_
    assert "loudness" not in with_


@pytest.mark.parametrize(
    ("place", "core", "head"), [("input", STACK, LAST), ("core.1", STACK, LAST), ("core.L", HRM, "read: L")]
)
def test_a_memory_tells_wherever_it_stands(place: str, core: str, head: str) -> None:
    spec = loud("commits", core=core, head=head, memory=f"at: {place}, kind: counting")
    np.testing.assert_array_equal(told(spec)["telemetry.memory_0.commits"], [4.0, 4.0])


def test_norms_are_those_of_the_carry_after_every_tick() -> None:
    outputs = told(tiny(ALL))
    for tick in (1, 2):
        for level in "LH":
            z = outputs[f"trace.{tick}.{level}"]
            root = np.sqrt((z**2).sum(-1).mean(-1))
            np.testing.assert_allclose(outputs[f"telemetry.core.norm_{level}_{tick}"], root, rtol=1e-12)


def test_a_q_head_tells_its_values() -> None:
    outputs = told(tiny("train.telemetry={of: [q]}", "model.q_head={read: H, outputs: 2}"))
    for i in range(2):
        np.testing.assert_array_equal(outputs[f"telemetry.q_head.q_{i}"], outputs["q"][:, i])


def test_a_reading_that_nothing_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(SpecError) as error:
        hs.lower(loud("loudness", "alpha"))
    (problem,) = error.value.problems
    assert problem.field == "train.telemetry.of[1]"
    assert problem.message == "no part here tells 'alpha'; there is loudness, loudness_most"


# -- what training logs ----------------------------------------------------------------------------------------------


def test_telemetry_changes_no_bit_of_what_is_learned(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with_ = train(tiny(ALL), tmp_path / "with")
    without = train(tiny(), tmp_path / "without")
    assert (with_.run_dir / "model.safetensors").read_bytes() == (without.run_dir / "model.safetensors").read_bytes()
    for split in ("train", "valid", "test"):
        losses = [[line["loss"] for line in lines(run.run_dir, split)] for run in (with_, without)]
        assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("nest", "passes"), [("{passes: 2}", [2]), ("{passes: 2, backprop: {passes: 2}}", [1, 2]), ("{passes: 1}", [1])]
)
def test_metrics_hold_the_readings_of_every_so_many_steps_by_pass(nest: str, passes: list[int], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    asked = "train.telemetry={of: [ponder, norm], every: 2}"
    run = train(tiny(asked, f"nest={nest}", "train.batch=2", "train.accumulate=2"), tmp_path)
    steps = {line["step"] for line in lines(run.run_dir)}
    last = lines(run.run_dir, "train")[-1]["step"]
    assert steps == set(range(2, last + 1, 2))
    assert [line["pass"] for line in lines(run.run_dir)] == [passes[0], *passes[1:]] * len(steps)
    for line in lines(run.run_dir):
        assert line["telemetry.core.ponder"] == 2.0
        assert set(line) - {"step", "epoch", "pass", "split"} == {
            "telemetry.core.ponder",
            *(f"telemetry.core.norm_{level}_{tick}" for level in "LH" for tick in (1, 2)),
        }


def test_an_interrupted_run_logs_the_same_lines(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    spec = tiny(ALL, "train.checkpoint=0")
    whole = train(spec, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(spec, tmp_path / "parts", Stopping(3))
    assert outcome(train(spec, tmp_path / "parts", resume=True).run_dir) == outcome(whole.run_dir)
