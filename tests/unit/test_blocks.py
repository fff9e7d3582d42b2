"""What a spec's blocks cost, refuse and share."""

import math

import pytest

import hrmsearch as hs
from hrmsearch.errors import SpecError
from hrmsearch.ir import Graph

PUBLISHED = {
    "transformer": 78_080,
    "slstm": 146_624,
    "mlstm": 148_128,
    "xlstm_hrm": 146_832,
    "preserve_gate": 146_889,
    "s4d": 153_280,
    "hl_kernel": 149_952,
    "hl_kernel_gated": 149_696,
    "deepsup_transformer": 82_176,
    "hrm": 152_064,
    "hrm_simultaneous": 152_064,
    "hrm_memory": 193_024,
    "infini_hrm_as_published": 168_452,
    "infini_hrm": 160_132,
}


def trained(graph: Graph) -> int:
    return sum(math.prod(op.result.type.shape({})) for op in graph.params.values() if op.attrs["trainable"])


@pytest.mark.parametrize(("name", "count"), PUBLISHED.items())
def test_shipped_specs_have_the_published_number_of_parameters(name: str, count: int) -> None:
    assert trained(hs.lower(hs.load(name))) == count


def test_heads_that_do_not_divide_the_width_are_an_error_at_their_line() -> None:
    with pytest.raises(SpecError) as error:
        hs.lower(hs.load("hrm", ["model.core.levels.H.block.mixer.heads=5"]))
    (problem,) = error.value.problems
    assert problem.field == "model.core.levels.H.block.mixer.heads"
    assert problem.message == "5 heads do not divide the width 64; 1, 2, 4, 8, 16 do"
    assert str(problem.place) == "--set model.core.levels.H.block.mixer.heads=5:1:39"


@pytest.mark.parametrize(
    ("override", "field", "message"),
    [
        ("memory[0].at=core.Q", "model.memory[0].at", "no such place 'core.Q'"),
        ("head.read=Q", "model.head.read", "there is nothing called 'Q' to read"),
        ("core.levels.H.period=0", "model.core.levels.H.period", "expected at least 1"),
        ("core.inject=[L,Q]", "model.core.inject[1]", "unknown level 'Q'"),
        ("nest.backprop={passes: 3}", "nest.backprop.passes", "2 passes do not divide into spans of 3"),
        ("core.gradient={last_ticks: 9}", "model.core.gradient.last_ticks", "a pass has 2 ticks"),
        ("init={uniform: [1, 0]}", "model.init.uniform", "the first end must be less than the second"),
        ("init={normal: null}", "model.init", "give exactly one of normal, trunc_normal, uniform, constant"),
        ("init={normal: .inf}", "model.init.normal", "expected a finite number"),
        ("nest.backprop={passes: null}", "nest.backprop", "give exactly one of passes, windows"),
        (
            "core.levels.a-b={block: {kind: transformer, mixer: {kind: attention}}}",
            "model.core.levels.a-b",
            "text that",
        ),
        ("name=..", "name", "expected text that matches"),
        ("seeds=[1,1]", "seeds", "a seed occurs twice"),
        ("memory[0].gate=token", "model.memory[0].residual", "a token gate already lets the stream pass"),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(override: str, field: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        hs.lower(hs.load("infini_hrm", [override]))
    (problem,) = error.value.problems
    assert problem.field == field
    assert message in problem.message


def test_periods_must_divide_each_other() -> None:
    with pytest.raises(SpecError, match="the period of H, 2, does not divide that of M"):
        hs.load("hrm", ["model.core.levels.M={period: 3, block: {kind: transformer, mixer: {kind: attention}}}"])


def test_a_tied_head_shares_the_embedding_table() -> None:
    graph = hs.lower(hs.load("transformer", ["head.tied=true"]))
    assert trained(graph) == PUBLISHED["transformer"] - 97 * 64
    assert graph.params["embed.table"].attrs["init"] == {"normal": 0.02}


def test_shared_levels_use_one_set_of_blocks() -> None:
    separate, shared = (hs.lower(hs.load("hrm", [f"core.share={flag}"])) for flag in ("false", "true"))
    assert trained(separate) - trained(shared) == 65_664


def test_fixed_random_starts_are_parameters_that_never_train() -> None:
    graph = hs.lower(hs.load("hrm", ["core.state.start={kind: fixed, per: width, init: {trunc_normal: 1.0}}"]))
    fixed = [path for path, op in graph.params.items() if not op.attrs["trainable"]]
    assert fixed == ["start.L", "start.H"]


def test_the_width_rule_rounds_up_to_a_multiple() -> None:
    graph = hs.lower(hs.load("transformer", ["dim=512", "defaults.ffn={kind: swiglu, width: {expansion: 4}}"]))
    assert graph.params["core.levels.L.0.ffn.w_up"].result.type.width("F") == 1536


def test_pre_norm_normalises_inside_the_residual() -> None:
    graph = hs.lower(hs.load("transformer", ["defaults.norm={kind: rms, place: pre}", "head.norm={}"]))
    assert trained(graph) == PUBLISHED["transformer"] + 64
    assert [op.kind for op in graph.functions["Transformer"].body.ops] == ["call", "call", "add", "call", "call", "add"]


@pytest.mark.parametrize(
    ("override", "field", "message"),
    [
        ("inject=[L,L]", "inject", "a level occurs twice"),
        ("inject=[]", "inject", "at least 1"),
        ("timescale=[8,2]", "timescale", "the first must be at most the second"),
        ("period=0", "period", "expected at least 1"),
        ("form=fft", "form", "a gated kernel differs from token to token, so it has no fft form; say auto"),
    ],
)
def test_a_kernel_refuses_what_it_cannot_be(override: str, field: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        hs.load("hl_kernel_gated", [f"model.core.blocks[0].mixer.{override}"])
    (problem,) = error.value.problems
    assert problem.field == f"model.core.blocks[0].mixer.{field}"
    assert message in problem.message
