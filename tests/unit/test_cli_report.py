"""`hrmsearch report`: what it prints, what it writes, and that every number can be followed to its manifest."""

import csv
import json
import re
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hrmsearch.cli.app import app

pytest.importorskip("matplotlib")


def report(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def made(report_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "report"
    done = report(report_runs, "-o", out, "--png")
    assert done.exit_code == 0, done.output
    assert "told" in done.stdout
    assert f"wrote {out / 'report.html'}" in done.stderr
    return out


def test_a_report_is_a_folder_of_readable_files(made: Path) -> None:
    files = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    assert {"report.html", "report.md", "curves.csv", "scores.csv", "controls.csv"} <= files
    figures = {name.removesuffix(".svg") for name in files if name.endswith(".svg")}
    assert figures == {name.removesuffix(".png") for name in files if name.endswith(".png")}
    text = (made / "report.md").read_text(encoding="utf-8")
    assert all(f"({figure}.svg)" in text for figure in figures)
    kinds = {figure.partition("-")[2] for figure in figures}
    assert {"test-scores", "differences", "valid-bpc", "train-loss", "passes"} <= kinds
    assert {"core-energy-l-passes", "core-energy-l-epochs", "core-energy-h-passes", "core-energy-h-epochs"} <= kinds


def test_every_score_equals_the_one_in_the_manifest_it_names(made: Path, report_runs: Path) -> None:
    found = rows(made / "scores.csv")
    for row in found:
        content = Path(row["manifest"]).read_bytes()
        assert row["manifest_sha256"] == sha256(content).hexdigest()
        score = json.loads(content)["metrics"][row["split"]][int(row["pass"]) - 1]
        assert row["value"] == ("" if score[row["metric"]] is None else repr(score[row["metric"]]))
    assert {(row["spec"], row["seed"]) for row in found} == {
        (path.parent.parent.name, path.parent.name.removeprefix("seed-")) for path in report_runs.rglob("manifest.json")
    }


def test_curves_hold_every_value_of_the_log(made: Path, report_runs: Path) -> None:
    logs = report_runs.rglob("metrics.jsonl")
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    values = [value for line in lines for name, value in line.items() if name not in ("step", "epoch", "split", "pass")]
    found = rows(made / "curves.csv")
    assert sorted(row["value"] for row in found) == sorted("" if v is None else str(v) for v in values)
    assert list(found[0])[4:] == ["epoch", "step", "split", "pass", "metric", "value"]


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_diagnostics_commands_and_hashes_are_shown(made: Path, report_runs: Path, name: str) -> None:
    text = (made / name).read_text(encoding="utf-8")
    for path in report_runs.rglob("manifest.json"):
        assert sha256(path.read_bytes()).hexdigest() in text
        assert f"hrmsearch reproduce {path}" in text
    assert all(code in text for code in ("HS101", "HS106", "HS108", "HS109"))
    assert "hrmsearch run tiny.yaml" in text
    assert "training FLOPs per token" in text
    versions = json.loads((report_runs / "told" / "seed-0" / "manifest.json").read_text())["versions"]
    assert all(f"{name} {version}" in text for name, version in versions.items())


def test_the_same_runs_give_the_same_bytes(made: Path, report_runs: Path, tmp_path: Path) -> None:
    assert report(report_runs, "-o", tmp_path).exit_code == 0
    again = [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    assert len(again) > 10
    assert [path for path in again if path.read_bytes() != (made / path.relative_to(tmp_path)).read_bytes()] == []


def test_a_report_is_replaced_only_by_force_and_other_folders_never(report_runs: Path, tmp_path: Path) -> None:
    assert report(report_runs, "-o", tmp_path, "--no-figures").exit_code == 0
    refused = report(report_runs, "-o", tmp_path, "--no-figures")
    assert refused.exit_code == 2
    assert refused.stderr == f"hrmsearch: {tmp_path / 'report.html'}: exists already; --force replaces it\n"
    assert report(report_runs, "-o", tmp_path, "--no-figures", "--force").exit_code == 0
    foreign = report(report_runs, "-o", report_runs, "--force")
    assert foreign.exit_code == 2
    assert "holds no report but other files" in foreign.stderr


def test_without_figures_a_report_has_its_tables(report_runs: Path, tmp_path: Path) -> None:
    assert report(report_runs / "told", "-o", tmp_path, "--no-figures").exit_code == 0
    assert "<svg" not in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not (tmp_path / "figures").exists()


def test_one_seed_makes_a_report(report_runs: Path, tmp_path: Path) -> None:
    assert report(report_runs / "plain" / "seed-1", "-o", tmp_path).exit_code == 0
    assert "One seed each." in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_kept_manifests_make_a_report_without_curves(report_runs: Path, tmp_path: Path) -> None:
    shutil.copy(report_runs / "told" / "seed-0" / "manifest.json", tmp_path / "seed-0.json")
    assert report(tmp_path / "seed-0.json", "-o", tmp_path / "report", "--no-figures").exit_code == 0
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "only the manifest was kept have no learning curves" in text
    assert "while training" not in text


def test_an_unfinished_run_is_named_and_left_out(report_runs: Path, tmp_path: Path) -> None:
    shutil.copytree(report_runs / "told", tmp_path / "told")
    manifest = tmp_path / "told" / "seed-1" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "status": "running"}))
    done = report(tmp_path / "told", "-o", tmp_path / "report", "--no-figures")
    assert done.exit_code == 0
    assert f"{manifest.parent}: not finished, left out" in done.stderr
    assert f"{manifest.parent}: not finished, left out." in (tmp_path / "report" / "report.md").read_text()


