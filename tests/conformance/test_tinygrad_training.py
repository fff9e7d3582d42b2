"""The tinygrad executable: passes, spans, updates and snapshots, held to torch and to the reference."""

# tinygrad's own annotations are partial
# pyright: reportUnknownMemberType=false, reportPrivateUsage=false

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("tinygrad", reason="tinygrad is not installed")

from tinygrad.tensor import Tensor

import hrmsearch as hs
from hrmsearch import passes
from hrmsearch.errors import BackendError, RunError
from hrmsearch.ir import Builder, Context, Graph, Nest, Region, Type, Value, parse, verify
from hrmsearch.ir.rule import Rule
from hrmsearch.optim.adamw import AdamW
from hrmsearch.runtime import Executable, Options, Pass, Training
from hrmsearch.testing.examples import structured_graph
from hrmsearch_reference import Backend as Reference
from hrmsearch_tinygrad import Backend, TinygradExecutable
from hrmsearch_torch import TorchExecutable
from tests.tinygrad_cpu import needs_tinygrad, plain_kernels

pytestmark = [needs_tinygrad, pytest.mark.usefixtures(plain_kernels.__name__)]

Array = NDArray[Any]
Arrays = Mapping[str, Array]
FLOAT64 = Options(dtype="float64")
# of a tensor's largest entry, in float32
ROUNDING = 2e-5


@cache
def transformer() -> Graph:
    overrides = ("model.dim=8", "model.defaults.ffn.width=8", "task.window=4")
    return passes.run(hs.lower(hs.load("transformer", overrides)))


def training(graph: Graph, *, clip: float | None = 0.5, ema: float | None = None) -> Training:
    decay = {path: 0.1 if path.endswith("gain") else 0.01 for path in graph.params}
    return Training(AdamW().rule(), decay, clip, ema)


def windows(n: int, classes: int, tokens: int, seed: int = 0) -> list[list[Pass]]:
    """Return n windows of three rows, each a span of one pass that starts afresh."""
    rng = np.random.default_rng(seed)
    shape = (3, tokens)
    return [
        [Pass({name: rng.integers(0, classes, shape, dtype=np.int32) for name in ("tokens", "targets")}, reset=3)]
        for _ in range(n)
    ]


def train(executable: Executable, spans: Sequence[Sequence[Pass]], lr: float = 1e-2) -> list[float]:
    """Return every loss and gradient norm; the carry goes from span to span."""
    rows, tokens = spans[0][0].inputs["tokens"].shape
    carry, found = executable.init_carry(rows, tokens), list[float]()
    for span in spans:
        result, norm = executable.train_step(span, carry, lr)
        carry = result.carry
        found += [*result.losses, norm]
    return found


def close(got: Arrays, expected: Arrays, of_largest: float) -> None:
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        largest = float(np.abs(value).max(initial=0.0))
        np.testing.assert_allclose(got[name], value, rtol=0, atol=of_largest * largest + 1e-12, err_msg=name)


def same(one: Arrays, other: Arrays) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(value, other[name]) for name, value in one.items())


# -- a transformer in float32 ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trainee(plain_kernels: None) -> TinygradExecutable:
    """Return one executable for all tests that train the transformer; each begins with `init` or `restore`."""
    del plain_kernels
    return TinygradExecutable(transformer(), Options(training=training(transformer(), ema=0.9)))


def torch_twin(executable: TinygradExecutable) -> TorchExecutable:
    return TorchExecutable(executable.graph, executable.options)


def test_twenty_steps_of_training_give_the_losses_and_weights_of_torch(trainee: TinygradExecutable) -> None:
    twin, spans = torch_twin(trainee), windows(20, 97, 4)
    trainee.init(3)
    twin.init(3)
    np.testing.assert_allclose(train(trainee, spans), train(twin, spans), rtol=1e-4)
    close(trainee.averaged(), twin.averaged(), 1e-3)


def test_a_checkpoint_goes_on_in_the_other_backend(trainee: TinygradExecutable) -> None:
    twin, before, after = torch_twin(trainee), windows(4, 97, 4), windows(6, 97, 4, seed=1)
    twin.init(5)
    train(twin, before)
    taken = twin.snapshot()
    expected = train(twin, after)
    trainee.restore(taken)
    close(trainee.snapshot(), taken, 0.0)
    np.testing.assert_allclose(train(trainee, after), expected, rtol=1e-4)
    # and back, from the middle of a run of this backend
    trainee.restore(taken)
    train(trainee, after[:3])
    twin.restore(trainee.snapshot())
    np.testing.assert_allclose(train(twin, after[3:]), expected[6:], rtol=1e-4)


