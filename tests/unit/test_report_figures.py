"""Figures: the same for the same values, legible, apart for colour-blind readers, right about what they derive."""

import itertools
import math
import re
import sys
import xml.etree.ElementTree as ET
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hrmsearch.errors import HrmsearchError
from hrmsearch.report.figures import Picture
from hrmsearch.report.figures.bands import Level, Series, band_chart
from hrmsearch.report.figures.bars import importance
from hrmsearch.report.figures.heat import heat_map
from hrmsearch.report.figures.histogram import histogram
from hrmsearch.report.figures.pareto import Objective, Trial, front, pareto
from hrmsearch.report.figures.raster import raster
from hrmsearch.report.figures.rows import Mark, Row, forest, rows_chart
from hrmsearch.report.figures.tones import INK, TONES, themed

pytest.importorskip("matplotlib")

names = st.text("abcdefghij_WM", min_size=1, max_size=40)
axes = st.text("abcdefghij_WM ", min_size=1, max_size=60)
numbers = st.floats(-100, 100, allow_nan=False).map(lambda value: round(value, 3))
several = st.lists(numbers, min_size=1, max_size=5)
EPOCHS = (1.0, 2.0, 3.0, 4.0, 5.0)
LESS, MORE = Objective("bpc", "less"), Objective("accuracy", "more")


@st.composite
def bands(draw: st.DrawFn) -> Picture:
    def one(number: int) -> Series:
        seeds = {seed: dict(zip(EPOCHS, draw(several), strict=False)) for seed in range(draw(st.integers(1, 3)))}
        return Series(draw(names), number, seeds)

    series = [one(number) for number in range(draw(st.integers(1, 8)))]
    levels = [Level(draw(names), draw(numbers))]
    return band_chart("bands", "t", series, x="epoch", y=draw(names), levels=levels, points=draw(st.booleans()))


@st.composite
def rows(draw: st.DrawFn) -> Picture:
    def one(number: int) -> Row:
        low, high = sorted((draw(numbers), draw(numbers)))
        return Row(draw(names), number, draw(several), draw(st.sampled_from([None, (low, high)])), draw(names))

    found = [one(number) for number in range(draw(st.integers(1, 8)))]
    marks = [Mark(draw(names), draw(numbers)) for _ in range(draw(st.integers(0, 2)))]
    return rows_chart("rows", "t", found, x=draw(axes), caption="", marks=marks)


@st.composite
def trials(draw: st.DrawFn) -> Picture:
    arms = draw(st.lists(names, min_size=1, max_size=7, unique=True))
    found = [Trial(arm, i, draw(numbers), draw(numbers)) for i, arm in enumerate(arms) for _ in range(3)]
    return pareto("pareto", "t", found, LESS, Objective(draw(axes), "more"))


bars = st.dictionaries(names, st.floats(0, 1), min_size=1, max_size=6).map(
    lambda shares: importance("bars", "t", shares, "drawn")
)
periods = st.sampled_from([1.0, 2.0, 4.0, 16.0, 128.0])
cells = st.dictionaries(st.tuples(periods, periods), several, min_size=1, max_size=12)


@st.composite
def heats(draw: st.DrawFn) -> Picture:
    return heat_map("heat", "t", draw(cells), x=draw(axes), y=draw(axes), value="bpc", better="less")


@st.composite
def rasters(draw: st.DrawFn) -> Picture:
    ticks = draw(st.integers(1, 6))
    lines = st.dictionaries(st.integers(1, 10**6), st.lists(numbers, min_size=ticks, max_size=ticks), min_size=1)
    return raster("raster", "t", draw(lines), x=draw(axes), y=draw(axes), value="drawn")


@st.composite
def histograms(draw: st.DrawFn) -> Picture:
    counts = st.dictionaries(st.integers(1, 16), st.integers(1, 1000), min_size=1)
    found = [(draw(names), number, draw(counts)) for number in range(draw(st.integers(1, 4)))]
    return histogram("counts", "t", found, x="passes", y=draw(axes), caption="")


@settings(max_examples=35, deadline=None)
@given(st.one_of(bands(), rows(), trials(), bars, heats(), rasters(), histograms()))
def test_no_text_is_cut_off_or_lies_on_another(picture: Picture) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = picture.figure()
    renderer: Any = FigureCanvasAgg(figure).get_renderer()
    boxes, whole = _drawn_texts(figure, renderer), figure.bbox
    assert boxes
    for text, box in boxes:
        assert whole.x0 - 1 <= box.x0, text
        assert box.x1 <= whole.x1 + 1, text
        assert whole.y0 - 1 <= box.y0, text
        assert box.y1 <= whole.y1 + 1, text
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        across, down = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(across, down) < 2, f"{one!r} on {other!r}"


def _drawn_texts(figure: Any, renderer: Any) -> list[tuple[str, Any]]:
    """Return every text that is drawn, with its box; matplotlib holds others, such as ticks outside of the view."""
    from matplotlib.text import Text

    drawn: list[Any] = []

    def noted(text: Any, *given: Any) -> None:
        drawn.append(text)
        original(text, *given)

    original: Any = Text.draw  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", noted)
        figure.draw(renderer)
    return [(text.get_text(), text.get_window_extent(renderer)) for text in drawn if text.get_text().strip()]


