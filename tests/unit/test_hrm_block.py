"""The HRM as a block: it is the HRM core over the norm of its stream, wherever it stands, and says what it did."""

from collections.abc import Mapping

import numpy as np
import pytest

import hrmsearch as hs
from hrmsearch.analyses import validate
from hrmsearch.errors import SpecError
from hrmsearch.ir import text
from hrmsearch.runtime import Array, Executable, Options, Pass, load_backend
from hrmsearch.spec.load import resolved
from hrmsearch.spec.model import Spec
from tests.leaky import leaky

LEVELS = """levels: {
    L: {block: {kind: transformer, norm: {place: pre}, mixer: {kind: leaky, lifetime: stream}}},
    H: {period: 2, layers: 2, block: {kind: transformer, mixer: {kind: attention, heads: 2}}}}"""
# a norm by this gain and eps changes numbers of this size in the thirteenth place only
IDENTITY = "norm: {eps: 1.0e+14}"
GAIN = {"core.blocks.0.norm.gain": np.full(4, 1e7)}


def block(*fields: str, levels: str = LEVELS) -> str:
    return f"{{kind: hrm, {', '.join((*fields, levels))}}}"


def stack(*blocks: str) -> str:
    return f"{{kind: stack, blocks: [{', '.join(blocks)}]}}"


def compiled(spec: Spec, params: Mapping[str, Array] | None = None) -> Executable:
    executable = load_backend("torch").compile(hs.lower(spec), Options(dtype="float64"))
    executable.init(0)
    if params is not None:
        executable.set_params(params)
    return executable


def calls(passes: int) -> list[Pass]:
    """Return the passes over two windows of a stream."""
    rng, found = np.random.default_rng(0), list[Pass]()
    for window in range(2):
        tokens, targets = rng.integers(0, 5, (2, 2, 4), dtype=np.int32)
        for i in range(passes):
            inputs = {"tokens": tokens, "targets": targets}
            found.append(Pass(inputs, 1 if i else 2 if window else 3, last=i == passes - 1))
    return found


def moved(params: Mapping[str, Array]) -> dict[str, Array]:
    """Return a core's parameters where a block of a stack has them."""
    inside = ("core.", "start.")
    return {
        f"core.blocks.0.{p.removeprefix('core.')}" if p.startswith(inside) else p: array for p, array in params.items()
    } | GAIN


@pytest.mark.parametrize(
    ("order", "gradient", "lifetime"),
    [
        ("sequential", "last_tick", "window"),
        ("sequential", "last_cycle", "pass"),
        ("simultaneous", "full", "stream"),
    ],
)
def test_over_an_identity_the_block_is_the_core(order: str, gradient: str, lifetime: str) -> None:
    start = "start: {kind: learned, per: position, init: {normal: 0.5}}"
    fields = (f"cycles: 2, order: {order}, gradient: {gradient}, state: {{lifetime: {lifetime}, {start}}}",)
    core = compiled(leaky(block(*fields), read="H", passes=2))
    inside = compiled(leaky(stack(block(*fields, "residual: false", IDENTITY)), passes=2), moved(core.params))
    (one, carried), (other, kept) = ((e, e.init_carry(2, 4)) for e in (core, inside))
    for call in calls(2):
        (wanted, carried), (got, kept) = one.forward(call, carried), other.forward(call, kept)
        np.testing.assert_allclose(got["logits"], wanted["logits"], rtol=1e-8, atol=1e-8)
    (_, wanted), (_, got) = (e.loss_and_grads(calls(2)[:2], e.init_carry(2, 4)) for e in (core, inside))
    assert got.keys() - GAIN.keys() == moved(wanted).keys() - GAIN.keys()
    for path, gradient_ in moved(wanted).items():
        if path not in GAIN:
            np.testing.assert_allclose(got[path], gradient_, rtol=1e-6, atol=1e-8, err_msg=path)


def test_its_states_are_called_by_layer_level_and_block() -> None:
    inner = "{kind: residual, mixer: {kind: leaky, lifetime: stream}}"
    graph = hs.lower(leaky(stack(inner, block("state: {lifetime: window}"))))
    assert {path: op.place for path, op in graph.states.items()} == {
        "core.0.h": "model.core.blocks[0].mixer",
        "core.1.z_L": "model.core.blocks[1]",
        "core.1.z_H": "model.core.blocks[1]",
        "core.1.L.0.h": "model.core.blocks[1].levels.L.block.mixer",
    }
    assert graph.states["core.1.z_L"].attrs["lifetime"] == "window"


