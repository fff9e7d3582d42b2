"""Every way in which data does not fit a model, in our words and at its place."""

from textwrap import dedent
from typing import Annotated, Any, Literal, Self

import pytest
from pydantic import Field, PositiveFloat, model_validator

from hrmsearch.errors import Place, SpecError
from hrmsearch.spec.fields import OrNone
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Choice, Kind, Part
from hrmsearch.spec.source import parse
from hrmsearch.spec.validate import validate


class Mixer(Kind, family="test mixer"):
    """A family with two kinds."""


class Attention(Mixer):
    """A kind with a required field."""

    kind: Literal["attention"] = "attention"
    heads: int = Field(ge=1)
    causal: bool = True


class Kernel(Mixer):
    """A kind without required fields."""

    kind: Literal["hl_kernel"] = "hl_kernel"
    period: int = 4


class Normal(Part):
    """A form of `init`."""

    normal: float


class TruncNormal(Part):
    """Another form of `init`."""

    trunc_normal: float


class Level(Part):
    """A part with one field of each form."""

    period: int = Field(default=1, ge=1)
    mixer: Annotated[Mixer, Choice("test mixer")] = Kernel()
    q_head: Annotated[Mixer, Choice("test mixer")] | Literal["none"] = "none"
    init: Normal | TruncNormal | Literal["zeros"] = "zeros"
    chunk: Annotated[int, Field(ge=1)] | Literal["none"] = "none"
    inject: tuple[str, ...] | Literal["all"] = "all"
    window: tuple[int, ...] = Field(default=(), min_length=0, max_length=2)
    pair: tuple[int, float] = (1, 1.0)
    scale: float | None = None
    clip: Annotated[PositiveFloat | None, OrNone()] = None
    norm: Annotated[Any, Choice("test mixer", "hl_kernel")] = None
    gate: Annotated[Annotated[Any, Choice("test mixer", "hl_kernel")] | None, OrNone()] = None
    name: str = Field(default="x", max_length=8, pattern="[a-z]+")
    lifetime: Literal["pass", "window", "stream"] = "pass"
    by_level: dict[Literal["L", "H"], int] = Field(default_factory=dict[Literal["L", "H"], int])
    rate: float = Field(default=0.5, gt=0, lt=1, allow_inf_nan=False)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.period == 3:
            raise FieldProblem("3 does not divide the next period", "period")
        if self.period == 5:
            raise FieldProblem("5 needs a mixer with heads", "mixer", "period", key=True)
        if self.period == 7:
            raise ValueError("seven is no period")
        return self


class Model(Part):
    """A part in which levels have names of the user's choice."""

    dim: int
    levels: dict[str, Level] = Field(default_factory=dict[str, Level])
    memory: tuple[Annotated[Mixer, Choice("test mixer")], ...] = ()


class Whole(Part):
    """A small spec."""

    name: str = "tiny"
    model: Model
    seeds: tuple[int, ...] = (0,)


def problems(text: str) -> list[str]:
    source = parse(dedent(text), "x.yaml")
    with pytest.raises(SpecError) as caught:
        validate(Whole, source)
    return [str(problem).partition("\n")[0] for problem in caught.value.problems]


def level_problems(level: str) -> list[str]:
    """Return the problems of a level that stands alone in line 4 from column 1, without their common beginning."""
    found = problems(f"model:\n  dim: 64\n  levels: {{L:\n {level}}}\n")
    for problem in found:
        assert problem.startswith("x.yaml:")
    return [problem.removeprefix("x.yaml:").replace("model.levels.L", "L") for problem in found]


# --- what is accepted -----------------------------------------------------------------------------------------------


def test_a_valid_source_becomes_the_model() -> None:
    text = """
        model:
          dim: 64
          levels:
            L: {period: 2, mixer: {kind: attention, heads: 4}, init: {normal: 1}, chunk: 8, inject: [a], pair: [1, 2]}
          memory: [{kind: hl_kernel}]
    """
    level = Level(period=2, mixer=Attention(heads=4), init=Normal(normal=1.0), chunk=8, inject=("a",), pair=(1, 2.0))
    assert validate(Whole, parse(dedent(text), "x.yaml")) == Whole(
        model=Model(dim=64, levels={"L": level}, memory=(Kernel(),))
    )


# --- keys -----------------------------------------------------------------------------------------------------------


