"""Whatever the text: what is read is what was meant, places are true, and only SpecError is raised."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from hrmsearch.errors import SpecError
from hrmsearch.spec.node import Data, spell
from hrmsearch.spec.registry import Part
from hrmsearch.spec.source import Source, parse, read
from hrmsearch.spec.validate import validate

# JSON leaves these as they are; YAML does not allow them raw.
UNPRINTABLE = "".join(map(chr, [0x7F, *range(0x80, 0xA0), 0xFEFF, 0xFFFE, 0xFFFF]))
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters=UNPRINTABLE, max_codepoint=0x1FFFF)
TEXTS = st.text(LETTERS, max_size=20) | st.sampled_from(
    ["1e-3", "no", "null", "~", "0o7", "a: b", "# c", "<<", "- a", ""]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)


def trees(leaves: st.SearchStrategy[Any], names: st.SearchStrategy[str]) -> st.SearchStrategy[Data]:
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=12
    )


def flow(data: Data) -> str:
    return json.dumps(data, ensure_ascii=False)


def indented(data: Data) -> str:
    return json.dumps(data, indent=2)


def block(data: Data) -> str:
    out = StringIO()
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(data, out)
    return out.getvalue()


def paths(data: Data, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Data]]:
    yield path, data
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for step, child in children:
        yield from paths(child, (*path, step))


def letters_at(source: Source, path: tuple[str | int, ...], *, key: bool = False) -> str:
    place = source.place(path, key=key)
    assert place.file == source.file
    return source.text.splitlines()[place.line - 1][place.column - 1 :]


@given(trees(SCALARS, TEXTS))
def test_any_tree_written_on_one_line_reads_back_equal(data: Data) -> None:
    assert parse(flow(data), "x.yaml").tree == data


@given(trees(SCALARS, NAMES))
def test_any_tree_written_as_blocks_reads_back_equal(data: Data) -> None:
    assert parse(block(data), "x.yaml").tree == data


@given(trees(st.integers(-999, 999), NAMES), st.sampled_from([flow, block, indented]))
def test_every_place_points_at_its_key_or_value(data: Data, write: Any) -> None:
    source = parse(write(data), "x.yaml")
    for path, value in paths(data):
        if isinstance(value, int):
            assert letters_at(source, path).startswith(str(value))
        if path and isinstance(path[-1], str):
            assert letters_at(source, path, key=True).strip('"').startswith(path[-1])
        assert source.excerpt(source.place(path)).endswith("^")


@given(trees(SCALARS, NAMES))
def test_overriding_a_path_with_its_own_value_changes_nothing(data: Data) -> None:
    source = parse(flow({"root": data}), "x.yaml")
    for path, value in paths({"root": data}):
        if path:
            assert source.with_override(f"{spell(path)}={flow(value)}").tree == source.tree


@given(trees(SCALARS, NAMES), trees(SCALARS, NAMES), st.data())
def test_an_override_changes_its_path_and_nothing_beside_it(data: Data, value: Data, draw: st.DataObject) -> None:
    source = parse(flow({"root": data}), "x.yaml")
    path, _ = draw.draw(st.sampled_from([found for found in paths({"root": data}) if found[0]]))
    changed = source.with_override(f"{spell(path)}={flow(value)}")
    assert changed.value(path) == value
    assert changed.place(path).file.startswith(f"--set {spell(path)}=")
    for other, kept in paths({"root": data}):
        if other[: len(path)] != path and path[: len(other)] != other:
            assert changed.value(other) == kept
            assert changed.place(other) == source.place(other)


# --- hostile text -----------------------------------------------------------------------------------------------------

PIECES = [
    *(
        "- ",
        "? ",
        ": ",
        ", ",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a",
        "!t ",
        "!!str ",
        "|",
        ">",
        "|2-",
        "'",
        '"',
        "%",
        "%YAML 1.1",
    ),
    *("@", "`", "# ", "\n", "\r\n", "\r", "\t", "  ", "---\n", "...\n", "<<: ", "~", "a", "key: ", "1e9", "0x", ".nan"),
    *("\\", "\\x", "\\ud800", "\0", "\ufeff", "\u2028", "\x85", "\ud800", "é", "=", "a.b", "[0]", "name: ", "sizes: "),
]
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=25).map("".join) | st.text(max_size=50)


class Small(Part):
    """A model for whatever hostile text turns out to say."""

    name: str
    sizes: tuple[int, ...] | dict[str, float] = ()
    key: "Small | int | None" = None


def check(error: SpecError) -> None:
    assert error.problems
    for problem in error.problems:
        assert problem.message
        assert problem.place.line >= 1
        assert problem.place.column >= 1
        str(problem).encode()


@given(HOSTILE)
def test_hostile_text_raises_nothing_but_spec_error(text: str) -> None:
    try:
        validate(Small, parse(text, "x.yaml"))
    except SpecError as error:
        check(error)


@given(st.sampled_from(["", "name=", "sizes[0]=", "key.key.name=", "key="]), HOSTILE)
def test_a_hostile_override_raises_nothing_but_spec_error(start: str, text: str) -> None:
    source = parse("name: a\nsizes: [1]\nkey: {name: b}\n", "x.yaml")
    try:
        validate(Small, source.with_override(start + text))
    except SpecError as error:
        check(error)


@given(trees(SCALARS, st.sampled_from(["name", "sizes", "key", "nme", "other"])))
def test_every_problem_of_any_tree_has_a_place_in_the_text(data: Data) -> None:
    source = parse(flow(data), "x.yaml")
    try:
        validate(Small, source)
    except SpecError as error:
        check(error)
        for problem in error.problems:
            assert problem.excerpt == source.excerpt(problem.place)


@given(content=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file: Path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    file.write_bytes(content)
    try:
        read(file)
    except SpecError as error:
        check(error)
