"""Phases of training: what stands still keeps its bits, parameters go on, a resumed run is the whole run."""

import json
from pathlib import Path

import numpy as np
import pytest

import hrmsearch as hs
from hrmsearch.analyses import cost, validate
from hrmsearch.errors import SpecError
from hrmsearch.ir import Phase, parse, text
from hrmsearch.ir.checkpoint import read_arrays
from hrmsearch.passes import phased
from hrmsearch.runtime import Executable, Options, Pass, backend_names, load_backend, prepared
from hrmsearch.spec.model import Spec
from hrmsearch.train.compiling import training_of
from tests.backends import usable
from tests.training import Heard, Stopping, outcome, tiny, train

FEATURES = "{name: features, epochs: 2, loss: {kind: oacd, read: [L, H]}, train: [embed, core, memory_0]}"
PHASES = (f"train.phases=[{FEATURES}, {{name: readout, train: [head], epochs: 2}}]", "model.head.read=[L, H]")


class Weights(Heard):
    """Keeps the parameters that were checkpointed at each end of an epoch."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.params: list[dict[str, np.ndarray]] = []

    def checkpoint(self, path: Path, step: int) -> None:
        arrays = read_arrays(path)
        names = [name for name in arrays if name.startswith(("snapshot/param/", "snapshot/param:"))]
        self.params.append({name[len("snapshot/param/") :]: arrays[name] for name in names})


def two_phases(*more: str) -> Spec:
    return tiny(*PHASES, *more)


def test_what_a_phase_does_not_train_keeps_its_bits(tmp_path: Path) -> None:
    heard = Weights(tmp_path)
    train(two_phases(), tmp_path, heard)
    start, first, handed, last = heard.params[0], heard.params[1], heard.params[2], heard.params[-1]
    for path, array in start.items():
        of_head = path.startswith("head.")
        assert np.array_equal(array, first[path]) == of_head, path
        assert np.array_equal(handed[path], last[path]) != of_head, path


@pytest.mark.parametrize(("interval", "epochs"), [(1, [1, 2, 3, 4, 5, 6]), (2, [2, 4, 6]), (3, [2, 5, 6]), (9, [2, 6])])
def test_a_phase_is_validated_at_intervals_of_its_own_and_at_its_end(interval: int, epochs: list[int]) -> None:
    train = two_phases("train.phases[1].epochs=4", f"train.eval_interval={interval}").train
    assert [epoch for epoch in range(1, 7) if train.validates(epoch)] == epochs


def small(backend: str, phase: int) -> Executable:
    """Return a tiny model compiled for a phase: features by OACD, or a readout."""
    core = "{kind: hrm, levels: {L: {block: {kind: transformer, mixer: {kind: attention, heads: 1}}}}}"
    features = "{name: features, loss: {kind: oacd, read: L}, train: [embed, core]}"
    phases = f"train.phases=[{features}, {{name: readout, train: [head]}}]"
    changes = ("model.head.read=L", "model.memory=[]", "nest.passes=1", "model.defaults.ffn={kind: swiglu, width: 2}")
    spec = tiny(f"model.core={core}", phases, *changes)
    graph = prepared(phased(hs.lower(spec), phase), backend)
    options = Options(dtype="float64", training=training_of(spec, graph, phase), brief=True)
    return load_backend(backend).compile(graph, options)


TOKENS = np.array([[1, 2], [3, 1]], np.int32)
SPAN = [Pass({"tokens": TOKENS, "targets": TOKENS[:, ::-1].copy()}, 3)]


@pytest.mark.parametrize("backend", usable(backend_names()))
@pytest.mark.parametrize(("phase", "moving"), [(0, {"embed", "core"}), (1, {"head"})])
def test_every_backend_moves_what_a_phase_trains_and_nothing_else(backend: str, phase: int, moving: set[str]) -> None:
    executable = small(backend, phase)
    executable.init(0)
    before, carry = executable.params, executable.init_carry(2, 2)
    executable.train_step(SPAN, carry, 0.1)
    changed = {path for path, array in executable.params.items() if not np.array_equal(array, before[path])}
    assert {path.partition(".")[0] for path in changed} == moving


@pytest.mark.parametrize("backend", usable([name for name in backend_names() if name != "reference"]))
@pytest.mark.parametrize("phase", [0, 1])
def test_every_backend_has_the_gradients_of_the_reference_in_a_phase(backend: str, phase: int) -> None:
    pair = [small(name, phase) for name in (backend, "reference")]
    (one, ours), (two, theirs) = (each.loss_and_grads(SPAN, each.init_carry(2, 2)) for each in pair)
    np.testing.assert_allclose(one.losses, two.losses, rtol=1e-9)
    assert ours.keys() == theirs.keys()
    for path, array in ours.items():
        np.testing.assert_allclose(array, theirs[path], rtol=1e-5, atol=1e-7, err_msg=path)


@pytest.mark.parametrize("at", [1, 19, 20, 21, 30, 40])
def test_a_run_broken_off_in_or_between_phases_ends_with_the_same_bits(at: int, tmp_path: Path) -> None:
    changes = ("model.defaults.dropout=0.2", "train.ema=0.9")
    heard = Heard()
    expected = train(two_phases(*changes), tmp_path / "whole", heard)
    assert heard.steps()[-1].step == 40
    often = two_phases(*changes, "train.checkpoint=0")
    with pytest.raises(KeyboardInterrupt):
        train(often, tmp_path / "broken", Stopping(at))
    found = train(often, tmp_path / "broken", resume=True)
    assert outcome(found.run_dir) == outcome(expected.run_dir)


def test_a_phase_that_changes_nothing_is_training_afresh_with_the_parameters_so_far(tmp_path: Path) -> None:
    plain = "train.phases=[{name: a, epochs: 1}, {name: b, epochs: 1}]"
    sgd = "train.optimizer={kind: sign_sgd, lr: 0.01}"
    one, two = (outcome(train(tiny(sgd, *more), tmp_path / str(i)).run_dir) for i, more in enumerate([(), (plain,)]))
    # a rule without memory does not notice where a phase ends
    scored = [[line for line in each["lines"] if line["split"] != "test"] for each in (one, two)]
    assert scored[0] == scored[1]


def test_only_the_last_phase_chooses_and_runs_out_of_patience(tmp_path: Path) -> None:
    heard = Heard()
    changes = ("train.patience=1", "train.optimizer.lr=0.3")
    last = "{name: readout, train: [head], epochs: 30}"
    result = train(tiny(f"train.phases=[{FEATURES}, {last}]", PHASES[1], *changes), tmp_path, heard)
    assert [event.best for event in heard.epochs()[:3]] == [False, False, True]
    assert result.best_epoch > 2
    assert result.epochs < 32


def test_a_schedule_begins_anew_with_every_phase(tmp_path: Path) -> None:
    heard = Heard()
    train(two_phases("train.schedule={kind: cosine, warmup: 2}"), tmp_path, heard)
    rates = [step.lr for step in heard.steps()]
    assert rates[:20] == rates[20:]


def test_a_phase_may_have_its_own_optimizer(tmp_path: Path) -> None:
    heard = Heard()
    train(two_phases("train.phases[1].optimizer={kind: adamw, lr: 0.5}"), tmp_path, heard)
    assert {step.lr for step in heard.steps()} == {1e-3, 0.5}


def test_a_loss_that_is_none_of_targets_has_no_perplexity(tmp_path: Path) -> None:
    result = train(two_phases(), tmp_path)
    lines = [json.loads(line) for line in (result.run_dir / "metrics.jsonl").read_text().splitlines()]
    told = {(line["epoch"], line["split"]): "ppl" in line for line in lines if line["split"] != "test"}
    assert told == {(e, split): split == "valid" or e > 2 for e in range(1, 5) for split in ("train", "valid")}


# -- what the analyses and the graph make of phases ------------------------------------------------------------------


def test_the_header_of_a_graph_holds_the_phases_and_comes_back_from_text() -> None:
    graph = hs.lower(two_phases())
    assert graph.nest.phases == (
        Phase("features", "loss.features", ("embed", "core", "memory_0")),
        Phase("readout", "loss", ("head",)),
    )
    assert parse(text(graph)).nest == graph.nest


def test_the_graph_of_a_phase_has_its_loss_and_no_other() -> None:
    graph = hs.lower(two_phases())
    first, last = phased(graph, 0), phased(graph, 1)
    assert [set(one.outputs) & {"loss", "loss.features"} for one in (first, last)] == [{"loss"}, {"loss"}]
    assert first.nest.phases == (Phase("features", "loss", ("embed", "core", "memory_0")),)
    assert phased(last, 0) is last


def test_what_some_phase_trains_is_trained_and_what_none_is_to_train_is_left_alone() -> None:
    def found(*changes: str) -> list[str]:
        spec = tiny("accept={}", *changes)
        return [one.message for one in validate(hs.lower(spec), spec) if one.code == "HS102"]

    state = "model.core.gradient=full"
    assert found(*PHASES, state) == []
    assert found(PHASES[1], state, f"train.phases=[{FEATURES}]") == []
    unread = "train.phases=[{name: a, epochs: 1, loss: {kind: oacd, read: L}}, {name: b, train: [core]}]"
    (lost,) = found(state, unread)
    assert "never get a gradient" in lost
    (idle,) = found(state, "train.phases=[{name: a, loss: {kind: oacd, read: L}, train: [head]}, {name: b}]")
    assert idle == "the phase 'a' moves nothing: its loss reaches none of its parameters"


def test_a_phase_costs_the_backward_of_what_it_trains() -> None:
    graph = hs.lower(two_phases())
    features, readout = (cost(phased(graph, i)) for i in range(2))
    assert cost(graph).flops_per_token == readout.flops_per_token < features.flops_per_token
    assert features.params == readout.params == cost(graph).params
    # a readout pulls gradient through one product, to the head's weight
    head = graph.params["head.weight"].result.type
    assert readout.fresh.backward.at({"B": 1, "T": 6}) == 2 * 6 * head.width("I") * head.width("C")


@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        ("train.phases=[{name: a, train: [haed]}]", "train.phases[0].train[0]", "no parameter is called 'haed'"),
        ("train.phases=[{name: a, train: [hea]}]", "train.phases[0].train[0]", "did you mean 'head'?"),
        ("train.phases=[{name: a}, {name: a}]", "train.phases[1].name", "two phases are called 'a'"),
        ("train.phases=[{name: a, loss: {kind: oacd, read: X}}]", "train.phases[0].loss.read", "nothing called 'X'"),
        ("train.phases=[]", "train.phases", "at least 1 item"),
        ("loss={kind: oacd, read: L}", "loss", "scores no target"),
        ("loss={kind: sum, terms: [{kind: cross_entropy}, {kind: cross_entropy}]}", "loss.terms[1]", "already"),
        ("model.head.read=[L, X]", "model.head.read", "nothing called 'X'"),
    ],
)
def test_what_is_wrong_with_a_phase_is_told_at_its_place(change: str, place: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        hs.lower(tiny(change))
    (problem,) = error.value.problems
    assert problem.field == place
    assert message in problem.message
