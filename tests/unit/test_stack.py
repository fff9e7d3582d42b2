"""The stack core: which block stands where, what its blocks share and carry, and what it refuses."""

import pytest

import hrmsearch as hs
from hrmsearch import passes
from hrmsearch.analyses import validate
from hrmsearch.blocks.block_list import Where
from hrmsearch.blocks.residual import Residual
from hrmsearch.blocks.stack import Stack
from hrmsearch.errors import SpecError
from hrmsearch.ir import Graph
from hrmsearch.spec.registry import alone
from tests.leaky import leaky

ATTENTION, LEAKY = "mixer: {kind: attention, heads: 2}", "mixer: {kind: leaky, lifetime: stream}"


def mixers(graph: Graph) -> str:
    """Return the mixers by layer: `a` for attention, `l` for leaky."""
    count = sum(path.startswith("core.blocks.") and path.endswith("mixer_norm.gain") for path in graph.params)
    kinds = ["l" if f"core.blocks.{i}.mixer.decay" in graph.params else "a" for i in range(count)]
    return "".join(kinds)


def stack(*blocks: str, more: str = "") -> str:
    return f"{{kind: stack, blocks: [{', '.join(f'{{kind: residual, {block}}}' for block in blocks)}]{more}}}"


@pytest.mark.parametrize(
    ("core", "order"),
    [
        (stack(ATTENTION, LEAKY), "al"),
        (stack(f"repeat: 2, {ATTENTION}", LEAKY), "aal"),
        (stack(f"repeat: 3, {ATTENTION}", LEAKY, more=", layers: 8"), "aaalaaal"),
        (stack(ATTENTION, f"positions: [1], {LEAKY}", more=", layers: 5"), "alaaa"),
        (stack(f"repeat: 2, {ATTENTION}", f"positions: [0, 3], {LEAKY}"), "laal"),
        (stack(f"positions: [0], {ATTENTION}", f"positions: [1], {LEAKY}"), "al"),
    ],
)
def test_blocks_stand_in_order_by_repeat_and_by_position(core: str, order: str) -> None:
    assert mixers(hs.lower(leaky(core))) == order


