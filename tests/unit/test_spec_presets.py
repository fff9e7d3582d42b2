"""Presets: named settings of any kind, in short and in long form, with errors that say which there are."""

from textwrap import dedent
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from hrmsearch.errors import SpecError
from hrmsearch.spec.registry import Choice, Kind, Part
from hrmsearch.spec.source import parse
from hrmsearch.spec.validate import validate


class Engine(Kind, family="test engine"):
    """A family in which one kind publishes presets."""


class Steam(Engine):
    """A kind with presets, of which one fills a required field."""

    kind: Literal["steam"] = "steam"
    boilers: int = Field(ge=1)
    coal: tuple[int, ...] = (1, 2)
    presets: ClassVar = {"small": {"boilers": 1}, "large-2.0": {"boilers": 8, "coal": [5]}}


class Diesel(Engine):
    """A kind without presets."""

    kind: Literal["diesel"] = "diesel"
    cylinders: int = 4


class Train(Part):
    """What holds an engine."""

    engine: Annotated[Engine, Choice("test engine")]
    spare: Annotated[Any, Choice("test engine", "diesel")] = None


def read(text: str, *overrides: str) -> Train:
    source = parse(dedent(text), "x.yaml")
    for override in overrides:
        source = source.with_override(override)
    return validate(Train, source)


def problem(text: str, *overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        read(text, *overrides)
    return str(caught.value).partition("\n")[0]


@pytest.mark.parametrize(
    "text",
    [
        "engine: steam/large-2.0",
        "engine: {kind: steam, preset: large-2.0}",
        "engine: {preset: large-2.0, kind: steam}",
        "engine: {kind: steam, boilers: 8, coal: [5]}",
    ],
)
def test_a_preset_is_the_fields_it_names(text: str) -> None:
    train = read(text)
    assert train == Train(engine=Steam(boilers=8, coal=(5,)))
    assert "preset" not in train.model_dump()["engine"]


def test_fields_beside_a_preset_replace_its_own() -> None:
    assert read("engine: {kind: steam, preset: large-2.0, boilers: 2}").engine == Steam(boilers=2, coal=(5,))


def test_overrides_reach_into_a_short_form() -> None:
    assert read("engine: {kind: diesel}", "engine=steam/small", "engine.coal=[9]").engine == Steam(boilers=1, coal=(9,))


def test_an_unknown_preset_is_answered_with_the_nearest_and_all() -> None:
    known = "the presets are small, large-2.0"
    assert problem("engine: steam/smal") == (
        f"x.yaml:1:9: engine: unknown preset 'smal' of steam; did you mean 'small'? {known}"
    )
    assert problem("engine:\n  kind: steam\n  preset: huge") == (
        f"x.yaml:3:11: engine.preset: unknown preset 'huge' of steam; {known}"
    )
    assert problem("engine: {kind: steam, preset: [small]}") == (
        "x.yaml:1:31: engine.preset: expected a preset of steam (small, large-2.0), got a list of 1 item"
    )
    assert problem("engine: diesel/small") == "x.yaml:1:9: engine: diesel has no presets"


def test_an_unknown_kind_in_short_form_is_answered_like_any_other() -> None:
    assert (
        problem("engine: steem/small") == "x.yaml:1:9: engine: unknown test engine kind 'steem'; did you mean 'steam'?"
    )


def test_text_without_a_slash_is_no_short_form() -> None:
    assert "did you mean {kind: steam}?" in problem("engine: steam")


def test_a_misspelt_preset_key_is_corrected() -> None:
    text = "engine: {kind: steam, boilers: 1, prest: small}"
    assert problem(text) == "x.yaml:1:35: engine.prest: unknown key; did you mean 'preset'?"


def test_errors_beside_a_preset_keep_their_place() -> None:
    text = "engine: {kind: steam, preset: small, boilers: 0}"
    assert problem(text) == "x.yaml:1:47: engine.boilers: expected at least 1, got 0"
    assert problem("engine: steam/small", "engine.boilers=0") == (
        "--set engine.boilers=0:1:16: engine.boilers: expected at least 1, got 0"
    )


def test_the_schema_offers_presets_in_both_forms() -> None:
    jsonschema: Any = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(Train.model_json_schema())
    fitting = ["steam/small", {"kind": "steam", "preset": "small"}, {"kind": "steam", "boilers": 3}]
    wrong = ["steam/smal", "diesel/small", {"kind": "steam"}, {"kind": "steam", "preset": "smal"}]
    assert [list(validator.iter_errors({"engine": engine})) for engine in fitting] == [[], [], []]
    assert all(list(validator.iter_errors({"engine": engine})) for engine in wrong)