def simple(name: str = "simple") -> Picture:
    return band_chart(name, "t", [Series("hrm", 0, {0: {1: 2.0, 2: 1.0}})], x="epoch", y="ppl")


def test_svg_and_png_are_the_same_every_time_and_take_nothing_from_the_users_settings() -> None:
    mpl: Any = import_module("matplotlib")
    before = simple().svg, simple().png
    with mpl.rc_context({"lines.linewidth": 9.0, "font.size": 20.0, "svg.fonttype": "none"}):
        assert (simple().svg, simple().png) == before
    assert "pyplot" not in [name.rpartition(".")[2] for name in sys.modules if name.startswith("matplotlib")]


def test_svg_is_xml_that_asks_for_nothing_from_elsewhere() -> None:
    root = ET.fromstring(simple().svg)
    links = [value for node in root.iter() for key, value in node.attrib.items() if key.endswith("href")]
    assert links
    assert all(link.startswith("#simple-") for link in links)
    assert not [node for node in root.iter() if node.tag.endswith(("}text", "}image", "}style", "}script"))][1:]


def test_ids_of_two_figures_of_one_page_differ() -> None:
    first, second = (
        {node.attrib["id"] for node in ET.fromstring(simple(name).svg).iter() if "id" in node.attrib}
        for name in ("one", "two")
    )
    assert first
    assert not first & second


def test_colours_follow_the_page_and_keep_their_own_elsewhere() -> None:
    svg = simple().svg
    assert "var(--tone-0, #076f93)" in themed(svg)
    assert themed(svg).replace("var(--tone-0, #076f93)", "#076f93").count("#076f93") == svg.count("#076f93")


#: Machado, Oliveira and Fernandes 2009, table 1, severity 1.0, over linear RGB
SIGHT: dict[str, list[list[float]]] = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    "full": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
}


@pytest.mark.parametrize("paper", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("sight", SIGHT)
def test_neighbouring_tones_are_told_apart_by_colour_blind_readers(sight: str, paper: int) -> None:
    shades = [_lab(both[paper], SIGHT[sight]) for both in TONES.values()]
    apart = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(shades, 2)]
    assert min(apart) > 12


@pytest.mark.parametrize("paper", [0, 1], ids=["light", "dark"])
def test_lines_and_text_stand_out_from_the_paper(paper: int) -> None:
    ground = _luminance(INK["paper"][paper])
    needed = {"paper": 1.0, "grid": 1.0, "ink": 7.0, "faint": 4.5} | dict.fromkeys(TONES, 3.0)
    for name, both in (INK | TONES).items():
        bright, dim = sorted((_luminance(both[paper]), ground), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= needed[name], name


def _linear(shade: str) -> NDArray[np.float64]:
    rgb = np.array([int(shade[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _luminance(shade: str) -> float:
    return float(_linear(shade) @ np.array([0.2126, 0.7152, 0.0722]))


def _lab(shade: str, sight: list[list[float]]) -> NDArray[np.float64]:
    """CIE L*a*b* under D65."""
    seen = np.clip(np.array(sight) @ _linear(shade), 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.maximum(to_xyz @ seen / np.array([0.95047, 1.0, 1.08883]), 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_a_band_ends_with_the_first_seed_and_the_others_go_on() -> None:
    series = Series("s", 0, {0: {1: 4.0, 2: 2.0}, 1: {1: 6.0, 2: 3.0, 3: 1.0}})
    assert series.band() == [(1, 5.0, 4.0, 6.0), (2, 2.5, 2.0, 3.0)]
    assert series.ahead() == [[(2, 3.0), (3, 1.0)]]


def test_a_band_leaves_out_what_is_infinite() -> None:
    assert Series("s", 0, {0: {1: math.inf, 2: 2.0}}).band() == [(2, 2.0, 2.0, 2.0)]


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_is_what_no_trial_beats(places: list[tuple[int, int]]) -> None:
    found = [Trial("a", 0, float(x), float(y)) for x, y in places]
    left = [(one.x, one.y) for one in front(found, LESS, MORE)]
    assert left == sorted(set(left))
    for x, y in {(one.x, one.y) for one in found}:
        beaten = any(a <= x and b >= y and (a, b) != (x, y) for a, b in places)
        assert ((x, y) in left) != beaten


def test_a_forest_says_which_side_is_better_and_what_its_bars_are() -> None:
    def caption(intervals: str) -> str:
        row = Row("a", 0, [1.0])
        return forest("f", "t", [row], x="bpc", control="hrm", better="less", intervals=intervals).caption

    assert "Left of zero is better than hrm; a bar that crosses" in caption("paired t intervals")
    assert "bars are paired t intervals" in caption("paired t intervals")
    assert "bar" not in caption("")


@pytest.mark.parametrize("form", ["svg", "png"])
def test_without_matplotlib_one_line_says_what_to_do(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(HrmsearchError, match=r"figures need matplotlib .*hrmsearch\[plots\].*--no-figures"):
        getattr(simple(), form)


def test_the_example_of_the_page_on_reports_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reports.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "reports.md", "exec"), {})
    assert ET.parse(tmp_path / "slstm.svg").getroot().tag.endswith("svg")
