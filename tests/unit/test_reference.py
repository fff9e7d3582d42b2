"""The reference backend: states, missing inputs, gradients against hand-derived ones, and updates."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hrmsearch.errors import BackendError, RunError
from hrmsearch.ir import Builder, DType, Graph, Nest, Region, Type, Value, parse, text, verify
from hrmsearch.ir.definition import OPS_ONLY
from hrmsearch.ir.rule import SCALARS, Rule
from hrmsearch.runtime import Options, Pass, Training
from hrmsearch.testing.examples import structured_graph
from hrmsearch_reference import Backend, ReferenceExecutable

TOKENS = np.asarray([[0, 1, 2], [3, 4, 0]])
DATA = {"tokens": TOKENS, "targets": (TOKENS + 1) % 5}


def structured(training: Training | None = None) -> ReferenceExecutable:
    return Backend().compile(structured_graph(), Options(training=training))


def compiled(main: str, **params: list[float]) -> ReferenceExecutable:
    """Compile a main over parameters a, b: compute[D:2] and a state s: compute[B, D:2] whose candidate is %next."""
    lines = [f'%{p} = param() {{path="{p}", init="ones", trainable=true}} : compute[D:2]' for p in ("a", "b")]
    head = 'graph "g" {\nnest passes=1 backprop=passes:1 step=span loader=shuffled causal=true window=1\nmain {\n'
    state = (
        '%reset = input() {name="reset"} : i8[B]\n'
        '%s = state(%b, %reset) {path="s", lifetime="window", commit="COMMIT"} : compute[B, D:2]'
    )
    commit = "last_pass" if "last_pass" in main else "every_pass"
    lines += [state.replace("COMMIT", commit), main.replace("last_pass", "")]
    lines += ['%loss = sum(%out) {axes=["B", "D"]} : compute[]', 'output "loss" = %loss', 'commit "s" = %next', "}\n}"]
    graph = verify(parse(head + "\n".join(lines)))
    executable = Backend().compile(graph, Options())
    executable.set_params({path: np.asarray(array) for path, array in params.items()})
    return executable


PRODUCT = "%out = mul(%s, %a) : compute[B, D:2]\n%next = mul(%out, %a) : compute[B, D:2]"
A, B = [0.5, -2.0], [3.0, 0.25]
CARRY = {"s": np.asarray([[1.0, 2.0], [4.0, 8.0]])}


def close(found: dict[str, NDArray[np.float64]], **wanted: list[float]) -> None:
    assert found.keys() == wanted.keys()
    for path, gradient in wanted.items():
        np.testing.assert_allclose(found[path], gradient, rtol=1e-8, atol=1e-10)


def test_a_carried_state_hides_the_start_from_gradient() -> None:
    result, grads = compiled(PRODUCT, a=A, b=B).loss_and_grads([Pass({}, reset=0)], CARRY)
    assert result.losses == [0.5 * 5 - 2 * 10]
    close(grads, a=[5.0, 10.0])


def test_a_reset_brings_the_start_back() -> None:
    _, grads = compiled(PRODUCT, a=A, b=B).loss_and_grads([Pass({}, reset=2)], CARRY)
    close(grads, a=[2 * 3.0, 2 * 0.25], b=[2 * 0.5, 2 * -2.0])


def test_a_reset_by_row_keeps_both_paths_even_where_no_row_is_reset() -> None:
    executable = compiled(PRODUCT, a=A, b=B)
    _, grads = executable.loss_and_grads([Pass({}, reset=np.asarray([3, 1], np.int8))], CARRY)
    close(grads, a=[3.0 + 4.0, 0.25 + 8.0], b=A)
    _, grads = executable.loss_and_grads([Pass({}, reset=np.asarray([0, 1], np.int8))], CARRY)
    close(grads, a=[5.0, 10.0], b=[0.0, 0.0])


def test_gradient_crosses_the_passes_of_a_span_and_nothing_else() -> None:
    executable = compiled(PRODUCT, a=A, b=B)
    span = [Pass({}, reset=2), Pass({}, reset=0)]
    result, grads = executable.loss_and_grads(span, CARRY)
    a, b = np.asarray(A), np.asarray(B)
    close(grads, a=list(2 * b + 2 * b * 3 * a**2), b=list(2 * a + 2 * a**3))
    _, alone = executable.loss_and_grads([Pass({}, reset=0)], result.carry)
    assert alone.keys() == {"a"}


def test_a_state_that_waits_for_the_last_pass_keeps_its_restored_value() -> None:
    executable = compiled(PRODUCT + "last_pass", a=A, b=B)
    _, carry = executable.forward(Pass({}, reset=3, last=False), CARRY)
    assert np.array_equal(carry["s"], [B, B])
    _, carry = executable.forward(Pass({}, reset=0, last=True), carry)
    assert np.array_equal(carry["s"], np.asarray([B, B]) * np.square(A))


def test_a_detached_value_counts_as_data() -> None:
    body = (
        "%d = detach(%s) : compute[B, D:2]\n%t = mul(%s, %a) : compute[B, D:2]\n%next = mul(%d, %t) : compute[B, D:2]\n"
    )
    _, grads = compiled(body + "%out = mul(%next, %a) : compute[B, D:2]", a=A, b=B).loss_and_grads([Pass({}, 2)], CARRY)
    a, b = np.asarray(A), np.asarray(B)
    close(grads, a=list(4 * a * b * b), b=list(2 * a * a * b))


FREE = """%u, %v = repeat(%s, %s) {n=2, free=FREE} : compute[B, D:2]; compute[B, D:2] {
^(%x: compute[B, D:2], %y: compute[B, D:2])
%z = mul(%x, %a) : compute[B, D:2]
yield %z, %y
}
%next = add(%u, %v) : compute[B, D:2]
%out = mul(%next, %v) : compute[B, D:2]"""


def test_a_free_repeat_detaches_what_its_body_changes_and_passes_the_rest() -> None:
    a, b = np.asarray(A), np.asarray(B)
    _, grads = compiled(FREE.replace("FREE", "true"), a=A, b=B).loss_and_grads([Pass({}, reset=2)], CARRY)
    close(grads, b=list(2 * (2 * b + a * a * b)))
    _, grads = compiled(FREE.replace("FREE", "false"), a=A, b=B).loss_and_grads([Pass({}, reset=2)], CARRY)
    close(grads, a=list(4 * a * b * b), b=list(2 * (2 * b + 2 * a * a * b)))


def test_a_parameter_with_a_zero_gradient_still_has_one() -> None:
    body = """%m = maximum(%a, %b) : compute[D:2]
