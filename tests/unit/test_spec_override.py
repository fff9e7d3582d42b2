"""Overriding values: where they go, what they may not be, and how later errors name them."""

from textwrap import dedent
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from hrmsearch.errors import Place, SpecError
from hrmsearch.spec.registry import Choice, Kind, Part
from hrmsearch.spec.source import Source, parse
from hrmsearch.spec.validate import implied, validate

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


def override_refusal(*assignments: str) -> str:
    with pytest.raises(SpecError) as caught:
        overridden(*assignments)
    return str(caught.value)


def overridden(*assignments: str) -> Source:
    source = parse(SPEC, "x.yaml")
    for assignment in assignments:
        source = source.with_override(assignment)
    return source


def excerpt(line: int, text: str, column: int) -> str:
    return f"{line:5} | {text}\n      | {' ' * (column - 1)}^"


# --- the tree -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("model.dim=96", ("model", "dim"), 96),
        ("model.lr=3e-3", ("model", "lr"), 3e-3),
        ("seeds=[0]", ("seeds",), [0]),
        ("seeds[1]=7", ("seeds",), [0, 7]),
        ("seeds[2]=7", ("seeds",), [0, 1, 7]),
        ("model.memory[0].lifetime=pass", ("model", "memory"), [{"at": "input", "lifetime": "pass"}]),
        ("model.memory[1].at=output", ("model", "memory", 1), {"at": "output"}),
        ("model.memory[0]={kind: x}", ("model", "memory"), [{"kind": "x"}]),
        (
            "model.core.levels.M={period: 4, layers: 1}",
            ("model", "core"),
            {"levels": {"M": {"period": 4, "layers": 1}}},
        ),
        ("model.blocks[0].kind=x", ("model", "blocks"), [{"kind": "x"}]),
        ("name = 'a = b'", ("name",), "a = b"),
        ("model.q_head=none", ("model", "q_head"), "none"),
        ("model.q_head=null", ("model", "q_head"), None),
    ],
)
def test_an_override_sets_one_value(assignment: str, path: tuple[str | int, ...], value: object) -> None:
    assert overridden(assignment).value(path) == value


def test_an_override_leaves_the_source_it_came_from_alone() -> None:
    source = parse(SPEC, "x.yaml")
    changed = source.with_override("model.dim=96")
    assert source.value(("model", "dim")) == 64
    assert changed.text == SPEC
    assert changed.place(("model", "memory")) == source.place(("model", "memory"))


def test_an_override_of_one_alias_leaves_the_others() -> None:
    source = parse("a: &x {n: 1}\nb: *x\n", "x.yaml").with_override("b.n=2")
    assert source.tree == {"a": {"n": 1}, "b": {"n": 2}}


def test_an_overridden_value_and_its_key_stand_in_the_override() -> None:
    source = overridden("model.core.levels.M={period: x}")
    file = "--set model.core.levels.M={period: x}"
    path = ("model", "core", "levels", "M", "period")
    assert source.place(path) == Place(file, 1, 30)
    assert source.place(path, key=True) == Place(file, 1, 22)
    assert source.place(path[:4], key=True) == Place(file, 1, 19)
    assert source.place(path[:2], key=True) == Place(file, 1, 7)
    assert source.place(path[:1], key=True) == Place("x.yaml", 3, 1)
    assert source.excerpt(source.place(path)) == excerpt(1, "model.core.levels.M={period: x}", 30)


def test_overrides_come_after_the_file_in_the_order_they_were_given() -> None:
    source = overridden("seeds=[3]", "model.dim=x", "name=y")
    paths: list[tuple[str, ...]] = [("name",), ("model", "dim"), ("seeds",), ("model", "q_head")]
    paths.sort(key=lambda path: source.order(source.place(path)))
    assert paths == [("model", "q_head"), ("seeds",), ("model", "dim"), ("name",)]


def test_a_later_override_wins() -> None:
    assert overridden("model.dim=1", "model.dim=2").value(("model", "dim")) == 2


def test_a_resolver_completes_the_path() -> None:
    source = parse(SPEC, "x.yaml").with_override("dim=x", lambda path: ("model", *path))
    assert source.value(("model", "dim")) == "x"
    assert source.place(("model", "dim")) == Place("--set dim=x", 1, 5)
    assert source.place(("model", "dim"), key=True) == Place("--set dim=x", 1, 1)


