"""TensorBoard event files: what TensorBoard reads back is what was logged."""

import json
import math
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from hrmsearch.errors import HrmsearchError
from hrmsearch.report.events import event_files
from hrmsearch.report.evidence import gather
from hrmsearch.report.live_events import LiveEvents
from hrmsearch.report.runs import Compared, compare
from hrmsearch.train import EpochDone, Score, SeedStarted, Several, Step, Watcher
from tests.training import Heard


def compared(folder: Path) -> list[Compared]:
    return compare(gather([folder])[0])


def test_tensorboard_reads_back_what_was_logged(report_runs: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    files = event_files(compared(report_runs))
    assert len(files) == 5
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(content)
        log = report_runs / path.parent / "metrics.jsonl"
        lines: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
        found = _read(tmp_path / path.parent)
        several = {line["pass"] for line in lines} != {1}
        for line in lines:
            tag = f"{line['split']}/loss" + (f"_pass_{line['pass']}" if several else "")
            assert math.isclose(found[tag][line["step"]], line["loss"], rel_tol=1e-6)


def _read(folder: Path) -> dict[str, dict[int, float]]:
    accumulator: Any = import_module("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {tag: {one.step: one.value for one in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def test_a_run_can_be_watched_while_it_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    heard, events = Heard(), LiveEvents(tmp_path, "tiny")
    tell(Several(heard, events))
    # before the seed ends: what was told up to the last epoch is there
    found = _read(tmp_path / "tiny" / "seed-0")
    assert found["step/loss"] == {1: 3.5, 2: 3.0}
    assert found["step/lr"].keys() == found["step/grad_norm"].keys() == {1, 2}
    assert found["valid/loss_pass_2"] == {2: 2.0}
    assert found["train/ppl_pass_1"].keys() == {2}
    assert "valid/ppl_pass_2" not in found, "an infinite value is left out"
    assert len(heard.events) == 4


STARTED = SeedStarted(0, Path("runs/tiny/seed-0"), False, 10, 100, passes=1, epochs=2, batches=2, steps=4, step=0)


def tell(watcher: Watcher) -> None:
    """Tell of a seed of two steps and an epoch."""
    watcher.started(replace(STARTED, passes=2))
    for step, loss in ((1, 3.5), (2, 3.0)):
        watcher.step(Step(0, step, 4, 1, loss, lr=1e-3, grad_norm=1.0, seconds=0.1))
    train = [Score(number, 2.5, {"ppl": 12.25}) for number in (1, 2)]
    watcher.epoch(EpochDone(0, 1, 2, 2, train, [train[0], Score(2, 2.0, {"ppl": math.inf})], True, 0.2))


def test_an_epoch_that_was_not_validated_has_the_tags_of_the_others(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    events = LiveEvents(tmp_path, "tiny")
    events.started(replace(STARTED, passes=2))
    events.epoch(EpochDone(0, 1, 2, 2, [Score(1, 2.5)], (), False, 0.2))
    events.epoch(EpochDone(0, 2, 2, 4, [Score(1, 2.0)], [Score(1, 2.2), Score(2, 2.1)], True, 0.2))
    found = _read(tmp_path / "tiny" / "seed-0")
    assert found == {
        "train/loss_pass_1": {2: 2.5, 4: 2.0},
        "valid/loss_pass_1": {4: pytest.approx(2.2)},
        "valid/loss_pass_2": {4: pytest.approx(2.1)},
    }


def test_a_resumed_run_takes_the_place_of_what_was_told_after_its_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    events = LiveEvents(tmp_path, "tiny")
    for begun, loss in ((0, 3.0), (2, 1.0)):
        events.started(replace(STARTED, step=begun))
        for step in range(begun + 1, 5):
            events.step(Step(0, step, 4, 1, loss, lr=1e-3, grad_norm=1.0, seconds=0.1))
        events.epoch(EpochDone(0, 1, 1, 4, [Score(1, loss)], (), False, 0.2))
    accumulator: Any = import_module("tensorboard.backend.event_processing.event_accumulator")
    read = accumulator.EventAccumulator(str(tmp_path / "tiny" / "seed-0"))
    read.Reload()
    assert [(one.step, one.value) for one in read.Scalars("step/loss")] == [(1, 3.0), (2, 3.0), (3, 1.0), (4, 1.0)]


def test_without_the_library_one_line_says_what_to_do(report_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorboard", "tensorboard.compat.proto.event_pb2"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(HrmsearchError, match=r"event files need the library tensorboard .*hrmsearch\[tensorboard\]"):
        event_files(compared(report_runs))
    with pytest.raises(HrmsearchError, match="event files need the library tensorboard"):
        LiveEvents(report_runs / "events", "tiny")