%out = mul(%s, %m) : compute[B, D:2]
%next = add(%out, %s) : compute[B, D:2]"""
    _, grads = compiled(body, a=[0.0, 0.0], b=[3.0, 4.0]).loss_and_grads([Pass({}, reset=0)], CARRY)
    close(grads, a=[0.0, 0.0], b=[5.0, 10.0])


def test_small_parameters_that_are_normalised_have_exact_gradients() -> None:
    body = """%out = rms_norm(%a) {eps=1e-12} : compute[D:2]
%next = mul(%s, %a) : compute[B, D:2]"""
    executable = compiled(
        body.replace("%out =", "%n =") + "\n%out = mul(%s, %n) : compute[B, D:2]", a=[3e-3, 1e-3], b=B
    )
    _, grads = executable.loss_and_grads([Pass({}, reset=0)], CARRY)
    x, weight = np.asarray([3e-3, 1e-3]), np.asarray([5.0, 10.0])
    root = np.sqrt((x * x).mean() + 1e-12)
    close(grads, a=list(weight / root - x * float(weight @ x) / 2 / root**3))


def test_a_kink_beside_the_parameter_does_not_bend_its_gradient() -> None:
    body = "%r = abs(%a) : compute[D:2]\n%out = mul(%s, %r) : compute[B, D:2]\n%next = add(%out, %s) : compute[B, D:2]"
    _, grads = compiled(body, a=[1.0, -1e-3], b=B).loss_and_grads([Pass({}, reset=0)], CARRY)
    close(grads, a=[5.0, -10.0])


def test_a_comparison_passes_no_gradient() -> None:
    body = """%c = less(%a, %s) : bool[B, D:2]