@pytest.mark.parametrize(
    ("core", "field", "message"),
    [
        (stack(ATTENTION, more=", layers: 0"), "layers", "expected at least 1, got 0"),
        (
            stack(ATTENTION, ATTENTION, more=", layers: 3"),
            "layers",
            "3 layers do not divide into a pattern of 2 blocks",
        ),
        (
            stack(ATTENTION, ATTENTION, f"positions: [0], {LEAKY}", more=", layers: 4"),
            "layers",
            "3 of 4 layers do not divide into a pattern of 2 blocks",
        ),
        (
            stack(f"positions: [0], {LEAKY}", more=", layers: 2"),
            "layers",
            "2 layers, but positions name 1 of them and no block fills the rest",
        ),
        (
            stack(ATTENTION, f"positions: [0, 4], {LEAKY}", more=", layers: 4"),
            "blocks[1].positions[1]",
            "there are 4 layers, so the last one is 3",
        ),
        (
            stack(ATTENTION, f"positions: [1], {LEAKY}", f"positions: [0, 1], {LEAKY}", more=", layers: 4"),
            "blocks[2].positions[1]",
            "layer 1 is taken by blocks[1] already",
        ),
        (
            stack(ATTENTION, f"repeat: 2, positions: [1], {LEAKY}"),
            "blocks[1].repeat",
            "a block with positions takes those layers only; drop one of the two",
        ),
        (stack(f"repeat: 1024, {ATTENTION}", ATTENTION), "blocks", "at most 1024 layers, not 1025"),
        (stack(f"repeat: 0, {ATTENTION}"), "blocks[0].repeat", "expected at least 1, got 0"),
        (stack(f"repaet: 2, {ATTENTION}"), "blocks[0].repaet", "unknown key; did you mean 'repeat'?"),
        (stack("mixr: {kind: attention}"), "blocks[0].mixr", "unknown key; did you mean 'mixer'?"),
        (stack("mixer: {kind: atention}"), "blocks[0].mixer.kind", "unknown mixer kind 'atention'; did you mean "),
        (stack("repeat: 2"), "blocks[0].mixer", "required, but missing"),
        ("{kind: stack, blocks: [3]}", "blocks[0]", "expected a mapping with a 'kind' ("),
        ("{kind: stack, blocks: []}", "blocks", "expected at least 1 item, got an empty list"),
        (
            stack(f"norm: {{place: post}}, {ATTENTION}"),
            "blocks[0].norm.place",
            "this block is pre-norm; `kind: transformer` may have its norm after the sum",
        ),
    ],
)
def test_a_stack_that_cannot_be_is_refused_where_it_stands(core: str, field: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        leaky(core)
    (problem,) = error.value.problems
    assert problem.field == f"model.core.{field}"
    assert message in problem.message


def test_what_only_building_shows_is_an_error_at_the_block_that_says_it() -> None:
    with pytest.raises(SpecError) as error:
        hs.lower(leaky(stack(ATTENTION, "repeat: 2, mixer: {kind: attention, heads: 3}")))
    (problem,) = error.value.problems
    assert problem.field == "model.core.blocks[1].mixer.heads"
    assert problem.message == "3 heads do not divide the width 4; 1, 2, 4 do"


def test_a_list_takes_blocks_that_were_made_in_python() -> None:
    block = Residual.model_validate({"mixer": {"kind": "attention", "heads": 2}})
    made = Stack.model_validate({"blocks": [block, {"kind": "residual", "repeat": 2, "mixer": {"kind": "leaky"}}]})
    assert made.sequence == (0, 1, 1)
    assert alone(made.blocks[0], Where) == block


def test_heads_read_the_last_layer_or_one_by_its_number() -> None:
    core = stack(f"repeat: 2, {LEAKY}", more=", norm: {}")
    last, first = (hs.lower(leaky(core, read=read)) for read in ("last", "'0'"))
    assert "core.norm.gain" in last.params
    assert [len(graph.functions["Stack"].body.results) for graph in (last, first)] == [3, 4]
    with pytest.raises(SpecError, match="there is nothing called '2' to read; there is 0, 1, last"):
        hs.lower(leaky(core, read="'2'"))


def test_layers_that_no_head_reads_are_reported_and_not_dropped() -> None:
    graph = hs.lower(leaky(stack(f"repeat: 2, {LEAKY}"), read="'0'"))
    assert passes.run(graph).params.keys() == graph.params.keys()
    (found,) = [one for one in validate(graph) if one.code == "HS102"]
    assert "core.blocks.1" in str(found)


def test_equal_blocks_share_a_function_and_no_weights() -> None:
    one, two = (hs.lower(leaky(stack(f"repeat: {n}, {ATTENTION}"))) for n in (1, 2))
    assert [name for name in two.functions if name.startswith("Residual")] == ["Residual"]
    assert len(two.params) - len(one.params) == len([path for path in one.params if path.startswith("core.")])


def test_a_residual_block_has_a_feed_forward_layer_where_one_is_given() -> None:
    without, with_ = (hs.lower(leaky(stack(f"{LEAKY}, ffn: {ffn}"))) for ffn in ("none", "{width: 5}"))
    gained = [path.removeprefix("core.blocks.0.") for path in with_.params.keys() - without.params.keys()]
    assert sorted(gained) == ["ffn.w_down", "ffn.w_gate", "ffn.w_up", "ffn_norm.gain"]


def test_a_residual_block_takes_the_default_norm_but_not_its_place() -> None:
    spec = leaky(stack(LEAKY), "defaults.norm={place: post, eps: 0.5}")
    assert spec.model.core.blocks[0].norm.place == "pre"
    assert spec.model.core.blocks[0].norm.eps == 0.5
    assert [op.kind for op in hs.lower(spec).functions["Residual"].body.ops] == ["call", "call", "add"]


def test_a_transformer_block_may_leave_out_its_feed_forward_layer() -> None:
    core = "{kind: stack, blocks: [{kind: transformer, ffn: none, mixer: {kind: attention, heads: 2}}]}"
    assert not any("ffn" in path for path in hs.lower(leaky(core)).params)


def test_states_are_called_by_their_layer_and_placed_at_their_mixer() -> None:
    inner = f"{{kind: stack, blocks: [{{kind: residual, {LEAKY}}}]}}"
    graph = hs.lower(leaky(f"{{kind: stack, blocks: [{{kind: residual, repeat: 2, {LEAKY}}}, {inner}]}}"))
    assert {path: op.place for path, op in graph.states.items()} == {
        "core.0.h": "model.core.blocks[0].mixer",
        "core.1.h": "model.core.blocks[0].mixer",
        "core.2.0.h": "model.core.blocks[1].blocks[0].mixer",
    }


def test_a_memory_may_stand_before_any_layer() -> None:
    memory = "memory=[{at: core.1, kind: infini, heads: 2, lifetime: stream, commit: last_pass}]"
    graph = hs.lower(leaky(stack(ATTENTION, LEAKY), memory))
    assert list(graph.states) == ["memory_0.M", "memory_0.z", "core.1.h"]
    with pytest.raises(SpecError, match=r"no such place 'core.2'; the places are input, output, core.0, core.1"):
        hs.lower(leaky(stack(ATTENTION, LEAKY), memory.replace("core.1", "core.2")))