def test_a_restored_run_goes_on_bit_for_bit(trainee: TinygradExecutable) -> None:
    (micro,), after = windows(1, 97, 4, seed=9), windows(2, 97, 4, seed=1)
    trainee.init(5)
    train(trainee, windows(2, 97, 4))
    trainee.backward(micro, trainee.init_carry(3, 4))
    taken = trainee.snapshot()
    assert any(name.startswith("grad/") for name in taken)
    ran = train(trainee, after), trainee.snapshot()
    trainee.init(6)
    trainee.restore(taken)
    assert same(trainee.snapshot(), taken)
    again = train(trainee, after), trainee.snapshot()
    assert again[0] == ran[0]
    assert same(again[1], ran[1])


def test_weights_of_micro_batches_add_up(trainee: TinygradExecutable) -> None:
    (span,) = windows(1, 97, 4)
    norms: list[float] = []
    ends: list[Arrays] = []
    for weights in ((1.0,), (0.25, 0.75)):
        trainee.init(0)
        for weight in weights:
            trainee.backward(span, trainee.init_carry(3, 4), weight)
        norms.append(trainee.update(1e-2))
        ends.append(trainee.params)
    assert norms[1] == pytest.approx(norms[0], rel=1e-5)
    close(ends[1], ends[0], 1e-4)


def test_initial_parameters_are_those_of_every_backend(trainee: TinygradExecutable) -> None:
    trainee.init(4)
    close(trainee.params, {path: a.astype(np.float32) for path, a in hs.ir.initial_params(transformer(), 4).items()}, 0)


# -- states, spans and structure in float64 ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def structured(plain_kernels: None) -> TinygradExecutable:
    del plain_kernels
    return TinygradExecutable(structured_graph(), FLOAT64)


def two_passes(reset: int | Array = 3) -> list[Pass]:
    rng = np.random.default_rng(0)
    inputs = {name: rng.integers(0, 5, (2, 3), dtype=np.int32) for name in ("tokens", "targets")}
    return [Pass(inputs, reset, last=False), Pass(inputs, reset=0)]


def test_passes_give_the_values_and_carries_of_the_reference(structured: TinygradExecutable) -> None:
    reference = Reference().compile(structured.graph, FLOAT64)
    reference.set_params(structured.params)
    carry, expected = structured.init_carry(2, 3), reference.init_carry(2, 3)
    levels = np.array([3, 2], np.int8)
    for call in (*two_passes(), Pass(two_passes()[0].inputs, levels, last=False)):
        got, carry = structured.forward(call, carry)
        wanted, expected = reference.forward(call, expected)
        close(got, wanted, 1e-10)
        close(structured.carry_to_numpy(carry), reference.carry_to_numpy(expected), 1e-10)


def test_a_row_has_the_same_bits_whatever_resets_the_others(structured: TinygradExecutable) -> None:
    first, second = two_passes()
    _, carry = structured.forward(first, structured.init_carry(2, 3))
    by_rows, left = structured.forward(Pass(second.inputs, np.array([2, 0], np.int8)), carry)
    structures = structured.structures
    for row, level in enumerate((2, 0)):
        uniform, after = structured.forward(Pass(second.inputs, level), carry)
        held, expected = structured.carry_to_numpy(left), structured.carry_to_numpy(after)
        for got, wanted in ((by_rows, uniform), (held, expected)):
            assert all(np.array_equal(got[name][row], array[row]) for name, array in wanted.items() if array.ndim)
    assert structured.structures == structures


def test_a_span_has_the_gradient_of_torch(structured: TinygradExecutable) -> None:
    twin = TorchExecutable(structured.graph, FLOAT64)
    result, gradients = structured.loss_and_grads(two_passes(), structured.init_carry(2, 3))
    wanted, expected = twin.loss_and_grads(two_passes(), twin.init_carry(2, 3))
    np.testing.assert_allclose(result.losses, wanted.losses, rtol=1e-10)
    close(gradients, expected, 1e-9)
    close(structured.carry_to_numpy(result.carry), twin.carry_to_numpy(wanted.carry), 1e-10)


def test_a_carry_that_is_kept_stays_as_it_was(structured: TinygradExecutable) -> None:
    first, second = two_passes()
    _, carry = structured.forward(first, structured.init_carry(2, 3))
    kept = structured.carry_to_numpy(carry)
    one, _ = structured.forward(second, carry)
    other, _ = structured.forward(second, carry)
    assert same(one, other)
    assert same(structured.carry_to_numpy(carry), kept)
    again = structured.carry_from_numpy(kept)
    assert same(structured.carry_to_numpy(again), kept)


