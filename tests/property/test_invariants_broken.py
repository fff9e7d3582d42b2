"""Models broken in one place each, and the invariant that notices; recurrences, which may be cut anywhere."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import hrmsearch as hs
from hrmsearch.ir import Graph, parse, verify
from hrmsearch.runtime import Array, Carry, Executable, Options, Pass, Span, SpanResult, load_backend
from hrmsearch.spec.model import Spec
from hrmsearch.testing.check import Outcome, examine, prepare
from hrmsearch.testing.invariants import Subject, invariants

TINY = [
    "model.dim=8",
    "model.defaults.ffn.width=12",
    "model.core.levels.L.block.mixer.heads=2",
    "model.core.levels.H.block.mixer.heads=2",
    "task.window=4",
]


def tiny(name: str = "infini_hrm", *overrides: str) -> Spec:
    memory = ["memory[0].heads=2"] if "infini" in name else []
    return hs.load(name, [*TINY, *memory, *overrides])


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
_SCAN = '%y, %end = linear_scan(%decay, %x, %h) {axis="T", mix=null, form=null} : compute[B, T, D:4]; compute[B, D:4]'
_LOOP = """%end, %y = scan(%h, %x) {axis="T", carries=1, at=1} : compute[B, D:4]; compute[B, T, D:4] {
      ^(%old: compute[B, D:4], %x_t: compute[B, D:4])
      %kept = mul(%old, %decay) : compute[B, D:4]
      %new = add(%kept, %x_t) : compute[B, D:4]
      %out = tanh(%new) : compute[B, D:4]
      yield %new, %out
    }"""
_TWICE = """%z, %mid = linear_scan(%decay, %x, %h) {axis="T", mix=null, form=null} : compute[B, T, D:4]; compute[B, D:4]
    %y, %end = linear_scan(%decay, %z, %h) {axis="T", mix=null, form=null} : compute[B, T, D:4]; compute[B, D:4]"""
_FRESH = """%none = broadcast(%zero) : compute[B, D:4]
    %y, %end = linear_scan(%decay, %x, %none) {axis="T", mix=null, form=null} : compute[B, T, D:4]; compute[B, D:4]"""
_SCANNED = _SCAN.replace("%y", "%z")
_READ = f"""{_SCANNED}
    %was = broadcast(%h) : compute[B, T, D:4]
    %y = add(%z, %was) : compute[B, T, D:4]"""
_SUMMED = '%y = cumsum(%x) {axis="T"} : compute[B, T, D:4]'
_COUNTED = f"""{_SCANNED}
    %i = const() {{rule="iota"}} : compute[T]
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
