"""Tokens that halt between the layers of a stack: closed ones stay as they are, and the heads learn what to close."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hrmsearch as hs
from hrmsearch import passes
from hrmsearch.analyses import validate
from hrmsearch.errors import SpecError
from hrmsearch.ir import Builder, Graph, Nest, Type, Value, axis
from hrmsearch.ir.definition import OPS_ONLY
from hrmsearch.ir.tokenwise import selects
from hrmsearch.runtime import Array, Executable, Options, Pass, load_backend, prepared
from hrmsearch.spec.model import Spec
from hrmsearch.train import RunOptions, compile_for
from tests.part_models import ATTENTION, INFINI, LAST, model
from tests.soundness.planting import Emitted

LAYERS = 4
FLOAT64 = Options(dtype="float64")


def skipping(skip: str = "bias: 0.0, init: {normal: 2.0}", memory: str = "", block: str = ATTENTION) -> Spec:
    """Return a spec of four layers between which tokens halt."""
    halts = f", skip: {{{skip}}}" if skip else ""
    return hs.loads(model(f"kind: stack, layers: {LAYERS}, blocks: [{{{block}}}]{halts}", LAST, memory))


def compiled(spec: Spec, backend: str = "reference", *, trace: bool = False) -> Executable:
    graph = prepared(hs.lower(spec, trace=trace), backend)
    executable = load_backend(backend).compile(graph, Options(dtype="float64"))
    executable.init(0)
    return executable


def call(rows: int = 3) -> Pass:
    tokens, targets = np.random.default_rng(1).integers(0, 5, (2, rows, 4), dtype=np.int32)
    return Pass({"tokens": tokens, "targets": targets}, 3)


def run(executable: Executable) -> dict[str, Array]:
    return executable.forward(call(), executable.init_carry(3, 4))[0]


def survival(params: dict[str, Array], layer: int, x: Array) -> Array:
    """Return the probability of not stopping before a layer, by the equation."""
    logit = x @ params[f"core.skip.{layer}.weight"] + params[f"core.skip.{layer}.bias"][0]
    return 1.0 / (1.0 + np.exp(logit))


@pytest.mark.parametrize("memory", ["", f"at: core.2, {INFINI}"])
def test_a_closed_token_stays_as_it_is_and_closed(memory: str) -> None:
    executable = compiled(skipping(memory=memory), trace=True)
    outputs, params = run(executable), executable.params
    s, was_open, seen = np.ones((3, 4)), np.ones((3, 4), bool), set[bool]()
    for layer in range(1, LAYERS):
        before, after = (outputs[f"trace.1.{i}"] for i in (layer - 1, layer))
        s = s * survival(params, layer, before)
        is_open = s > 0.5
        assert not (is_open & ~was_open).any()
        np.testing.assert_array_equal(after[~is_open], before[~is_open])
        assert (np.abs(after - before)[is_open].max(-1) > 1e-6).all()
        was_open, seen = is_open, seen | set(is_open.flatten().tolist())
    assert seen == {True, False}


def test_heads_that_never_stop_leave_the_stack_as_it_was() -> None:
    plain, open_ = (compiled(skipping(skip)) for skip in ("", "bias: -100.0"))
    open_.set_params({**open_.params, **plain.params})
    np.testing.assert_allclose(run(open_)["logits"], run(plain)["logits"], rtol=1e-12)


def test_heads_that_always_stop_leave_one_layer() -> None:
    closed = compiled(skipping("bias: 100.0"), trace=True)
    outputs = run(closed)
    for layer in range(1, LAYERS):
        np.testing.assert_array_equal(outputs[f"trace.1.{layer}"], outputs["trace.1.0"])


def test_an_open_token_moves_by_its_probability_of_being_open() -> None:
    part, whole = (compiled(skipping(f"bias: {bias}, threshold: 0.01"), trace=True) for bias in (0.0, -100.0))
    part.set_params({**whole.params, **{p: a for p, a in part.params.items() if ".skip." in p}})
    (a, x), (b, y) = ((outputs["trace.1.0"], outputs["trace.1.1"]) for outputs in (run(part), run(whole)))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(x - a, 0.5 * (y - b), rtol=1e-12, atol=1e-12)


# -- what it costs ---------------------------------------------------------------------------------------------------


def charged(outputs: dict[str, Array]) -> float:
    return float(outputs["loss"] - outputs["nll"].sum() / outputs["count"].sum())


@pytest.mark.parametrize("target", [None, 0.3])
def test_the_loss_is_charged_for_the_share_of_layers_that_tokens_are_likely_to_take(target: float | None) -> None:
    wanted = "none" if target is None else str(target)
    executable = compiled(skipping(f"bias: 0.0, init: {{normal: 2.0}}, cost: 0.7, target: {wanted}"), trace=True)
    outputs, params = run(executable), executable.params
    s, shares = np.ones((3, 4)), np.zeros(3)
    for layer in range(1, LAYERS):
        s = s * survival(params, layer, outputs[f"trace.1.{layer - 1}"])
        shares += s.mean(-1) / (LAYERS - 1)
    assert charged(outputs) == pytest.approx(0.7 * (shares if target is None else (shares - target) ** 2).mean())


@pytest.mark.parametrize("target", ["none", "0.3"])
def test_the_gradient_of_the_charge_is_its_derivative(target: str) -> None:
    """What a charge adds to torch's gradient is the derivative that the reference has of it."""
    pytest.importorskip("torch")
    specs = [skipping(f"bias: 0.0, init: {{normal: 0.5}}, cost: {cost}, target: {target}") for cost in ("0.0", "1.0")]
    free, dear = (e.loss_and_grads([call()], e.init_carry(3, 4))[1] for e in (compiled(s, "torch") for s in specs))
    reference = compiled(specs[1])
    for layer in range(1, LAYERS):
        path, params, charges = f"core.skip.{layer}.bias", reference.params, list[float]()
        for step in (1e-6, -1e-6):
            reference.set_params({**params, path: params[path] + step})
            charges.append(charged(run(reference)))
        reference.set_params(params)
        slope = (charges[0] - charges[1]) / 2e-6
        assert abs(slope) > 1e-3
        assert (dear[path] - free[path])[0] == pytest.approx(slope, rel=1e-6)


