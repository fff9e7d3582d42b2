"""Runs on generated tasks: what they train on, what they say and keep, and that they resume bit for bit."""

import json
from pathlib import Path

import pytest

import hrmsearch as hs
from hrmsearch.errors import DataError, RunError, SpecError
from hrmsearch.lowering import lower
from hrmsearch.spec.load import render, resolved
from hrmsearch.spec.registry import discover, kinds
from hrmsearch.tasks.generated import Generated
from hrmsearch.tasks.mqar import Mqar
from hrmsearch.train import evaluate, load_run, reproduce, sample
from tests.training import Heard, Stopping, outcome, tiny, train

pytest.importorskip("torch")
discover()

TASK = (
    "task={kind: parity, train_lengths: [2, 6], test_lengths: [7, 9], also: {far: [10, 12]}, window: 12,"
    " train_rows: 20, valid_rows: 12, test_rows: 9}"
)
WINDOWED = ("model.memory[0].lifetime=window", "nest={passes: 2}")


def published() -> list[tuple[type[Generated], str]]:
    return [(kind, name) for kind in kinds("task").values() if issubclass(kind, Generated) for name in kind.presets]


def test_a_run_trains_on_short_rows_and_is_judged_on_long_ones_too(tmp_path: Path) -> None:
    heard = Heard()
    result = train(tiny(TASK, *WINDOWED), tmp_path, heard)
    assert heard.texts[0] == "task parity (train 20 rows, new in every epoch; valid 12, test 9, far 9)"
    assert list(result.scores) == ["valid", "test", "far"]
    lines = [json.loads(line) for line in (result.run_dir / "metrics.jsonl").read_text().splitlines()]
    assert {line["split"] for line in lines} == {"train", "valid", "test", "far"}
    judged = [line for line in lines if line["split"] != "train"]
    assert all(0.0 <= line["accuracy"] <= 1.0 and "ppl" not in line for line in judged)
    assert result.metrics["far"][-1]["accuracy"] == result.scores["far"][-1]["accuracy"]
    assert [control.name for control in result.controls] == ["constant"]


@pytest.mark.parametrize("more", ["task.fresh=true", "task.fresh=false"])
def test_a_run_broken_off_within_an_epoch_and_resumed_ends_as_if_it_had_not_been(tmp_path: Path, more: str) -> None:
    changes = (TASK, *WINDOWED, more, "train.epochs=3", "train.checkpoint=0")
    whole = train(tiny(*changes), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tiny(*changes), tmp_path / "broken", Stopping(14))
    again = train(tiny(*changes), tmp_path / "broken", resume=True)
    assert outcome(again.run_dir) == outcome(whole.run_dir)


def test_the_epoch_with_the_best_declared_metric_is_kept(tmp_path: Path) -> None:
    for best, better in (("accuracy", max), ("loss", min)):
        heard = Heard()
        spec = tiny(TASK, *WINDOWED, f"task.best={best}", "train.epochs=6", "train.optimizer.lr=0.05")
        result = train(spec, tmp_path / best, heard)
        values = [event.valid[-1][best] for event in heard.epochs()]
        assert result.best_epoch == values.index(better(values)) + 1
        assert result.valid == tuple(heard.epochs()[result.best_epoch - 1].valid)


def test_a_run_is_evaluated_and_reproduced(tmp_path: Path) -> None:
    result = train(tiny(TASK, *WINDOWED), tmp_path)
    loaded = load_run(result.run_dir)
    found = evaluate(loaded, "far")
    assert found.scores == result.scores["far"]
    assert found.targets == 9
    assert reproduce(result.run_dir).exact
    with pytest.raises(DataError, match="there is no split 'train'; there are valid, test, far"):
        evaluate(loaded, "train")
    with pytest.raises(DataError, match="the task 'parity' has no corpus to replace"):
        evaluate(loaded, corpus="pydoc")
    with pytest.raises(RunError, match="the task 'parity' has no text to sample"):
        sample(loaded, "a", 1)


def test_only_tasks_that_are_judged_by_answers_have_them_in_the_graph() -> None:
    assert "predicted" in lower(tiny(TASK, *WINDOWED)).outputs
    assert "predicted" not in lower(tiny()).outputs


def test_a_loss_that_counts_what_the_task_ignores_is_an_error() -> None:
    with pytest.raises(SpecError, match=r"loss.ignore: the task parity marks what does not count by -100"):
        lower(tiny(TASK, "loss={kind: cross_entropy, ignore: 0}"))


@pytest.mark.parametrize(
    ("override", "place"),
    [
        ("loss={kind: cross_entropy, ignore: 0}", "loss.ignore"),
        ("loss={kind: sum, terms: [{kind: cross_entropy, ignore: 0}]}", r"loss.terms\[0\].ignore"),
        ("train.phases=[{name: a, loss: {kind: cross_entropy, ignore: 0}}]", r"train.phases\[0\].loss.ignore"),
    ],
)
def test_a_loss_that_ignores_a_symbol_of_a_text_is_an_error(override: str, place: str) -> None:
    with pytest.raises(SpecError, match=f"{place}: 0 is a symbol of char_lm, so its targets would go uncounted"):
        lower(tiny(override))


@pytest.mark.parametrize("ignored", [-100, -1, 97])
def test_a_loss_may_ignore_what_is_no_symbol(ignored: int) -> None:
    assert tiny().task.vocabulary == 97
    assert "loss" in lower(tiny(f"loss={{kind: cross_entropy, ignore: {ignored}}}")).outputs


@pytest.mark.parametrize(("kind", "name"), published(), ids=lambda value: getattr(value, "__name__", value))
def test_every_preset_is_a_valid_task_under_its_own_name(kind: type[Generated], name: str) -> None:
    own = kind.model_fields["kind"].default
    task = kind.model_validate({"kind": own, **kind.presets[name]})
    assert task.label == f"{own}/{name}"
    assert kind.model_validate(task.model_dump()) == task
    for sections in task.sections().values():
        assert all(section.tokens <= task.window for section in sections)


@pytest.mark.parametrize("kind", dict.fromkeys(kind for kind, _ in published()), ids=lambda kind: kind.__name__)
def test_every_generated_task_lowers_in_short_form_and_renders_whole(kind: type[Generated]) -> None:
    short = f"{kind.model_fields['kind'].default}/{next(iter(kind.presets))}"
    head = ["model.head={kind: autoencoder, read: H}"] if kind.model_validate({}).bottleneck else []
    spec = tiny(f"task={short}", *head)
    assert spec.task.label == short
    assert lower(spec).outputs["predicted"].type.names == ("B", "T")
    assert resolved(hs.loads(render(spec))) == resolved(spec)


def test_a_larger_window_changes_no_row() -> None:
    small = Mqar.model_validate({"kind": "mqar", **Mqar.presets["small"]})
    wide = small.model_copy(update={"window": 64})
    assert wide.label == "mqar/small"
    assert wide.load().provenance == small.load().provenance
