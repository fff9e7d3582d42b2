"""Reading YAML with places, and refusing what a spec may not hold."""

import os
from pathlib import Path
from textwrap import dedent

import pytest

from hrmsearch.errors import Place, SpecError
from hrmsearch.spec.reader import LARGEST_TEXT
from hrmsearch.spec.source import parse, read

SPEC = dedent("""\
    # a comment
    name: tiny
    model:
      dim: 64
      memory:
        - {at: input, lifetime: stream}
      q_head: none
    seeds: [0, 1]
    """)


def refusal(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse(text, "x.yaml")
    return str(caught.value)


def excerpt(line: int, text: str, column: int) -> str:
    return f"{line:5} | {text}\n      | {' ' * (column - 1)}^"


# --- values ---------------------------------------------------------------------------------------------------------


def test_a_spec_becomes_plain_data() -> None:
    assert parse(SPEC, "x.yaml").tree == {
        "name": "tiny",
        "model": {"dim": 64, "memory": [{"at": "input", "lifetime": "stream"}], "q_head": "none"},
        "seeds": [0, 1],
    }


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1e-3", 1e-3),
        ("1.0e-6", 1e-6),
        ("3E+2", 300.0),
        (".5", 0.5),
        ("-.5", -0.5),
        ("7.", 7.0),
        ("64", 64),
        ("-3", -3),
        ("+3", 3),
        ("010", 10),
        ("0o17", 15),
        ("0xFf", 255),
        ("-.inf", float("-inf")),
        (".INF", float("inf")),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'64'", "64"),
        ('"true"', "true"),
        ("on", "on"),
        ("no", "no"),
        ("y", "y"),
        ("none", "none"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("0b11", "0b11"),
        ("2026-01-01", "2026-01-01"),
        ("nan", "nan"),
        ("1e", "1e"),
        (".", "."),
        ("\u0661", "\u0661"),
    ],
)
def test_words_mean_what_yaml_1_2_says(word: str, value: object) -> None:
    tree = parse(f"key: {word}\n", "x.yaml").tree
    assert tree == {"key": value}
    assert isinstance(tree, dict)
    assert type(tree["key"]) is type(value)


def test_an_alias_repeats_its_anchor_and_stands_where_it_is_written() -> None:
    source = parse("a: &levels {period: 1}\nb: *levels\n", "x.yaml")
    assert source.tree == {"a": {"period": 1}, "b": {"period": 1}}
    assert source.place(("b",)) == Place("x.yaml", 2, 4)
    assert source.place(("b", "period")) == Place("x.yaml", 1, 21)


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    source = parse("\ufeffname: tiny\n", "x.yaml")
    assert source.tree == {"name": "tiny"}
    assert source.place(("name",)) == Place("x.yaml", 1, 7)


# --- places ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        ((), (2, 1), (2, 1)),
        (("name",), (2, 7), (2, 1)),
        (("model",), (4, 3), (3, 1)),
        (("model", "dim"), (4, 8), (4, 3)),
        (("model", "memory"), (6, 5), (5, 3)),
        (("model", "memory", 0), (6, 7), (6, 7)),
        (("model", "memory", 0, "lifetime"), (6, 29), (6, 19)),
        (("seeds", 1), (8, 12), (8, 12)),
    ],
)
def test_values_and_keys_have_places(path: tuple[str | int, ...], value: tuple[int, int], key: tuple[int, int]) -> None:
    source = parse(SPEC, "x.yaml")
    assert source.place(path) == Place("x.yaml", *value)
    assert source.place(path, key=True) == Place("x.yaml", *key)


def test_a_path_that_does_not_exist_has_the_place_of_its_nearest_ancestor() -> None:
    source = parse(SPEC, "x.yaml")
    assert source.place(("model", "core", "levels", "H")) == source.place(("model",))
    assert source.place(("model", "core"), key=True) == source.place(("model",), key=True)
    assert source.place(("seeds", 2)) == source.place(("seeds",))
    assert source.place(("seeds", "x")) == source.place(("seeds",))


def test_a_value_that_is_left_out_stands_at_its_key() -> None:
    source = parse("a:\nb: 1\n", "x.yaml")
    assert source.place(("a",)) == Place("x.yaml", 1, 1)


def test_lines_end_as_yaml_ends_them() -> None:
    source = parse("a: 1\r\nb: 2\rc: '\u2028' # \x85\nd: 4", "x.yaml")
    assert [source.place((name,)).line for name in "abcd"] == [1, 2, 3, 4]


def test_an_excerpt_is_the_line_and_a_caret() -> None:
    source = parse(SPEC, "x.yaml")
    assert source.excerpt(source.place(("model", "dim"))) == excerpt(4, "  dim: 64", 8)


def test_the_caret_stands_below_its_letter_after_tabs_and_wide_letters() -> None:
    source = parse("{\ta: 模型, b: 1}", "x.yaml")
    assert source.excerpt(source.place(("b",))) == "    1 | {\ta: 模型, b: 1}\n      |  \t            ^"


def test_a_long_line_is_cut_around_the_caret() -> None:
    source = parse(f"[{'x' * 300}, 7, {'y' * 300}]", "x.yaml")
    line, caret = source.excerpt(source.place((1,))).splitlines()
    assert line == f"    1 | ...{'x' * 78}, 7, {'y' * 77}..."
    assert line[caret.index("^")] == "7"


