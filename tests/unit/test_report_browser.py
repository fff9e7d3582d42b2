"""The HTML report in a real browser: what it shows, in wide and narrow windows, on light and dark paper."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hrmsearch.report.evidence import gather
from hrmsearch.report.experiment import document
from hrmsearch.report.html import html
from hrmsearch.report.runs import compare
from hrmsearch.report.study_file import read
from hrmsearch.report.study_report import study_document
from tests import browser
from tests.reports import REASON
from tests.studies import study

pytest.importorskip("matplotlib")

#: wider than the window, though not in a part that scrolls by itself
TOO_WIDE = """[...document.querySelectorAll("main *")].filter(e => !e.closest(".scroll") && !e.closest("svg")
    && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML.slice(0, 80))"""
SIZES = """[...document.querySelectorAll("figure > svg")].map(e => [e.getBoundingClientRect().width,
    e.getBoundingClientRect().height, e.querySelectorAll("path").length])"""
OVERLAPS = """(() => {
    const boxes = [...document.querySelectorAll("main > *, section > *, figure, figure > *")];
    return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b => {
        if (a.contains(b) || b.contains(a)) return false;
        const [p, q] = [a.getBoundingClientRect(), b.getBoundingClientRect()];
        return Math.min(p.right, q.right) - Math.max(p.left, q.left) > 1
            && Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 1;
    }).map(b => [a.outerHTML.slice(0, 60), b.outerHTML.slice(0, 60)]));
})()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    if browser.installed() is None:
        pytest.skip("no Chromium is installed (Debian: chromium)")
    with browser.page(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module", params=["runs", "study"])
def report(report_runs: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path_factory.mktemp("report")
    if request.param == "study":
        made = study_document(read(study(report_runs, folder)))
    else:
        finished, others = gather([report_runs])
        made = document(compare(finished), others)
    (folder / "report.html").write_text(html(made), encoding="utf-8")
    return folder / "report.html"


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (768, False), (360, True)], ids=["wide", "half", "phone"])
def test_the_report_shows_its_figures_and_tables_and_asks_for_nothing(
    page: browser.Page, report: Path, width: int, dark: bool
) -> None:
    page.open(report, width=width, dark=dark, phone=width < 400)
    assert page.complaints == []
    assert page.requests == [report.resolve().as_uri()]
    assert page.run("document.documentElement.scrollWidth") == width
    assert page.run(TOO_WIDE) == []
    assert page.run(OVERLAPS) == []
    shown = page.run(SIZES)
    assert len(shown) == page.run("document.querySelectorAll('figcaption').length") >= 6
    assert all(wide > min(width, 1280) * 0.4 and high > 60 and paths > 10 for wide, high, paths in shown)
    assert page.run("document.querySelectorAll('table').length") >= 8
    paper = page.run("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")


def test_figures_follow_the_paper(page: browser.Page, report: Path) -> None:
    fills: list[set[str]] = []
    for dark in (False, True):
        page.open(report, width=800, dark=dark)
        fills.append(set(page.run("[...document.querySelectorAll('svg *')].map(e => getComputedStyle(e).stroke)")))
    assert "rgb(7, 111, 147)" in fills[0]
    assert "rgb(7, 111, 147)" not in fills[1]
    assert "rgb(74, 153, 255)" in fills[1]


def test_every_link_of_the_report_leads_somewhere(page: browser.Page, report: Path) -> None:
    page.open(report, width=1280)
    links = page.run("[...document.querySelectorAll('a')].map(e => e.getAttribute('href'))")
    ids = page.run("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(links) > 4
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert len(ids) == len(set(ids))


def test_text_of_a_spec_is_text_in_the_report(page: browser.Page, report: Path) -> None:
    page.open(report, width=1280)
    assert f"Accepted: {REASON}" in page.run("document.body.innerText")


def test_the_browser_hears_of_requests_and_errors(page: browser.Page, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text("<img src='missing.png'><script>console.error('no'); fail()</script>")
    page.open(tmp_path / "bad.html", width=800)
    assert [url.rpartition("/")[2] for url in page.requests] == ["bad.html", "missing.png"]
    assert len(page.complaints) >= 2
