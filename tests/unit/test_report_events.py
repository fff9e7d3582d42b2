"""TensorBoard event files: what TensorBoard reads back is what was logged."""

import json
import math
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from hrmsearch.errors import HrmsearchError
from hrmsearch.report.events import event_files
from hrmsearch.report.evidence import gather
from hrmsearch.report.runs import Compared, compare


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


def test_without_the_library_one_line_says_what_to_do(report_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorboard", "tensorboard.compat.proto.event_pb2"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(HrmsearchError, match=r"event files need the library tensorboard .*hrmsearch\[tensorboard\]"):
        event_files(compared(report_runs))
