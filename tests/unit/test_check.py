"""`hs.check` and `hrmsearch check`: what they report, that broken models are caught, and that replays repeat."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import hrmsearch as hs
from hrmsearch.cli.app import app
from hrmsearch.ir import Graph, parse, verify
from hrmsearch.runtime import Array, Carry, Executable, Options, Pass, Span, SpanResult, load_backend
from hrmsearch.spec.model import Spec
from hrmsearch.testing.check import Outcome, check, examine, prepare, replay
from hrmsearch.testing.invariants import ReplayError, Subject, invariants

TINY = [
    "model.dim=8",
    "model.defaults.ffn.width=12",
    "model.core.levels.L.block.mixer.heads=2",
    "model.core.levels.H.block.mixer.heads=2",
    "task.window=4",
]
LEAKY = [*TINY, "memory[0].heads=2", "accept={}"]
ACCEPTED = [*TINY, "memory[0].heads=2", "accept={HS101: as published, HS102: as published}"]


def tiny(name: str = "infini_hrm", *overrides: str) -> Spec:
    memory = ["memory[0].heads=2"] if "infini" in name else []
    return hs.load(name, [*TINY, *memory, *overrides])


# -- reports ---------------------------------------------------------------------------------------------------------


def test_a_sound_spec_passes_every_invariant_that_applies() -> None:
    report = check(tiny(), backend="reference", examples=3)
    assert report.ok
    assert [outcome.name for outcome in report.outcomes] == list(invariants())
    assert all(outcome.reason for outcome in report.outcomes if outcome.verdict == "not applicable")
    assert {outcome.name for outcome in report.outcomes if outcome.verdict == "held"} >= {"causality", "commits"}


def test_a_leak_is_told_in_words_and_repeats() -> None:
    spec = tiny("infini_hrm_as_published")
    (failed,) = check(spec, backend="reference", examples=2).failed
    assert failed.name == "causality"
    assert "pass 2 of window 1" in failed.reason
    again = replay(spec, failed.replay, backend="reference")
    assert (again.verdict, again.reason) == ("failed", failed.reason)


def test_a_counterexample_is_small() -> None:
    failed = examine(prepare(tiny("infini_hrm_as_published"), "reference"), invariants()["causality"])
    assert {name: failed.values[name] for name in ("rows", "tokens", "position")} == {
        "rows": 1,
        "tokens": 2,
        "position": 1,
    }


def test_a_replay_holds_once_the_spec_is_mended() -> None:
    failed = examine(prepare(tiny("infini_hrm_as_published"), "reference"), invariants()["causality"])
    mended = tiny("infini_hrm_as_published", "memory[0].commit=last_pass")
    assert replay(mended, failed.replay, backend="reference").verdict == "held"


def test_a_failure_that_the_spec_accepts_stops_nothing() -> None:
    report = check(hs.load("infini_hrm_as_published", ACCEPTED), backend="reference", examples=3)
    (failed,) = report.failed
    assert failed.accepted == "as published"
    assert report.ok


def test_the_same_seed_draws_the_same_examples() -> None:
    spec, causality = tiny("infini_hrm_as_published"), invariants()["causality"]
    one, two = (examine(prepare(spec, "reference"), causality, examples=4, seed=3) for _ in range(2))
    assert one.replay
    assert replace(one, seconds=0.0) == replace(two, seconds=0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("casuality {}", "no invariant is called 'casuality'"),
        ("causality", "does not go on with a JSON object"),
        ("causality []", "not with a JSON object"),
        ("causality {}", "the replay lacks 'weights'"),
        ('causality {"weights": 0, "data": 0, "tokens": 9}', "'tokens' is 9, not an integer from 2 to 4"),
        ('causality {"weights": true}', "'weights' is True, not an integer"),
        ('causality {"enlarge": -1}', "not a number from 0"),
    ],
)
def test_a_replay_that_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(ReplayError, match=message.replace("(", r"\(")):
        replay(tiny(), text, backend="reference")


# -- executables, sound and broken -----------------------------------------------------------------------------------


class Altered:
    """An executable whose `forward` goes through a function; everything else is the executable's own."""

    def __init__(self, inner: Executable, forward: Callable[[Executable, Pass, Carry], tuple[Any, Carry]]) -> None:
        self._inner, self._forward = inner, forward

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def forward(self, call: Pass, carry: Carry) -> tuple[dict[str, Array], Carry]:
        return self._forward(self._inner, call, carry)


def altered(forward: Callable[[Executable, Pass, Carry], tuple[Any, Carry]], spec: Spec | None = None) -> Subject:
    subject = prepare(spec or tiny(), "reference")
    subject.executable = Altered(subject.executable, forward)  # pyright: ignore[reportAttributeAccessIssue]
    return subject


