"""The table of the two documents names only what is there, and leaves no number out."""

import re
from pathlib import Path

import pytest

from hrmsearch.analyses import rules
from hrmsearch.spec.registry import discover, families
from hrmsearch.testing.invariants import invariants

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "seeds.md").read_text(encoding="utf-8")
CODE = re.findall(r"`([^`]+)`", TEXT)


@pytest.mark.parametrize("letter", ["A", "B"])
def test_rows_are_numbered_without_a_gap(letter: str) -> None:
    numbers = [int(number) for number in re.findall(rf"^\| {letter}(\d+) \|", TEXT, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_files_exist() -> None:
    paths = [text for text in CODE if re.fullmatch(r"(specs|tests|results|hrmsearch)(/[\w./]+)?", text)]
    pages = re.findall(r"\]\(([\w.]+)\)", TEXT)
    assert len(paths) > 40
    assert [path for path in (*paths, *(f"docs/{page}" for page in pages)) if not (ROOT / path).exists()] == []


def test_diagnostics_and_invariants_exist() -> None:
    codes = re.findall(r"HS\d{3}", TEXT)
    named = [name for text in re.findall(r"invariants? ((?:`[\w-]+`(?:, )?)+)", TEXT) for name in text.split("`")[1::2]]
    assert set(codes) <= rules().keys()
    assert len(named) > 8
    assert set(named) <= invariants().keys()


def test_kinds_exist() -> None:
    discover()
    known = {name for family in families().values() for name in family}
    named = re.findall(r"(?:memory|mixer|block|optimiser|loss) `(\w+)`", TEXT)
    assert set(named) <= known