def test_a_problem_names_the_field_as_an_override_does() -> None:
    source = parse(SPEC, "x.yaml")
    problem = source.problem(("model", "memory", 0, "at"), "is wrong")
    assert str(problem) == "x.yaml:6:12: model.memory[0].at: is wrong\n" + excerpt(
        6, "    - {at: input, lifetime: stream}", 12
    )
    assert source.problem(("params", "model.dim"), "is wrong").field == "params['model.dim']"


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dim: 1\nname: x\ndim: 2\n", "3:1: dim: this key is given twice, on lines 1 and 3"),
        ("m: {a: 1, a: 2}", "1:11: m.a: this key is given twice, on one line"),
        ("1: x", "1:1: a key must be text: write '1' in quotes"),
        ("a: {true: x}", "1:5: a: a key must be text: write 'true' in quotes"),
        ("? [a]\n: 1", "1:3: a key must be plain text"),
        ("<<: {a: 1}", "1:1: merge keys are not allowed: write the keys out"),
        ("a: !!str 1", "1:4: a: tags are not allowed: remove '!!str'"),
        (
            "a: !!python/object/apply:os.system [ls]",
            "1:4: a: tags are not allowed: remove '!!python/object/apply:os.system'",
        ),
        ("%YAML 1.1\n---\na: 1", "2:1: directives are not allowed: remove the line that starts with '%'"),
        ("a: 1\n---\nb: 1", "2:1: a second document: only one is allowed in a file"),
        ("a: *x", "1:4: a: unknown alias '*x'"),
        ("a: &x [*x]", "1:8: a[0]: alias '*x' stands inside its own anchor"),
        ("a: 1e999", "1:4: a: a number too large for 64-bit floating point"),
        ("a: " + "9" * 101, "1:4: a: a number of more than 100 characters"),
        ('a: "\\ud800"', "1:4: a: half a character: write it as it is, or as '\\U' and eight digits"),
        ("a:\n\t- 1", "2:1: a tab cannot indent YAML: use spaces"),
        ("a: [1,\nb", "1:4: this '[' is never closed"),
        ("a: {b: 1\nc: 2}", "2:2: expected ',' or '}', but got ':'; the '{' on line 1 is still open"),
        ("a: 'b\nc", "1:4: this quote is never closed"),
        ("a: b: c", "1:5: a ':' is not allowed here: indent the key like its neighbours, or put the text in quotes"),
        ("a: 'b' c", "1:8: expected a key or the end of this block, but found text"),
        ("a: @b", "1:4: found character '@' that cannot start any token"),
        ("a: b\0c", "1:5: binary data, not YAML text"),
        ("a: \x1b[31m", "1:4: the character U+001B is not allowed in YAML"),
        ("[" * 33, "1:33: nested deeper than 32 levels"),
        ("- " * 33, "1:65: nested deeper than 32 levels"),
    ],
)
def test_what_a_spec_may_not_hold_is_refused_where_it_stands(text: str, message: str) -> None:
    refused, _, shown = refusal(text).partition("\n")
    assert refused == f"x.yaml:{message}"
    assert shown.endswith("^")


def test_a_text_without_a_value_is_refused() -> None:
    for text in ("", "\n\n", "# only a comment\n"):
        assert refusal(text) == "x.yaml:1:1: empty: there is no value to read"


def test_thirty_two_levels_and_thirty_two_aliases_are_accepted() -> None:
    parse("[" * 32 + "]" * 32, "x.yaml")
    parse("a: &a 1\nb: [" + "*a, " * 32 + "]", "x.yaml")


def test_a_thirty_third_alias_is_refused() -> None:
    text = "a: &a 1\nb:\n" + "- *a\n" * 33
    assert refusal(text) == "x.yaml:35:3: b[32]: more than 32 aliases: write the values out\n" + excerpt(35, "- *a", 3)


def test_a_billion_laughs_are_refused() -> None:
    lines = ["a0: &a0 [ha, ha, ha]", *(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}, *a{i}]" for i in range(10))]
    refused = refusal("\n".join(lines)).splitlines()[0]
    assert refused == "x.yaml:7:20: aliases repeat more than 4096 values: write them out"


def test_an_alias_counts_for_the_depth_as_if_written_out() -> None:
    text = f"a: &a {'[' * 20}{']' * 20}\nb: {'[' * 20}*a{']' * 20}"
    assert refusal(text).splitlines()[0] == "x.yaml:2:24: nested deeper than 32 levels"


def test_a_text_over_the_size_limit_is_refused() -> None:
    assert refusal("a" * (LARGEST_TEXT + 1)).splitlines()[0] == "x.yaml:1:1: larger than 256 KiB"


# --- files ----------------------------------------------------------------------------------------------------------


def test_a_file_is_read_as_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes("name: größe\n".encode())
    source = read(file)
    assert (source.file, source.text, source.tree) == (str(file), "name: größe\n", {"name": "größe"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "1:1: empty: there is no value to read"),
        (b"a: 1\nb: gr\xfc\xdfe\n", "2:6: not UTF-8 text: the byte 0xfc stands here"),
        (b"\x80\x02\0\0", "1:1: binary data, not YAML text"),
        (b"a" * (LARGEST_TEXT + 1), "1:1: larger than 256 KiB"),
    ],
)
def test_a_file_that_is_no_yaml_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        read(file)
    assert str(caught.value) == f"{file}:{message}"


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    for path, message in [
        (tmp_path / "absent.yaml", "no such file"),
        (tmp_path, "a directory, not a file"),
        (tmp_path / "a\0b", "cannot be read: embedded null byte"),
        (tmp_path / ("n" * 300), "cannot be read: File name too long"),
    ]:
        with pytest.raises(SpecError) as caught:
            read(path)
        assert str(caught.value) == f"{os.fspath(path)}:1:1: {message}"