def test_an_executable_is_checked_and_keeps_its_weights() -> None:
    executable = load_backend("reference").compile(hs.lower(tiny()), Options())
    executable.init(5)
    before = executable.params
    report = check(executable, backend="reference", examples=2)
    assert report.ok
    assert all(np.array_equal(array, before[path]) for path, array in executable.params.items())


def test_what_needs_the_spec_or_the_backend_says_so() -> None:
    executable = load_backend("reference").compile(hs.lower(tiny()), Options())
    reasons = {outcome.name: outcome.reason for outcome in check(executable, examples=1).outcomes}
    assert "backend is not named" in reasons["interrupted-stream"]
    assert "executable alone" in reasons["ticks"]
    assert "executable alone" in reasons["write-mask"]


def rows_mixed(inner: Executable, call: Pass, carry: Carry) -> tuple[Any, Carry]:
    outputs, after = inner.forward(call, carry)
    return outputs | {"logits": outputs["logits"] + 1e-6 * outputs["logits"].mean(axis=0)}, after


def first_row_marked(inner: Executable, call: Pass, carry: Carry) -> tuple[Any, Carry]:
    outputs, after = inner.forward(call, carry)
    outputs["logits"][0] += 1e-6
    return outputs, after


def reset_forgotten(inner: Executable, call: Pass, carry: Carry) -> tuple[Any, Carry]:
    """Restore only rows that begin a stream, where a mask says what to restore."""
    if np.ndim(call.reset):
        call = replace(call, reset=np.where(np.asarray(call.reset) == 3, 3, 0).astype(np.int8))
    return inner.forward(call, carry)


def committed_early(inner: Executable, call: Pass, carry: Carry) -> tuple[Any, Carry]:
    return inner.forward(replace(call, last=True), carry)


def targets_read(inner: Executable, call: Pass, carry: Carry) -> tuple[Any, Carry]:
    outputs, after = inner.forward(call, carry)
    return outputs | {"logits": outputs["logits"] + 1e-6 * call.inputs["targets"][..., None]}, after


def future_read(inner: Executable, call: Pass, carry: Carry) -> tuple[Any, Carry]:
    outputs, after = inner.forward(call, carry)
    return outputs | {"logits": outputs["logits"] + 1e-9 * call.inputs["tokens"].max(axis=1)[:, None, None]}, after


def window_kept(inner: Executable, call: Pass, carry: Carry) -> tuple[Any, Carry]:
    """Never restore what lives for a window, after the first one."""
    return inner.forward(replace(call, reset=0) if np.ndim(call.reset) == 0 and call.reset == 2 else call, carry)


def loss_doubled(inner: Executable, call: Pass, carry: Carry) -> tuple[Any, Carry]:
    outputs, after = inner.forward(call, carry)
    return outputs | {"loss": 2 * outputs["loss"]}, after


@pytest.mark.parametrize(
    ("forward", "caught"),
    [
        (rows_mixed, "row-independence"),
        (first_row_marked, "row-order"),
        (reset_forgotten, "reset-rows"),
        (committed_early, "commits"),
        (targets_read, "unseen-targets"),
        (future_read, "causality"),
        (first_row_marked, "traced-pass"),
        (rows_mixed, "interrupted-stream"),
    ],
)
def test_a_broken_forward_is_caught(forward: Callable[..., Any], caught: str) -> None:
    assert examine(altered(forward), invariants()[caught]).verdict == "failed"
    assert examine(prepare(tiny(), "reference"), invariants()[caught]).verdict == "held"


def test_a_state_that_outlives_its_window_is_caught_by_another_order() -> None:
    assert examine(altered(window_kept, tiny("hrm")), invariants()["window-order"]).verdict == "failed"
    assert examine(prepare(tiny("hrm"), "reference"), invariants()["window-order"]).verdict == "held"


class Flickering(Altered):
    """An executable that goes wrong once only."""

    count = 0

    def forward(self, call: Pass, carry: Carry) -> tuple[dict[str, Array], Carry]:
        outputs, after = self._inner.forward(call, carry)
        self.count += 1
        return outputs | {"logits": outputs["logits"] + float(self.count == 8)}, after


def test_what_does_not_fail_again_has_no_replay() -> None:
    subject = prepare(tiny(), "reference")
    subject.executable = Flickering(subject.executable, rows_mixed)  # pyright: ignore[reportAttributeAccessIssue]
    outcome = examine(subject, invariants()["row-independence"])
    assert (outcome.verdict, outcome.replay) == ("failed", "")
    assert "no replay" in str(outcome)


def raising(inner: Executable, call: Pass, carry: Carry) -> tuple[Any, Carry]:
    if call.inputs["tokens"].shape[1] > 2:
        raise ZeroDivisionError("three tokens")
    return inner.forward(call, carry)


