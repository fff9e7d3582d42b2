"""What pip installs is whole: code, types, backends and specs."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("hrmsearch", "backends", "specs", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Return the names inside a wheel built from a copy, so that the checkout stays clean."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("out")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, copy / part)
    options = ("--quiet", "--no-build-isolation", "--no-deps", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "-w", out, copy], check=True)
    with zipfile.ZipFile(next(out.glob("*.whl"))) as wheel:
        return set(wheel.namelist())


def test_the_wheel_has_every_module(contents: set[str]) -> None:
    modules = {
        path.relative_to(root).as_posix()
        for root, package in ((ROOT, "hrmsearch"), (ROOT / "backends", "."))
        for pattern in ("*.py", "py.typed")
        for path in (root / package).rglob(pattern)
    }
    assert modules <= contents


def test_the_wheel_has_every_file_that_code_reads(contents: set[str]) -> None:
    files = {
        path.relative_to(ROOT).as_posix()
        for suffix in ("md", "json", "css")
        for path in ROOT.glob(f"hrmsearch/**/*.{suffix}")
    }
    assert {"hrmsearch/report/page.css", "hrmsearch/passes/forms.json"} <= files
    assert files <= contents


def test_the_wheel_has_every_spec(contents: set[str]) -> None:
    root = ROOT / "specs"
    specs = {f"hrmsearch/specs/{path.relative_to(root).as_posix()}" for path in root.rglob("*.yaml")}
    assert specs
    assert specs <= contents


def test_the_wheel_has_nothing_else_at_its_top(contents: set[str]) -> None:
    tops = {name.partition("/")[0] for name in contents}
    assert all(top.startswith("hrmsearch") for top in tops)