def test_an_unknown_control_is_answered_with_the_specs_there_are(report_runs: Path, tmp_path: Path) -> None:
    done = report(report_runs, "-o", tmp_path, "--control", "tlod")
    assert (done.exit_code, done.stderr) == (2, "hrmsearch: tlod: is none of the specs here, which are plain, told\n")
    assert list(tmp_path.iterdir()) == []


def test_a_named_control_is_what_others_are_judged_against(report_runs: Path, tmp_path: Path) -> None:
    assert report(report_runs, "-o", tmp_path, "--control", "told").exit_code == 0
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "test bpc minus told's, 2 paired seeds" in text
    assert "paired t intervals at the confidence that Holm's rule asks of each" in text
    assert re.search(r"No difference between plain and told is shown|plain is (better|worse) than told", text)
    assert "plain: not in every arm and left out: seed 2" in text


def test_a_control_that_nobody_named_judges_nothing(made: Path) -> None:
    text = (made / "report.md").read_text(encoding="utf-8")
    assert "described, not judged" in text
    assert "interval" not in text
    assert "paired seeds" not in text


def test_a_diverged_seed_is_named_and_takes_the_verdict_away(report_runs: Path, tmp_path: Path) -> None:
    shutil.copytree(report_runs, tmp_path / "runs")
    manifest = tmp_path / "runs" / "told" / "seed-1" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "status": "diverged"}))
    done = report(tmp_path / "runs", "-o", tmp_path / "report", "--control", "plain", "--no-figures")
    assert f"{manifest.parent}: diverged, left out" in done.stderr
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert f"- {manifest.parent}: diverged, left out." in text
    assert "Diverged, and in no mean here: seed 1." in text
    assert "No verdict on told against plain" in text


def test_specs_without_a_common_seed_are_reported_without_differences(report_runs: Path, tmp_path: Path) -> None:
    for name, seed in (("told", 0), ("plain", 2)):
        shutil.copytree(report_runs / name / f"seed-{seed}", tmp_path / "runs" / name / f"seed-{seed}")
    assert report(tmp_path / "runs", "-o", tmp_path / "report", "--no-figures").exit_code == 0
    assert "No differences: " in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
