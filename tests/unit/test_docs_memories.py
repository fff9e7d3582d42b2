"""The memory of one's own that docs/memories.md shows is a plug-in that works."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.part_models import ATTENTION, stack

PAGE = Path(__file__).parents[2] / "docs" / "memories.md"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that Python sees as an installed package with the page's memory and the tests' task."""
    text, folder = PAGE.read_text(encoding="utf-8"), tmp_path_factory.mktemp("plugin")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    (points,) = re.findall(r"```toml\n(.*?)```", text, re.S)
    name, target = re.findall(r'^(\w+) = "(\w+)"$', points, re.M)[0]
    (folder / f"{target}.py").write_text(code)
    (folder / "spec.yaml").write_text(
        stack(ATTENTION, memory="at: input, kind: mean, lifetime: stream, commit: last_pass")
    )
    known = folder / "plugin-1.dist-info"
    known.mkdir()
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1\n")
    entries = f"{name} = {target}\ntoy = hrmsearch.testing.toy\n"
    (known / "entry_points.txt").write_text(f"[hrmsearch.parts]\n{entries}")
    return folder


def run(plugin: Path, *arguments: str) -> str:
    """Return what a command prints where the plug-in is installed."""
    root = Path(__file__).parents[2]
    path = os.pathsep.join(map(str, (plugin, root, root / "backends")))
    done = subprocess.run(
        [sys.executable, "-m", "hrmsearch", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        cwd=plugin,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_memory_of_the_page_holds_every_invariant(plugin: Path) -> None:
    report = json.loads(run(plugin, "check", "spec.yaml", "--examples", "3", "--json"))
    assert report["ok"]
    verdicts = {one["name"]: one["verdict"] for one in report["invariants"]}
    assert {verdicts[name] for name in ("causality", "write-mask", "gradients", "reset-rows")} == {"held"}


def test_the_command_says_where_the_memory_of_the_page_may_stand(plugin: Path) -> None:
    printed = run(plugin, "memories", "mean")
    assert "**`mean`**" in printed
    assert "| stream | last_pass | (2) | runs |" in printed
    assert "1. `lifetime`: it is read before" in printed