def test_a_step_evaluates_losses_without_logits(structured: TinygradExecutable) -> None:
    first, _ = two_passes()
    outputs, _ = structured.eval_step(first, structured.init_carry(2, 3))
    assert set(outputs) == {"loss"}


def test_what_does_not_fit_the_graph_is_refused(structured: TinygradExecutable) -> None:
    first, _ = two_passes()
    with pytest.raises(BackendError, match="the carry lacks state m"):
        structured.carry_from_numpy({"z": np.zeros((2, 3, 4))})
    with pytest.raises(BackendError, match="input 'letters' is unknown"):
        structured.forward(Pass({"letters": first.inputs["tokens"]}, 3), structured.init_carry(2, 3))
    with pytest.raises(BackendError, match="scalar output `loss`"):
        structured.loss_and_grads([Pass({"tokens": first.inputs["tokens"]}, 3)], structured.init_carry(2, 3))
    with pytest.raises(BackendError, match="without training options"):
        structured.update(1e-3)
    with pytest.raises(BackendError, match="device 'tpu': hrmsearch runs tinygrad on"):
        Backend().compile(structured.graph, Options(device="tpu"))


# -- one linear map: what an update does -------------------------------------------------------------------------------

LINEAR = """
graph "linear" {
  nest passes=1 backprop=passes:1 step=span loader=shuffled causal=false window=4
  main {
    at ""
    %x = input() {name="x"} : compute[B, D:4]
    %w = param() {path="w", init={"normal": 1.0}, trainable=true} : compute[D:4]
    %gain = param() {path="gain", init="ones", trainable=true} : compute[D:4]
    %idle = param() {path="idle", init="ones", trainable=true} : compute[D:4]
    %still = param() {path="still", init="ones", trainable=false} : compute[D:4]
    %0 = detach(%idle) : compute[D:4]
    %1 = mul(%x, %w) : compute[B, D:4]
    %2 = mul(%1, %gain) : compute[B, D:4]
    %3 = mul(%2, %0) : compute[B, D:4]
    %4 = add(%3, %still) : compute[B, D:4]
    %5 = dropout(%4) {rate=0.5} : compute[B, D:4]
    %6 = mul(%5, %5) : compute[B, D:4]
    %loss = mean(%6) {axes=["B", "D"]} : compute[]
    output "y" = %5
    output "loss" = %loss
  }
}
"""


def linear(*, drops: bool = False) -> Graph:
    plain = LINEAR.replace("dropout(%4) {rate=0.5}", 'cast(%4) {dtype="compute"}')
    return verify(parse(LINEAR if drops else plain))


def rows(seed: int = 0) -> list[Pass]:
    return [Pass({"x": np.random.default_rng(seed).normal(size=(3, 4))}, reset=0)]


def steps(executable: Executable, seeds: Sequence[int], lr: float = 1e-2) -> list[float]:
    return [number for seed in seeds for number in (executable.train_step(rows(seed), {}, lr)[1],)]


def test_an_update_moves_parameters_as_the_reference_does() -> None:
    graph = linear()
    options = Options(dtype="float64", training=training(graph, ema=0.9))
    ours, reference = TinygradExecutable(graph, options), Reference().compile(graph, options)
    ours.init(0)
    reference.set_params(ours.params)
    for seed in range(3):
        # the reference differentiates by differences, so it is given the gradient
        _, gradients = ours.loss_and_grads(rows(seed), {})
        ours.backward(rows(seed), {})
        reference._pending = dict(gradients)
        assert ours.update(1e-2) == pytest.approx(reference.update(1e-2), rel=1e-12)
    close(ours.params, reference.params, 1e-11)
    close(ours.averaged(), reference.averaged(), 1e-11)


def test_a_parameter_without_a_gradient_has_none_stays_and_has_no_slots() -> None:
    graph = linear()
    executable = TinygradExecutable(graph, Options(training=training(graph)))
    _, gradients = executable.loss_and_grads(rows(), {})
    assert set(gradients) == {"w", "gain"}
    before = executable.params
    steps(executable, [0, 1])
    for path in ("idle", "still"):
        assert np.array_equal(executable.params[path], before[path])
        assert not any(path in name for name in executable.snapshot() if not name.startswith("param/"))