def test_training_by_the_charge_closes_tokens_down_to_the_target() -> None:
    pytest.importorskip("torch")
    spec = hs.loads(
        model(f"kind: stack, layers: 3, blocks: [{{{ATTENTION}}}], skip: {{bias: -3.0, cost: 100.0, target: 0.4}}"),
        overrides=("train.telemetry={of: [ponder, open]}", "train.optimizer={kind: adamw}"),
    )
    executable = compile_for(spec, hs.lower(spec), RunOptions())
    executable.init(0)
    opened: list[float] = []
    for _ in range(60):
        result, _ = executable.train_step([call()], executable.init_carry(3, 4), 0.1)
        opened.append(float(np.mean([result.told[0][f"telemetry.core.open_{layer}"].mean() for layer in (1, 2)])))
        assert result.told[0]["telemetry.core.ponder"].mean() == pytest.approx(1 + 2 * opened[-1])
    assert opened[0] == 1.0
    assert 0.0 < opened[-1] < 1.0


# -- specs -----------------------------------------------------------------------------------------------------------


def test_heads_are_trained_with_and_without_a_charge() -> None:
    for cost in ("0.0", "0.1"):
        spec = skipping(f"cost: {cost}")
        assert [one.code for one in validate(hs.lower(spec), spec)] == []