def test_the_whole_error_reads_like_a_compilers() -> None:
    source = parse("model:\n  dim: 64\n  levels:\n    H: {perod: 2}\n", "specs/x.yaml")
    with pytest.raises(SpecError) as caught:
        validate(Whole, source)
    assert str(caught.value) == dedent("""\
        specs/x.yaml:4:9: model.levels.H.perod: unknown key; did you mean 'period'?
            4 |     H: {perod: 2}
              |         ^""")
    assert caught.value.problems[0].place == Place("specs/x.yaml", 4, 9)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("modle: {dim: 1}", ["x.yaml:1:1: modle: unknown key; did you mean 'model'?"]),
        ("model: {DIM: 1}", ["x.yaml:1:9: model.DIM: unknown key; did you mean 'dim'?"]),
        ("model: {dim: 1, dimm: 1}", ["x.yaml:1:17: model.dimm: unknown key; did you mean 'dim'?"]),
        ("model: {dim: 1, q: 1}", ["x.yaml:1:17: model.q: unknown key; known keys: dim, levels, memory"]),
        ("model: {levels: {}}", ["x.yaml:1:1: model.dim: required, but missing"]),
        ("{}", ["x.yaml:1:1: model: required, but missing"]),
        ("model:", ["x.yaml:1:1: model: expected a mapping, got null"]),
        ("- a", ["x.yaml:1:1: expected a mapping, got a list of 1 item"]),
    ],
)
def test_keys_that_are_unknown_or_missing(text: str, found: list[str]) -> None:
    assert problems(text) == found


def test_a_required_key_missing_from_a_list_item_is_reported_where_the_item_starts() -> None:
    text = "model:\n  dim: 1\n  memory:\n    - {kind: hl_kernel}\n    - {kind: attention}\n"
    assert problems(text) == ["x.yaml:5:7: model.memory[1].heads: required, but missing"]


# --- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "problem"),
    [
        ("{period: '64'}", "4:11: L.period: expected an integer, got the text '64'"),
        ("{period: 2.0}", "4:11: L.period: expected an integer, got 2.0"),
        ("{period: true}", "4:11: L.period: expected an integer, got true"),
        ("{period: null}", "4:3: L.period: expected an integer, got null"),
        ("{period: []}", "4:11: L.period: expected an integer, got an empty list"),
        ("{period: 0}", "4:11: L.period: expected at least 1, got 0"),
        ("{rate: 0}", "4:9: L.rate: expected more than 0.0, got 0"),
        ("{rate: 1.5}", "4:9: L.rate: expected less than 1.0, got 1.5"),
        ("{rate: .nan}", "4:9: L.rate: expected a finite number, got .nan"),
        ("{rate: .inf}", "4:9: L.rate: expected a finite number, got .inf"),
        ("{scale: x}", "4:10: L.scale: expected a number, got the text 'x'"),
        ("{name: 3}", "4:9: L.name: expected text, got 3"),
        ("{name: abcdefghi}", "4:9: L.name: expected at most 8 characters, got the text 'abcdefghi'"),
        ("{name: ''}", "4:9: L.name: expected text that matches [a-z]+, got an empty text"),
        ("{window: 3}", "4:11: L.window: expected a list, got 3"),
        ("{window: [1, 2, 3]}", "4:11: L.window: expected at most 2 items, got a list of 3 items"),
        ("{window: [1, a]}", "4:15: L.window[1]: expected an integer, got the text 'a'"),
        ("{pair: [1]}", "4:3: L.pair[1]: required, but missing"),
        ("{by_level: {M: 1}}", "4:14: L.by_level.M: expected 'L' or 'H', got the text 'M'"),
        ("{by_level: []}", "4:13: L.by_level: expected a mapping, got an empty list"),
        (
            "{lifetime: windw}",
            "4:13: L.lifetime: expected 'pass', 'window' or 'stream', got the text 'windw'; did you mean 'window'?",
        ),
        ("{lifetime: 1}", "4:13: L.lifetime: expected 'pass', 'window' or 'stream', got 1"),
    ],
)
def test_values_that_do_not_fit(level: str, problem: str) -> None:
    assert level_problems(level) == [problem]


def test_a_long_text_is_shown_in_part() -> None:
    assert level_problems("{name: " + "é" * 100 + "}") == [
        f"4:9: L.name: expected at most 8 characters, got the text '{'é' * 60}...'"
    ]


# --- kinds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "problem"),
    [
        (
            "{mixer: {kind: attenton}}",
            "4:17: L.mixer.kind: unknown test mixer kind 'attenton'; did you mean 'attention'?",
        ),
        ("{mixer: {kind: qq}}", "4:17: L.mixer.kind: unknown test mixer kind 'qq'; known kinds: attention, hl_kernel"),
        ("{mixer: {kind: 3}}", "4:17: L.mixer.kind: expected a kind of test mixer (attention, hl_kernel), got 3"),
        ("{mixer: {heads: 3}}", "4:3: L.mixer: 'kind' is missing; one of: attention, hl_kernel"),
        ("{mixer: {knd: attention}}", "4:11: L.mixer.knd: unknown key; did you mean 'kind'?"),
        ("{mixer: 3}", "4:10: L.mixer: expected a mapping with a 'kind' (attention, hl_kernel), got 3"),
        (
            "{mixer: attention}",
            "4:10: L.mixer: expected a mapping with a 'kind' (attention, hl_kernel), got the text 'attention'; "
            "did you mean {kind: attention}?",
        ),
        ("{mixer: {kind: hl_kernel, perod: 1}}", "4:28: L.mixer.perod: unknown key; did you mean 'period'?"),
        ("{mixer: {kind: attention, heds: 1}}", "4:28: L.mixer.heds: unknown key; did you mean 'heads'?"),
        ("{norm: {perod: 1}}", "4:10: L.norm.perod: unknown key; did you mean 'period'?"),
        ("{norm: {kind: attention}}", "4:3: L.norm.heads: required, but missing"),
        ("{norm: {knd: attention}}", "4:10: L.norm.knd: unknown key; did you mean 'kind'?"),
        ("{gate: {perod: 1}}", "4:10: L.gate.perod: unknown key; did you mean 'period'?"),
        ("{gate: 3}", "4:9: L.gate: expected a mapping with a 'kind' (attention, hl_kernel) or 'none', got 3"),
        ("{mixer: {kind: attention, heads: 0}}", "4:35: L.mixer.heads: expected at least 1, got 0"),
    ],
)
def test_parts_that_are_chosen_by_kind(level: str, problem: str) -> None:
    assert level_problems(level) == [problem]


