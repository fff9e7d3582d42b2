"""Runs gathered for a table or a report: what may stand beside what, and under which name."""

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from hrmsearch.errors import RunError
from hrmsearch.report.evidence import gather
from hrmsearch.report.runs import compare


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


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run in it"):
        gather([tmp_path])
    with pytest.raises(RunError, match="no such folder"):
        gather([tmp_path / "absent"])