@pytest.mark.parametrize(
    ("assignment", "column", "message"),
    [
        (
            "model.dim.x=1",
            11,
            "model.dim.x: model.dim is one value, not a mapping: give all of it, as in model.dim=...",
        ),
        ("model.dim[0]=1", 10, "model.dim[0]: model.dim is one value, not a list: give all of it, as in model.dim=..."),
        ("seeds.x=1", 7, "seeds.x: seeds is a list: name one of its items, like seeds[0]"),
        ("model[0]=1", 6, "model[0]: model is a mapping and has no [0]: name one of its keys"),
        ("seeds[3]=1", 6, "seeds[3]: seeds has 2 items: seeds[2] would append one"),
        ("model.memory[2]=1", 13, "model.memory[2]: model.memory has 1 item: model.memory[1] would append one"),
        ("new[1]=1", 4, "new[1]: new is empty: new[0] would append one"),
        ("model.dim=", 11, "model.dim: no value: write null if you mean nothing"),
        ("model.dim=#", 11, "model.dim: empty: there is no value to read"),
        ("model.dim=[1", 11, "this '[' is never closed"),
        ("model.dim=!!int 1", 11, "model.dim: tags are not allowed: remove '!!int'"),
        ("model.dim={a: 1, a: 2}", 18, "model.dim.a: this key is given twice, on one line"),
        ("model.dim=*x", 11, "model.dim: unknown alias '*x'"),
        (".".join("a" * 33) + "=1", 1, "nested deeper than 32 levels"),
        (".".join("a" * 32) + "=[]", 65, "nested deeper than 32 levels"),
    ],
)
def test_an_override_that_cannot_be_says_why(assignment: str, column: int, message: str) -> None:
    assert override_refusal(assignment).splitlines()[0] == f"--set {assignment}:1:{column}: {message}"


@pytest.mark.parametrize(
    ("assignment", "column"),
    [
        ("model.dim", 10),
        ("=1", 1),
        (".a=1", 1),
        ("a..b=1", 2),
        ("[0]=1", 1),
        ("a[x]=1", 2),
        ("a[-1]=1", 2),
        ("a b=1", 2),
    ],
)
def test_an_override_without_path_and_value_is_shown_how_to_write_one(assignment: str, column: int) -> None:
    message = "an override is written path=value, like model.dim=96 or memory[0].lifetime=pass"
    assert override_refusal(assignment) == f"--set {assignment}:1:{column}: {message}\n" + excerpt(
        1, assignment, column
    )


def test_an_override_is_one_line() -> None:
    refused = override_refusal("name=[a,\nb]")
    assert refused == "--set name=[a,\\nb]:1:9: an override is one line\n" + excerpt(1, "name=[a,", 9)


# --- validation -----------------------------------------------------------------------------------------------------


class Memory(Kind, family="override test memory"):
    """A family with two kinds."""


class Infini(Memory):
    """A kind with a required field."""

    kind: Literal["infini"] = "infini"
    heads: int


class Puzzle(Memory):
    """A kind without required fields."""

    kind: Literal["puzzle"] = "puzzle"
    width: int = 8


class Level(Part):
    """A part at a path with a free name."""

    period: int = Field(default=1, ge=1)


class Model(Part):
    """The part that overrides may leave out."""

    dim: int
    levels: dict[str, Level] = Field(default_factory=dict[str, Level])
    memory: tuple[Annotated[Any, Choice("override test memory")], ...] = ()


class Whole(Part):
    """A small spec."""

    name: str = "tiny"
    model: Model
    seeds: tuple[int, ...] = (0,)


def test_an_error_in_an_override_names_the_override() -> None:
    source = parse("model: {dim: 64}\nseeds: x\n", "x.yaml").with_override("dim=x", implied(Whole))
    with pytest.raises(SpecError) as caught:
        validate(Whole, source)
    assert str(caught.value) == dedent("""\
        x.yaml:2:8: seeds: expected a list, got the text 'x'
            2 | seeds: x
              |        ^
        --set dim=x:1:5: model.dim: expected an integer, got the text 'x'
            1 | dim=x
              |     ^""")


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("model.dim=x", "1:11: model.dim: expected an integer, got the text 'x'"),
        ("levels.L.period=0", "1:17: model.levels.L.period: expected at least 1, got 0"),
        ("levels.L.perod=1", "1:10: model.levels.L.perod: unknown key; did you mean 'period'?"),
        ("memory[0].kind=infini", "1:7: model.memory[0].heads: required, but missing"),
        (
            "model.memory[0]={kind: puzzle, heads: 1}",
            "1:32: model.memory[0].heads: unknown key; known keys: kind, width",
        ),
        ("name=true", "1:6: name: expected text, got true"),
        ("dimm=3", "1:1: model.dimm: unknown key; did you mean 'dim'?"),
        ("modle.dim=3", "1:1: modle: unknown key; did you mean 'model'?"),
        ("qqq=3", "1:1: qqq: unknown key; known keys: name, model, seeds"),
    ],
)
def test_overrides_go_through_the_same_validator(override: str, problem: str) -> None:
    source = parse("model: {dim: 64}", "x.yaml").with_override(override, implied(Whole))
    with pytest.raises(SpecError) as caught:
        validate(Whole, source)
    assert str(caught.value).splitlines()[0] == f"--set {override}:{problem}"
    assert len(caught.value.problems) == 1


def test_an_override_may_leave_out_model_where_no_key_of_the_whole_spec_has_that_name() -> None:
    source = parse("model: {dim: 64}", "x.yaml")
    for override in ("dim=96", "name=other", "seeds[0]=7", "model.memory[0]={kind: puzzle}", "memory[0].width=2"):
        source = source.with_override(override, implied(Whole))
    assert validate(Whole, source) == Whole(name="other", model=Model(dim=96, memory=(Puzzle(width=2),)), seeds=(7,))
