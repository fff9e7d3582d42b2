"""Tables and numbers as people read them."""

import math

import pytest
from rich.console import Console

from hrmsearch.analyses.amount import Amount, Term
from hrmsearch.ir.types import Size
from hrmsearch.report.numbers import count, duration, metric, scaled, size, spread
from hrmsearch.report.structure import formula
from hrmsearch.report.table import Table

TABLE = Table(["seed", "ppl"], "lr", [[("0", "11.2"), ("1", "9.8")], [("mean", "10.5")]], title="hrm")


def test_plain_text_is_aligned_and_ends_no_line_in_spaces() -> None:
    assert TABLE.plain() == ("hrm\nseed   ppl\n----  ----\n0     11.2\n1      9.8\n----  ----\nmean  10.5\n")


def test_markdown_aligns_numbers_to_the_right() -> None:
    assert TABLE.markdown() == (
        "**hrm**\n\n| seed | ppl |\n| :--- | ---: |\n| 0 | 11.2 |\n| 1 | 9.8 |\n| mean | 10.5 |\n"
    )


def test_markdown_escapes_what_would_end_a_cell() -> None:
    assert Table(["a"], "l", [[("x|y\nz",)]]).markdown().splitlines()[-1] == "| x\\|y z |"


def test_rich_takes_brackets_as_text() -> None:
    console = Console(width=40, no_color=True)
    with console.capture() as capture:
        console.print(Table(["shape"], "l", [[("[B, T]",)]]).rich())
    assert "[B, T]" in capture.get()


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a table of 2 columns has rows of \[1, 2\] cells"):
        Table(["a", "b"], "lr", [[("1",)]])


def test_numbers_read_well() -> None:
    assert count(152064) == "152,064"
    assert [scaled(n, "FLOP") for n in (12, 2138888, 9.5e9)] == ["12 FLOP", "2.139 MFLOP", "9.5 GFLOP"]
    assert [size(n) for n in (512, 32768, 3 * 2**20)] == ["512 B", "32.00 KiB", "3.00 MiB"]
    assert [duration(s) for s in (4.2, 59.96, 200, 3840)] == ["4.2 s", "1 min 00 s", "3 min 20 s", "1 h 04 min"]
    assert [metric(v) for v in (11.3456, 12345.6, math.inf)] == ["11.346", "1.235e+04", "inf"]


def test_a_spread_of_one_value_has_no_deviation() -> None:
    assert [spread(11.3, 0.051), spread(11.3, None)] == ["11.300 ± 0.051", "11.300"]


def test_a_formula_gathers_equal_sizes_into_powers() -> None:
    b, t = Size.of("B"), Size.of("T")
    amount = Amount.of([Term(143488, (b, t)), Term(256, (b, t, t)), Term(2, (Size.of("T+2"),))])
    assert formula(amount) == "256 B T² + 143,488 B T + 2 (T+2)"
    assert formula(Amount.of([Term(3, (b,), (Size.of("T-1"),))])) == "3 B [T-1 > 0]"
    assert formula(Amount()) == "0"