%out = where(%c, %s, %b) : compute[B, D:2]
%next = add(%out, %s) : compute[B, D:2]"""
    _, grads = compiled(body, a=[2.0, 2.0], b=B).loss_and_grads([Pass({}, reset=0)], CARRY)
    close(grads, b=[1.0, 1.0])


def test_a_direction_has_the_slope_that_the_gradient_says() -> None:
    executable, rng = structured(), np.random.default_rng(0)
    span, carry = [Pass(DATA, reset=3), Pass(DATA, reset=0)], executable.init_carry(2, 3)
    _, grads = executable.loss_and_grads(span, carry)
    assert grads.keys() == {"embed", "start", "cell.0.gate"}
    direction = {path: rng.normal(size=gradient.shape) for path, gradient in grads.items()}
    slope = executable.directional(span, carry, direction)
    assert slope == pytest.approx(sum(float((direction[p] * grads[p]).sum()) for p in grads), rel=1e-8)


def test_outputs_without_their_inputs_are_not_returned() -> None:
    executable = structured()
    carry = executable.init_carry(2, 3)
    assert carry["z"].shape == (2, 3, 4)
    outputs, after = executable.forward(Pass({"tokens": TOKENS}, reset=3), carry)
    assert outputs.keys() == {"logits"}
    assert after.keys() == {"z", "m"}
    with pytest.raises(BackendError, match="scalar output `loss`"):
        executable.loss_and_grads([Pass({"tokens": TOKENS}, reset=3)], carry)
    assert executable.eval_step(Pass(DATA, reset=3), carry)[0].keys() == {"loss"}


def test_a_state_without_its_inputs_is_an_error() -> None:
    with pytest.raises(BackendError, match="state 'z' needs an input"):
        structured().forward(Pass({}, reset=3), structured().init_carry(2, 3))


def test_a_carry_goes_out_and_comes_back() -> None:
    executable = structured()
    _, carry = executable.forward(Pass(DATA, reset=3), executable.init_carry(2, 3))
    again = executable.carry_from_numpy(executable.carry_to_numpy(carry))
    assert all(np.array_equal(again[path], carry[path]) for path in carry)
    with pytest.raises(BackendError, match="lacks state m"):
        executable.carry_from_numpy({"z": carry["z"]})


def test_emitted_text_is_the_expanded_graph() -> None:
    emitted = Backend().emit(structured_graph())
    assert "cross_entropy" not in emitted
    assert text(parse(emitted)) == emitted


def test_only_the_cpu_is_there() -> None:
    assert Backend().devices().keys() == {"cpu"}
    with pytest.raises(BackendError, match="not 'cuda'"):
        Backend().compile(structured_graph(), Options(device="cuda"))


# -- training --------------------------------------------------------------------------------------------------------


def momentum() -> Rule:
    """Return p <- p - lr (g + step * 0 + 0.5 m + decay p) with m <- 0.5 m + g."""
    b = Builder(Graph("momentum", Nest()), OPS_ONLY)
    b.region.args = [Value(Type(DType.WIDE), name, b) for name in ("param", "grad", "m", *SCALARS)]
    param, grad, m, lr, decay, step = b.region.args
    new = 0.5 * m + grad
    moved = param - lr * (new + decay * param) * b.op("sqrt", step)
    return Rule("momentum", {}, ("m",), Region(b.region.args, b.region.ops, [moved, new]))


def training(clip: float | None = None, ema: float | None = None) -> Training:
    return Training(momentum(), {"embed": 0.1}, clip, ema)


def test_a_rule_moves_what_has_a_gradient_and_counts_its_own_steps() -> None:
    executable = structured(training())
    before = executable.params
    span, carry = [Pass(DATA, reset=0)], executable.init_carry(2, 3)  # no reset: `start` is used in the core only
    _, grads = executable.loss_and_grads(span, carry)
    _, norm = executable.train_step(span, carry, 0.1)
    assert norm == pytest.approx(float(np.sqrt(sum(float((g * g).sum()) for g in grads.values()))))
    for path, array in executable.params.items():
        decay = 0.1 * before[path] if path == "embed" else 0.0
        np.testing.assert_allclose(array, before[path] - 0.1 * (grads[path] + decay), rtol=1e-12)
    assert executable.snapshot()["steps:embed"] == 1


def test_clipping_scales_to_the_norm() -> None:
    free, clipped = structured(training()), structured(training(clip=0.01))
    span, carry, before = [Pass(DATA, reset=3)], free.init_carry(2, 3), free.params
    norm = free.train_step(span, carry, 0.1)[1]
    assert clipped.train_step(span, carry, 0.1)[1] == norm
    for path in ("start", "cell.0.gate"):
        moved = (before[path] - free.params[path]) * (0.01 / (norm + 1e-6))
        np.testing.assert_allclose(before[path] - clipped.params[path], moved, rtol=1e-9)


def test_backward_adds_weighted_gradients_and_update_forgets_them() -> None:
    once, twice = structured(training()), structured(training())
    span, carry = [Pass(DATA, reset=3)], once.init_carry(2, 3)
    once.backward(span, carry)
    for weight in (0.25, 0.75):
        twice.backward(span, carry, weight)
    assert once.update(0.1) == pytest.approx(twice.update(0.1), rel=1e-12)
    assert once.update(0.1) == 0.0


def test_the_average_follows_from_the_initial_parameters() -> None:
    executable = structured(training(ema=0.75))
    before = executable.params
    executable.train_step([Pass(DATA, reset=3)], executable.init_carry(2, 3), 0.1)
    for path, array in executable.averaged().items():
        np.testing.assert_allclose(array, 0.75 * before[path] + 0.25 * executable.params[path], rtol=1e-12)
    assert np.array_equal(structured().averaged()["embed"], before["embed"])


def test_a_snapshot_continues_bit_for_bit() -> None:
    first, second = structured(training(ema=0.9)), structured(training(ema=0.9))
    span, carry = [Pass(DATA, reset=3)], first.init_carry(2, 3)
    first.train_step(span, carry, 0.1)
    second.restore(first.snapshot())
    for executable in (first, second):
        executable.train_step(span, carry, 0.1)
    for name, array in first.snapshot().items():
        assert np.array_equal(array, second.snapshot()[name]), name
    with pytest.raises(RunError, match="without training options"):
        structured().restore(first.snapshot())


def test_updates_need_a_rule() -> None:
    with pytest.raises(BackendError, match="without training options"):
        structured().update(0.1)


def test_parameters_move_through_a_file(tmp_path: Path) -> None:
    first, second = structured(), structured()
    first.init(7)
    first.save(tmp_path / "p.safetensors")
    second.load(tmp_path / "p.safetensors")
    assert all(np.array_equal(array, second.params[path]) for path, array in first.params.items())
    with pytest.raises(RunError, match="lack embed"):
        second.set_params({})