# --- alternatives ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "problem"),
    [
        ("{chunk: 0}", "4:10: L.chunk: expected at least 1 or 'none', got 0"),
        ("{clip: 0}", "4:9: L.clip: expected more than 0.0 or 'none', got 0"),
        ("{clip: off}", "4:9: L.clip: expected a number or 'none', got the text 'off'"),
        ("{clip: None}", "4:9: L.clip: expected a number or 'none', got the text 'None'; did you mean 'none'?"),
        ("{chunk: {}}", "4:10: L.chunk: expected an integer or 'none', got an empty mapping"),
        ("{chunk: non}", "4:10: L.chunk: expected an integer or 'none', got the text 'non'; did you mean 'none'?"),
        ("{inject: 3}", "4:11: L.inject: expected a list or 'all', got 3"),
        ("{inject: [a, 3]}", "4:15: L.inject[1]: expected text, got 3"),
        ("{init: 3}", "4:9: L.init: expected a mapping or 'zeros', got 3"),
        ("{init: {normal: x}}", "4:18: L.init.normal: expected a number, got the text 'x'"),
        ("{init: {norml: 1}}", "4:10: L.init.norml: unknown key; did you mean 'normal'?"),
        ("{init: {gain: 1}}", "4:10: L.init.gain: unknown key; known keys: normal, trunc_normal"),
        ("{init: {}}", "4:9: L.init: expected {normal: ...} or {trunc_normal: ...}, got an empty mapping"),
        (
            "{init: {normal: 1, trunc_normal: 1}}",
            "4:9: L.init: expected {normal: ...} or {trunc_normal: ...}, got the keys normal, trunc_normal",
        ),
        ("{q_head: {kind: attention}}", "4:3: L.q_head.heads: required, but missing"),
        ("{q_head: {kind: attention, heds: 1}}", "4:29: L.q_head.heds: unknown key; did you mean 'heads'?"),
        (
            "{q_head: {kind: kernel}}",
            "4:18: L.q_head.kind: unknown test mixer kind 'kernel'; did you mean 'hl_kernel'?",
        ),
        ("{q_head: 3}", "4:11: L.q_head: expected a mapping with a 'kind' (attention, hl_kernel) or 'none', got 3"),
    ],
)
def test_alternatives_give_one_problem(level: str, problem: str) -> None:
    assert level_problems(level) == [problem]


# --- validators -----------------------------------------------------------------------------------------------------


def test_a_validator_points_at_the_field_it_names() -> None:
    assert level_problems("{chunk: 1, period: 3}") == ["4:21: L.period: 3 does not divide the next period"]


def test_a_validator_points_at_a_key_below_the_model_or_as_near_as_the_text_goes() -> None:
    assert level_problems("{period: 5, mixer: {kind: hl_kernel, period: 1}}") == [
        "4:39: L.mixer.period: 5 needs a mixer with heads"
    ]
    assert level_problems("{period: 5}") == ["3:12: L.mixer.period: 5 needs a mixer with heads"]


def test_a_validator_that_names_no_field_points_at_its_model() -> None:
    assert level_problems("{period: 7}") == ["4:2: L: seven is no period"]


# --- several problems ----------------------------------------------------------------------------------------------


def test_all_problems_come_in_document_order() -> None:
    text = """\
        seeds: [a]
        model:
          levels:
            H: {chunk: x}
            L: {perod: 1}
          dim: x
    """
    assert problems(text) == [
        "x.yaml:1:9: seeds[0]: expected an integer, got the text 'a'",
        "x.yaml:4:16: model.levels.H.chunk: expected an integer or 'none', got the text 'x'",
        "x.yaml:5:9: model.levels.L.perod: unknown key; did you mean 'period'?",
        "x.yaml:6:8: model.dim: expected an integer, got the text 'x'",
    ]


def test_a_flood_of_problems_is_cut() -> None:
    found = problems(f"model: {{dim: 1}}\nseeds: [{'a, ' * 1000}]")
    assert len(found) == 51
    assert found[-1] == "x.yaml:2:159: and 950 more problems"