def test_levels_begin_anew_at_every_call_unless_they_say_otherwise() -> None:
    assert list(hs.lower(leaky(stack(block("state: {commit: every_pass}")))).states) == ["core.0.L.0.h"]
    assert list(hs.lower(leaky(block(), read="H")).states) == ["core.z_L", "core.z_H", "core.L.0.h"]


def test_a_block_whose_map_is_zero_leaves_the_stream_as_it_is() -> None:
    first = "{kind: residual, mixer: {kind: leaky}}"
    without, with_ = (compiled(leaky(stack(*blocks))) for blocks in ([first], [first, block()]))
    with_.set_params(with_.params | without.params | {"core.blocks.1.w_out": np.zeros((4, 4))})
    (call, *_) = calls(1)
    plain, through = (e.forward(call, e.init_carry(2, 4))[0]["logits"] for e in (without, with_))
    np.testing.assert_allclose(through, plain, rtol=1e-12)


def test_it_may_stand_inside_a_level_and_hold_a_stack() -> None:
    held = "{kind: stack, norm: {}, blocks: [{kind: residual, repeat: 2, mixer: {kind: leaky, lifetime: stream}}]}"
    inner = block(levels=f"levels: {{L: {{block: {held}}}}}")
    graph = hs.lower(leaky(block(levels=f"levels: {{L: {{block: {inner}}}}}"), read="L"))
    assert list(graph.states) == ["core.z_L", "core.L.0.L.0.0.h", "core.L.0.L.0.1.h"]


# --- telemetry ------------------------------------------------------------------------------------------------------


def test_energy_is_the_mean_square_of_a_level_as_the_last_tick_left_it() -> None:
    spec = leaky(block("telemetry: [energy, ponder], cycles: 2"), read="H")
    executable = load_backend("reference").compile(hs.lower(spec, trace=True), Options(dtype="float64"))
    executable.init(0)
    outputs, _ = executable.forward(calls(1)[0], executable.init_carry(2, 4))
    for level in "LH":
        z = outputs[f"trace.4.{level}"]
        np.testing.assert_allclose(outputs[f"telemetry.core.energy_{level}"], (z**2).sum(-1).mean(-1), rtol=1e-12)
    np.testing.assert_array_equal(outputs["telemetry.core.ponder"], [4.0, 4.0])


def test_telemetry_is_named_by_where_it_is_from() -> None:
    nested = block("telemetry: [ponder]", levels=f"levels: {{L: {{block: {block('telemetry: [ponder]')}}}}}")
    graph = hs.lower(leaky(stack("{kind: residual, mixer: {kind: leaky}}", nested)))
    told = [name for name in graph.outputs if name.startswith("telemetry.")]
    assert told == ["telemetry.core.1.ponder", "telemetry.core.1.L.0.ponder"]
    assert {str(graph.outputs[name].type) for name in told} == {"wide[B]"}


def test_telemetry_that_is_not_asked_for_leaves_no_trace() -> None:
    without, with_ = (leaky(stack(block(*asked))) for asked in ([], ["telemetry: [energy, ponder]"]))
    assert "telemetry" not in str(resolved(without)) + text(hs.lower(without))
    (call, *_) = calls(1)
    plain, told = (e.forward(call, e.init_carry(2, 4))[0] for e in map(compiled, (without, with_)))
    np.testing.assert_array_equal(told["logits"], plain["logits"])


def test_a_state_that_telemetry_alone_reads_has_no_effect() -> None:
    first, last = "{kind: residual, mixer: {kind: leaky}}", block("telemetry: [energy]", "state: {lifetime: stream}")
    spec = leaky(stack(first, last), read="'0'")
    assert "HS108" in [found.code for found in validate(hs.lower(spec), spec)]


@pytest.mark.parametrize(
    ("field", "value", "at", "message"),
    [
        ("telemetry", "[energy, energy]", "telemetry", "a reading occurs twice"),
        ("telemetry", "[enrgy]", "telemetry[0]", "did you mean 'energy'?"),
        ("norm", "{place: post}", "norm.place", "this block is pre-norm"),
        ("inject", "[Q]", "inject[0]", "unknown level 'Q'; the levels are L, H"),
    ],
)
def test_a_block_that_cannot_be_is_refused_where_it_stands(field: str, value: str, at: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        leaky(stack(block(f"{field}: {value}")))
    (problem,) = error.value.problems
    assert problem.field == f"model.core.blocks[0].{at}"
    assert message in problem.message
