"""The repository keeps its own rules: direction of imports, packaging, what a newcomer reads."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT: dict[str, Any] = PYPROJECT["project"]
BACKENDS: dict[str, str] = PROJECT["entry-points"]["hrmsearch.backends"]
SOURCES = os.pathsep.join([str(ROOT), str(ROOT / "backends")])

IMPORT_ALL = """
import importlib, pkgutil, sys
import hrmsearch
names = [module.name for module in pkgutil.walk_packages(hrmsearch.__path__, "hrmsearch.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def own_files() -> list[Path]:
    """Return every text file of the repository that git does not ignore."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8192]]


def test_every_import_contract_is_kept() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = run(str(linter), "--no-cache")
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_all_of_hrmsearch_loads_no_framework() -> None:
    done = run(sys.executable, "-W", "error", "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    assert not {"torch", "triton", "tinygrad", *_backend_packages()} & set(done.stdout.split())


def test_every_declared_backend_is_a_package_held_by_the_contracts() -> None:
    linter = PYPROJECT["tool"]["importlinter"]
    by_id = {contract["id"]: contract for contract in linter["contracts"]}
    for package in _backend_packages():
        assert (ROOT / "backends" / package / "__init__.py").is_file()
        assert package in linter["root_packages"]
        assert package in by_id["frameworks"]["forbidden_modules"]
        assert package in by_id["backends"]["source_modules"]


def test_every_package_is_typed() -> None:
    for package in [ROOT / "hrmsearch", *(ROOT / "backends" / name for name in _backend_packages())]:
        assert (package / "py.typed").is_file(), f"{package.name} lacks py.typed"


def test_every_folder_of_code_is_a_package() -> None:
    folders = {path.parent for root in ("hrmsearch", "backends") for path in (ROOT / root).rglob("*.py")}
    lacking = [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").is_file()]
    assert not lacking, "the wheel leaves these out, for they have no __init__.py"


def test_the_changelog_has_this_version() -> None:
    headings = re.findall(r"^## \[?([\w.]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert PROJECT["version"] in headings


def test_pins_lie_within_the_declared_ranges() -> None:
    extras: dict[str, list[str]] = PROJECT["optional-dependencies"]
    declared: list[str] = sum(extras.values(), PROJECT["dependencies"])
    ranges = {requirement.name: requirement.specifier for requirement in map(Requirement, declared)}
    pins = re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    outside = [f"{name}=={pin}" for name, pin in pins if name in ranges and pin not in ranges[name]]
    assert not outside


def test_make_alone_lists_every_target() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert phony
    listed = re.findall(r"^  make (\w+)", run("make", "--no-print-directory").stdout, re.MULTILINE)
    assert listed == phony[1].split()


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    here = "|".join(re.escape(str(path)) for path in (ROOT, Path.home(), Path(sys.prefix)) if path != Path("/"))
    absolute = re.compile(rf"(?<![\w.:/~-])(?:(?:{here})(?=[/\s\"'`]|$)|/(?:home|Users)/\w+)")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in own_files()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if absolute.search(line)
    ]
    assert not found, "\n".join(found)


def _backend_packages() -> list[str]:
    return sorted({target.partition(":")[0] for target in BACKENDS.values()})