def test_a_model_that_cannot_run_fails_with_its_own_words() -> None:
    outcome = examine(altered(raising), invariants()["row-order"])
    assert outcome.verdict == "failed"
    assert outcome.reason == "the model raised ZeroDivisionError: three tokens"
    assert outcome.values["tokens"] == 3


# -- gradients, where a backend gives them in time --------------------------------------------------------------------


class Gradients(Altered):
    """An executable whose gradients go through a function."""

    def __init__(self, inner: Executable, alter: Callable[[dict[str, Array]], Mapping[str, Array]]) -> None:
        super().__init__(inner, rows_mixed)
        self._alter = alter

    def forward(self, call: Pass, carry: Carry) -> tuple[dict[str, Array], Carry]:
        return self._inner.forward(call, carry)

    def loss_and_grads(self, span: Span, carry: Carry) -> tuple[SpanResult, Mapping[str, Array]]:
        result, found = self._inner.loss_and_grads(span, carry)
        return result, self._alter(found)


def headless(found: dict[str, Array]) -> Mapping[str, Array]:
    return {path: gradient for path, gradient in found.items() if path != "head.weight"}


def infinite(found: dict[str, Array]) -> Mapping[str, Array]:
    return {path: np.full_like(gradient, np.inf) for path, gradient in found.items()}


def condemned(found: dict[str, Array]) -> Mapping[str, Array]:
    return found | {"core.levels.L.0.ffn.w_up": np.zeros(1)}


@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (headless, "there is no gradient: head.weight"),
        (infinite, "is not finite"),
        (condemned, "HS102 says that nothing trains"),
    ],
)
def test_wrong_gradients_are_caught(alter: Callable[[dict[str, Array]], Mapping[str, Array]], words: str) -> None:
    pytest.importorskip("torch")
    subject = prepare(tiny("hrm_simultaneous"), "torch")
    assert examine(subject, invariants()["gradients"], examples=5).verdict == "held"
    subject.executable = Gradients(subject.executable, alter)  # pyright: ignore[reportAttributeAccessIssue]
    outcome = examine(subject, invariants()["gradients"], examples=5)
    assert words in outcome.reason


def test_a_span_that_is_not_its_passes_is_caught() -> None:
    pytest.importorskip("torch")
    subject = prepare(tiny(), "torch")
    subject.executable = Altered(subject.executable, loss_doubled)  # pyright: ignore[reportAttributeAccessIssue]
    assert examine(subject, invariants()["span-is-its-passes"], examples=3).verdict == "failed"


# -- recurrences: step = chunk = whole -------------------------------------------------------------------------------

_RECURRENT = """
graph "recurrent" {
  nest passes=1 backprop=passes:1 step=span loader=contiguous causal=true window=8
  main {
    at "model"
    %tokens = input() {name="tokens"} : i32[B, T]
    %reset = input() {name="reset"} : i8[B]
    %table = param() {path="table", init={"normal": 1.0}, trainable=true} : compute[C:5, D:4]
    %decay = param() {path="decay", init={"uniform": [0.1, 0.3]}, trainable=true} : compute[D:4]
    %x = gather(%table, %tokens) : compute[B, T, D:4]
    %zero = const() {rule="full", value=0.0} : compute[D:4]
    %h = state(%zero, %reset) {path="h", lifetime="stream", commit="every_pass"} : compute[B, D:4]
    MIX
    %logits = einsum(%y, %table) {spec="B T D, C D -> B T C"} : compute[B, T, C:5]
    output "logits" = %logits
    commit "h" = %END
  }
}
"""
_SCAN = '%y, %end = linear_scan(%decay, %x, %h) {axis="T", mix=null} : compute[B, T, D:4]; compute[B, D:4]'
_LOOP = """%end, %y = scan(%h, %x) {axis="T", carries=1, at=1} : compute[B, D:4]; compute[B, T, D:4] {
      ^(%old: compute[B, D:4], %x_t: compute[B, D:4])
      %kept = mul(%old, %decay) : compute[B, D:4]
      %new = add(%kept, %x_t) : compute[B, D:4]
      %out = tanh(%new) : compute[B, D:4]
      yield %new, %out
    }"""
_TWICE = """%z, %first = linear_scan(%decay, %x, %h) {axis="T", mix=null} : compute[B, T, D:4]; compute[B, D:4]
    %y, %end = linear_scan(%decay, %z, %h) {axis="T", mix=null} : compute[B, T, D:4]; compute[B, D:4]"""
_FRESH = """%none = broadcast(%zero) : compute[B, D:4]
    %y, %end = linear_scan(%decay, %x, %none) {axis="T", mix=null} : compute[B, T, D:4]; compute[B, D:4]"""