def test_dropout_depends_on_the_seed_alone_and_leaves_tinygrads_own_random_state() -> None:
    graph = linear(drops=True)
    executable = TinygradExecutable(graph, Options(training=training(graph)))
    runs: list[list[float]] = []
    for outer in (1, 2):
        Tensor.manual_seed(outer)
        executable.init(0)
        runs.append(steps(executable, [0, 0]))
        assert Tensor._seed == outer
        assert not Tensor._device_seeds
    assert runs[0] == runs[1]
    # the same rows give another loss where other entries are dropped
    assert runs[0][0] != runs[0][1]


def test_a_restored_run_draws_what_the_first_one_drew() -> None:
    graph = linear(drops=True)
    executable = TinygradExecutable(graph, Options(training=training(graph)))
    steps(executable, [0, 1])
    taken = executable.snapshot()
    first = steps(executable, [2, 3])
    executable.restore(taken)
    assert steps(executable, [2, 3]) == first
    without = {name: array for name, array in taken.items() if not name.startswith("rng/")}
    with pytest.raises(RunError, match="lacks the random state of tinygrad"):
        executable.restore(without)
    with pytest.raises(RunError, match="another rule"):
        executable.restore({name: array for name, array in taken.items() if not name.startswith("slot/m/")})


def test_evaluation_drops_nothing_and_training_scales_what_is_left() -> None:
    graph = linear(drops=True)
    executable = TinygradExecutable(graph, Options(training=training(graph)))
    (call,) = rows()
    params = executable.params
    outputs, _ = executable.forward(call, {})
    whole = call.inputs["x"] * params["w"] * params["gain"] * params["idle"] + params["still"]
    np.testing.assert_allclose(outputs["y"], whole, rtol=1e-6)
    losses = [executable.backward(rows(), {}).losses[0] for _ in range(8)]
    # with entries dropped at a rate of a half the others are twice as large, and their squares four times
    kept = np.array(losses) * whole.size / 4.0
    sums = {round(float(sum(part)), 3) for part in _subsets((whole**2).ravel().tolist())}
    assert {round(float(total), 3) for total in kept} <= sums
    assert len(set(losses)) > 1


def _subsets(numbers: list[float]) -> list[list[float]]:
    return [[]] if not numbers else [s for rest in _subsets(numbers[1:]) for s in (rest, [numbers[0], *rest])]


def test_bfloat16_gives_roughly_the_gradients_of_float32() -> None:
    try:
        mixed = TinygradExecutable(transformer(), Options(dtype="bfloat16"))
    except BackendError as error:
        pytest.skip(str(error))
    full, (span,) = TinygradExecutable(transformer(), Options()), windows(1, 97, 4)
    (rough, got), (exact, expected) = (one.loss_and_grads(span, one.init_carry(3, 4)) for one in (mixed, full))
    np.testing.assert_allclose(rough.losses, exact.losses, rtol=0.02)
    assert got.keys() == expected.keys()
    for path, value in expected.items():
        assert got[path].dtype == np.float32
        np.testing.assert_allclose(got[path], value, atol=0.1 * float(np.abs(value).max()), err_msg=path)


def test_a_step_that_is_not_captured_gives_the_same_numbers() -> None:
    graph = linear()
    runs = [
        steps(TinygradExecutable(graph, Options(training=training(graph), capture=capture)), [0, 1, 0])
        for capture in (True, False)
    ]
    assert runs[0] == runs[1]


def odd_rule() -> Rule:
    """Return a rule that no framework has: a signed step of bounded size, slower where the slot is large."""
    b = Builder(Graph("odd", Nest()), Context(1, 1, 1), place="train.optimizer")
    names = ("param", "grad", "seen", "lr", "decay", "step")
    args = [Value(Type(hs.ir.DType.WIDE), name, b) for name in names]
    param, grad, seen, lr, decay, step = args
    grown = b.op("maximum", 0.5 * seen, b.op("abs", grad))
    rate = lr / b.op("sqrt", step)
    move = b.op("where", b.op("less", grown, 1.0), b.op("sign", grad), b.op("tanh", grad))
    kept = param * (1.0 - lr * decay) - rate * move * b.op("exp", -grown)
    return Rule("odd", {}, ("seen",), Region(args, b.region.ops, [kept, grown]))


def test_any_rule_runs_by_its_body() -> None:
    graph = linear()
    options = Options(dtype="float64", training=Training(odd_rule(), {"w": 0.1}))
    ours, twin = TinygradExecutable(graph, options), TorchExecutable(graph, options)
    np.testing.assert_allclose(steps(ours, [0, 1, 2], 0.1), steps(twin, [0, 1, 2], 0.1), rtol=1e-12)
    close(ours.snapshot(), twin.snapshot(), 1e-12)
