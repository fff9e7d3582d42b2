"""Runs gathered for a table or a report: what may stand beside what, and under which name."""

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

from hrmsearch.cli.app import app
from hrmsearch.errors import RunError
from hrmsearch.report.evidence import Evidence, gather
from hrmsearch.report.experiment import results_section
from hrmsearch.report.figures import Picture
from hrmsearch.report.plots import of_learning, of_scores
from hrmsearch.report.runs import compare
from hrmsearch.report.telling import of_steps
from hrmsearch.train import RunOptions, Silent, run
from tests.training import tiny


def test_evidence_names_its_manifest_by_file_and_hash(report_runs: Path) -> None:
    found, others = gather([report_runs / "told", report_runs])
    assert not others
    assert [one.file for one in found] == [
        *(report_runs / "told" / f"seed-{seed}" / "manifest.json" for seed in (0, 1)),
        *(report_runs / "plain" / f"seed-{seed}" / "manifest.json" for seed in (0, 1, 2)),
    ]
    assert all(one.sha256 == sha256(one.file.read_bytes()).hexdigest() for one in found)
    assert all(one.lines for one in found)


def test_copied_manifests_are_evidence_without_a_log(report_runs: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        shutil.copy(report_runs / "told" / f"seed-{seed}" / "manifest.json", tmp_path / f"seed-{seed}.json")
    found, _ = gather([tmp_path])
    assert [(one.seed, one.lines) for one in found] == [(0, []), (1, [])]


def test_specs_of_one_name_are_told_apart_by_their_hash(report_runs: Path, tmp_path: Path) -> None:
    for name in ("told", "plain"):
        manifest = json.loads((report_runs / name / "seed-0" / "manifest.json").read_text())
        (tmp_path / f"seed-{name}.json").write_text(json.dumps({**manifest, "name": "same"}))
    found, _ = gather([tmp_path])
    (compared,) = compare(found)
    assert sorted(spec.label for spec in compared.specs) == sorted(
        f"same ({one.result.identity.spec[:6]})" for one in found
    )


def test_data_of_one_name_are_told_apart_by_their_hash(report_runs: Path, tmp_path: Path) -> None:
    for name, data in (("told", "aaaaaaa1"), ("plain", "bbbbbbb2")):
        manifest = json.loads((report_runs / name / "seed-0" / "manifest.json").read_text())
        manifest["data"]["sha256"] = data
        (tmp_path / f"seed-{name}.json").write_text(json.dumps(manifest))
    compared = compare(gather([tmp_path])[0])
    assert [one.corpus for one in compared] == ["pydoc (aaaaaa)", "pydoc (bbbbbb)"]
    pictures = [picture.name for one in compared for picture in of_scores(one)]
    assert len(set(pictures)) == len(pictures) == 2


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run in it"):
        gather([tmp_path])
    with pytest.raises(RunError, match="no such folder"):
        gather([tmp_path / "absent"])


def test_passes_until_rows_halt_are_drawn_where_rows_may_halt(report_runs: Path) -> None:
    (compared,) = compare(gather([report_runs])[0])
    assert not [picture for picture in of_learning(compared) if "halt" in picture.name]
    rolling = [replace(spec, seeds=[_rolled(one) for one in spec.seeds]) for spec in compared.specs]
    (picture,) = [one for one in of_learning(replace(compared, specs=rolling)) if "halt" in one.name]
    assert picture.title == "passes until a row halts, train"


def _rolled(one: Evidence) -> Evidence:
    """Return a run as if its rows had halted one by one, for then training says after how many passes."""
    return replace(one, lines=[{**line, **({"passes": 2.5} if line["split"] == "train" else {})} for line in one.lines])


def test_telemetry_of_steps_is_drawn_where_it_was_logged(tmp_path: Path) -> None:
    asked = "train.telemetry={of: [ponder, norm, q], every: 2}"
    halts = ("nest={passes: 3, halt: {explore: 0.5}}", "model.q_head={read: H, outputs: [halt], bias: -1.0}")
    more = ("model.memory=[]", "loss={kind: cross_entropy, halt: 0.5}", "task.loader=shuffled")
    run(tiny(asked, *halts, *more), RunOptions(out=tmp_path), Silent())
    (compared,) = compare(gather([tmp_path])[0])
    pictures = {picture.title: picture for picture in of_steps(compared)}
    assert list(pictures) == [
        "core.norm_L over ticks, tiny",
        "core.norm_H over ticks, tiny",
        "core.ponder while training, rows of each step",
        "q_head.q_halt while training, rows of each step",
    ]
    assert "seed 0" in pictures["core.norm_L over ticks, tiny"].caption
    shown = results_section(compared, None, figures=True)
    assert {one.name for one in pictures.values()} <= {one.name for one in shown.items if isinstance(one, Picture)}


def test_after_how_many_passes_rows_halted_is_told_without_telemetry(tmp_path: Path) -> None:
    halts = (
        "nest={passes: 3, halt: {explore: 0.5, eval: halt}}",
        "model.q_head={read: H, outputs: [halt], bias: -1.0}",
    )
    more = ("model.memory=[]", "loss={kind: cross_entropy, halt: 0.5}", "task.loader=shuffled", "seeds=[0,1]")
    results = run(tiny(*halts, *more), RunOptions(out=tmp_path / "runs"), Silent())
    done = CliRunner().invoke(app, ["report", str(tmp_path / "runs"), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    counts = [sum(column) for column in zip(*(result.halted for result in results), strict=True)]
    mean = sum(number * count for number, count in enumerate(counts, 1)) / sum(counts)
    cells = [f"{mean:.2f}", *(f"{100 * count / sum(counts):.1f}" for count in counts)]
    html, terminal = (tmp_path / "out" / "report.html").read_text(encoding="utf-8"), done.stdout
    (row,) = [line.split() for line in terminal.partition("passes that rows took")[2].splitlines() if " train " in line]
    assert row == ["tiny", "train", *cells]
    assert all(f">{cell}<" in html for cell in cells)
    assert "passes that rows took, train" in html
    assert {"valid", "test"} <= set(terminal.partition("passes that rows took")[2].split())


def test_without_telemetry_nothing_of_steps_is_drawn(report_runs: Path) -> None:
    (compared,) = compare(gather([report_runs])[0])
    assert of_steps(compared) == []
