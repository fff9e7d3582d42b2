"""The pages that put published numbers beside ours say what the manifests beside them say."""

from pathlib import Path

import pytest

pytest.importorskip("benchmarks.published_tables", reason="an installed package has no benchmarks")

from benchmarks.published_tables import MARK, filled

RESULTS = Path(__file__).parents[2] / "results"
PAGES = [page for page in RESULTS.rglob("*.md") if MARK.search(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(RESULTS)))
def test_a_page_of_published_numbers_says_what_its_manifests_say(page: Path) -> None:
    assert filled(page) == page.read_text(encoding="utf-8")


def test_there_is_such_a_page() -> None:
    assert RESULTS / "README.md" in PAGES