@pytest.mark.parametrize(
    ("core", "field", "message"),
    [
        ("blocks: [{%s}], skip: {}", "model.core.skip", "the first layer is for every token"),
        ("blocks: [{%s, repeat: 2}], skip: {threshold: 1.0}", "model.core.skip.threshold", "less than 1"),
        ("blocks: [{%s, repeat: 2}], skip: {target: 0}", "model.core.skip.target", "more than 0"),
        ("blocks: [{%s, repeat: 2}], skip: {costs: 0}", "model.core.skip.costs", "did you mean 'cost'?"),
    ],
)
def test_what_cannot_be_skipped_is_refused_where_it_stands(core: str, field: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        hs.loads(model("kind: stack, " + core % ATTENTION))
    (problem,) = error.value.problems
    assert problem.field == field
    assert message in problem.message


# -- run at open tokens only -----------------------------------------------------------------------------------------


def both_ways(spec: Spec) -> tuple[Executable, Executable]:
    """Return torch's program, and the same one made to run settled functions at every token."""
    graph = passes.run(hs.lower(spec))
    masked = Emitted(graph, FLOAT64, lambda source: source.replace("len(rows) > 0.9 *", "len(rows) > -1 *"))
    assert "len(rows) > -1" in masked.source
    return load_backend("torch").compile(graph, FLOAT64), masked


BLOCKS = [ATTENTION, f"{ATTENTION}, norm: {{place: pre}}", "kind: residual, mixer: {kind: slstm, heads: 2, conv: none}"]


@settings(max_examples=15)
@given(st.sampled_from(BLOCKS), st.sampled_from([-100.0, -0.5, 0.0, 100.0]), st.integers(0, 99), st.integers(1, 4))
def test_what_runs_at_open_tokens_is_what_runs_at_all_and_so_are_its_gradients(
    block: str, bias: float, seed: int, rows: int
) -> None:
    """With some tokens open, with all, and with none."""
    pytest.importorskip("torch")
    spec = skipping(f"bias: {bias}, init: {{normal: 1.0}}, cost: 0.5", f"at: core.2, {INFINI}", block)
    gathered, masked = both_ways(spec)
    found: list[tuple[dict[str, Array], dict[str, Array]]] = []
    for executable in (gathered, masked):
        executable.init(seed)
        carry = executable.init_carry(rows, 4)
        outputs, _ = executable.forward(call(rows), carry)
        found.append((outputs, executable.loss_and_grads([call(rows)], carry)[1]))
    for got, wanted in zip(*found, strict=True):
        assert got.keys() == wanted.keys()
        for name, array in wanted.items():
            np.testing.assert_allclose(got[name], array, rtol=1e-11, atol=1e-12, err_msg=name)


Body = Callable[[Builder, Value], Value]


def selecting(body: Body) -> bool:
    """Return whether a function that keeps x where a mask is false may be run at open tokens only."""
    graph = Graph("one", Nest())
    b = Builder(graph, OPS_ONLY, graph.main)
    is_open, x = b.input("is_open", Type.parse("bool[B, T]")), b.input("x", Type.parse("compute[B, T, D:4]"))

    def settled(inner: Builder, is_open: Value, x: Value) -> Value:
        return inner.where(is_open, body(inner, x), x)

    b.call("", settled, is_open, x, title="Settled", key="settled")
    return selects(graph.functions["Settled"], graph.functions)


ALONE: dict[str, Body] = {
    "elementwise": lambda b, x: b.exp(x) * 2.0,
    "over the width": lambda b, x: b.op("softmax", x, axis="D"),
    "a linear map": lambda b, x: b.linear(x, b.param("w", (axis("I", 4), axis("D", 4)), "ones")),
    "the same for all": lambda b, x: b.broadcast(b.param("w", (axis("D", 4),), "ones"), x.type),
}
TOGETHER: dict[str, Body] = {
    "over the window": lambda b, x: x + b.mean(x, "T"),
    "over rows": lambda b, x: x + b.mean(x, "B"),
    "so far": lambda b, x: b.op("cumsum", x, axis="T"),
    "numbered": lambda b, x: x + b.broadcast(b.iota(axis("T")), x.type),
    "the last one dropped": lambda b, x: b.op(
        "pad", b.slice(x, "T", 0, "T-1"), axis="T", before=0, size="T", value=0.0
    ),
    "moved on": lambda b, x: b.slice(b.op("pad", x, axis="T", before=1, size="T+1", value=0.0), "T", 0, "T"),
}


@pytest.mark.parametrize("name", ALONE)
def test_work_on_single_tokens_may_be_run_at_some_of_them(name: str) -> None:
    assert selecting(ALONE[name])


@pytest.mark.parametrize("name", TOGETHER)
def test_work_on_several_tokens_is_run_at_all_of_them(name: str) -> None:
    assert not selecting(TOGETHER[name])