_READ = """%z, %end = linear_scan(%decay, %x, %h) {axis="T", mix=null} : compute[B, T, D:4]; compute[B, D:4]
    %was = broadcast(%h) : compute[B, T, D:4]
    %y = add(%z, %was) : compute[B, T, D:4]"""
_SUMMED = '%y = cumsum(%x) {axis="T"} : compute[B, T, D:4]'
_COUNTED = """%z, %end = linear_scan(%decay, %x, %h) {axis="T", mix=null} : compute[B, T, D:4]; compute[B, D:4]
    %i = const() {rule="iota"} : compute[T]
    %wide = broadcast(%i) : compute[T, D:4]
    %y = add(%z, %wide) : compute[B, T, D:4]"""


def recurrent(mix: str, end: str = "end") -> Graph:
    return verify(parse(_RECURRENT.replace("MIX", mix).replace("END", end)))


def cut(graph: Graph, forward: Callable[..., Any] | None = None) -> Outcome:
    subject = prepare(load_backend("reference").compile(graph, Options(dtype="float64")), "reference")
    if forward is not None:
        subject.executable = Altered(subject.executable, forward)  # pyright: ignore[reportAttributeAccessIssue]
    return examine(subject, invariants()["step-chunk-whole"])


@pytest.mark.parametrize("mix", [_SCAN, _LOOP])
def test_a_recurrence_runs_token_by_token_in_chunks_or_whole(mix: str) -> None:
    assert cut(recurrent(mix)).verdict == "held"


def test_a_recurrence_that_loses_its_carry_is_caught() -> None:
    def lossy(inner: Executable, call: Pass, carry: Carry) -> tuple[Any, Carry]:
        outputs, after = inner.forward(call, carry)
        return outputs, {path: 0.5 * array for path, array in after.items()}

    assert cut(recurrent(_SCAN), lossy).verdict == "failed"


@pytest.mark.parametrize(
    ("mix", "end", "reason"),
    [
        (_TWICE, "end", "more than one recurrence starts from h"),
        (_FRESH, "end", "starts from no carried state"),
        (_READ, "end", "broadcast reads h"),
        (_SUMMED, "h", "cumsum mixes tokens"),
        (_COUNTED, "end", "iota counts positions"),
        (_SCAN, "h", "the candidate of h is not the end of its recurrence"),
    ],
)
def test_what_is_more_than_a_recurrence_is_not_cut(mix: str, end: str, reason: str) -> None:
    outcome = cut(recurrent(mix, end))
    assert outcome.verdict == "not applicable"
    assert reason in outcome.reason


# -- the command -----------------------------------------------------------------------------------------------------


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["check", *arguments, "--backend", "reference"])


def settings(overrides: list[str]) -> list[str]:
    return [word for one in overrides for word in ("--set", one)]


def test_the_command_passes_a_sound_spec() -> None:
    result = command("infini_hrm", *settings(LEAKY), "--examples", "2")
    assert result.exit_code == 0, result.output
    assert "held" in result.output
    assert "not applicable" in result.output


def test_the_command_fails_a_leak_and_prints_how_to_replay_it() -> None:
    result = command("infini_hrm_as_published", *settings(LEAKY), "--examples", "3")
    assert result.exit_code == 1
    assert "error[HS101]" in result.output
    assert "--set model.dim=8" in result.output
    assert "--replay 'causality {" in result.output


def test_the_command_replays() -> None:
    arguments = ["infini_hrm_as_published", *settings(LEAKY)]
    report = json.loads(command(*arguments, "--examples", "3", "--json").output)
    (failed,) = [it for it in report["invariants"] if it["verdict"] == "failed"]
    result = command(*arguments, "--replay", failed["replay"])
    assert result.exit_code == 1
    assert failed["reason"] in result.output
    mended = command(*arguments, "--set", "memory[0].commit=last_pass", "--replay", failed["replay"], "--json")
    assert mended.exit_code == 0
    assert json.loads(mended.output)["verdict"] == "held"


def test_the_command_passes_what_the_spec_accepts() -> None:
    result = command("infini_hrm_as_published", *settings(ACCEPTED), "--examples", "2", "--json")
    report = json.loads(result.output)
    assert result.exit_code == 0
    assert report["ok"]
    assert [it["accepted"] for it in report["invariants"] if it["verdict"] == "failed"] == ["as published"]


@pytest.mark.parametrize(
    "arguments",
    [["no_such_spec"], ["hrm", "--set", "model.dmi=8"], ["hrm", "--replay", "causality {"], ["hrm", "--examples", "0"]],
)
def test_bad_input_exits_with_2(arguments: list[str]) -> None:
    assert command(*arguments).exit_code == 2
