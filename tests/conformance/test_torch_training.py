"""Training with torch: the fused optimiser against the rule, resuming bit for bit, averages, precisions and devices."""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import hrmsearch as hs
from hrmsearch import passes
from hrmsearch.errors import BackendError, RunError
from hrmsearch.ir import Graph
from hrmsearch.optim.adamw import AdamW
from hrmsearch.runtime import Options, Pass, Precision, SpanResult, Training
from hrmsearch_reference import Backend as Reference
from hrmsearch_torch import Backend, TorchExecutable
from hrmsearch_torch.optimizer import ByRule

ADAMW = AdamW(betas=(0.9, 0.95), eps=1e-8)
Params = dict[str, NDArray[np.float64]]


def small(*overrides: str) -> Graph:
    """Return the Infini-HRM, narrow, on a short window."""
    narrow = ("model.dim=8", "model.defaults.ffn.width=8", "task.window=6", "model.memory[0].heads=2")
    heads = [f"model.core.levels.{level}.block.mixer.heads=2" for level in "LH"]
    return passes.run(hs.lower(hs.load("infini_hrm", [*narrow, *heads, *overrides])))


def training(graph: Graph, *, clip: float | None = 0.5, ema: float | None = None) -> Training:
    decay = {path: 0.1 if path.endswith("gain") else 0.01 for path in graph.params}
    return Training(ADAMW.rule(), decay, clip, ema)


def spans(n: int, seed: int = 0) -> list[list[Pass]]:
    """Return n windows as one span of two passes each."""
    rng = np.random.default_rng(seed)
    found: list[list[Pass]] = []
    for window in range(n):
        inputs = {name: rng.integers(0, 97, (3, 6), dtype=np.int32) for name in ("tokens", "targets")}
        found.append([Pass(inputs, 3 if window == 0 else 2, last=False), Pass(inputs, 0, last=True)])
    return found


def train(executable: TorchExecutable, windows: list[list[Pass]], lr: float = 1e-2) -> list[float]:
    carry, found = executable.init_carry(3, 6), list[float]()
    for span in windows:
        result, norm = executable.train_step(span, carry, lr)
        carry = result.carry
        found += [*result.losses, norm]
    return found


def first_span(graph: Graph, options: Options) -> tuple[SpanResult, Params]:
    executable = TorchExecutable(graph, options)
    return executable.loss_and_grads(spans(1)[0], executable.init_carry(3, 6))


def same(one: Params, other: Params) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(value, other[path]) for path, value in one.items())


# -- the update --------------------------------------------------------------------------------------------------------


def test_fused_adamw_is_the_rule() -> None:
    graph = small()
    options = Options(dtype="float64", training=training(graph))
    fused, plain = TorchExecutable(graph, options), TorchExecutable(graph, options)
    assert options.training is not None
    plain._optimizer = ByRule(options.training, plain._trained)  # pyright: ignore[reportPrivateUsage]
    np.testing.assert_allclose(train(fused, spans(6)), train(plain, spans(6)), rtol=1e-9)
    after = plain.snapshot()
    for name, value in fused.snapshot().items():
        np.testing.assert_allclose(value, after[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_an_update_moves_parameters_as_the_reference_does() -> None:
    graph = small()
    options = Options(dtype="float64", training=training(graph, ema=0.9))
    ours, reference = TorchExecutable(graph, options), Reference().compile(graph, options)
    ours.init(0)
    reference.set_params(ours.params)
    rng = np.random.default_rng(0)
    moved = {path: rng.normal(size=value.shape) for path, value in ours.params.items() if path != "head.weight"}
    for _ in range(3):
        for path, gradient in moved.items():
            ours.model.get_parameter(path).grad = torch.tensor(gradient)
        reference._pending = dict(moved)  # pyright: ignore[reportPrivateUsage]
        assert ours.update(1e-2) == pytest.approx(reference.update(1e-2))
    for got, expected in ((ours.params, reference.params), (ours.averaged(), reference.averaged())):
        for path, value in expected.items():
            np.testing.assert_allclose(got[path], value, rtol=1e-10, atol=1e-13, err_msg=path)


def test_a_parameter_without_a_gradient_stays_and_has_no_slots() -> None:
    graph = small("model.q_head={kind: pooled, read: H}")
    executable = TorchExecutable(graph, Options(training=training(graph)))
    before = executable.params["q_head.weight"]
    train(executable, spans(2))
    assert np.array_equal(executable.params["q_head.weight"], before)
    assert not any("q_head" in name for name in executable.snapshot() if not name.startswith("param/"))


def test_weights_of_micro_batches_add_up() -> None:
    graph = small()
    options = Options(dtype="float64", training=training(graph))
    once, twice = TorchExecutable(graph, options), TorchExecutable(graph, options)
    (span,) = spans(1)
    once.backward(span, once.init_carry(3, 6))
    for _ in range(2):
        twice.backward(span, twice.init_carry(3, 6), weight=0.5)
    assert once.update(1e-2) == pytest.approx(twice.update(1e-2), rel=1e-12)
    for path, value in once.params.items():
        np.testing.assert_allclose(twice.params[path], value, rtol=1e-9, atol=1e-12)


def test_updating_without_training_options_is_an_error() -> None:
    with pytest.raises(BackendError, match="without training options"):
        TorchExecutable(small(), Options()).update(1e-3)


def test_a_graph_without_targets_has_no_loss_to_train_on() -> None:
    executable = TorchExecutable(small(), Options())
    tokens = {"tokens": np.zeros((3, 6), np.int32)}
    with pytest.raises(BackendError, match="loss"):
        executable.loss_and_grads([Pass(tokens, 3)], executable.init_carry(3, 6))


# -- state -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_a_restored_run_goes_on_bit_for_bit(dtype: Precision) -> None:
    graph = small("model.defaults.dropout=0.3")
    options = Options(dtype=dtype, training=training(graph, ema=0.9))
    first = TorchExecutable(graph, options)
    first.init(5)
    train(first, spans(3))
    first.backward(spans(1, seed=9)[0], first.init_carry(3, 6))
    taken = first.snapshot()
    second = TorchExecutable(graph, options)
    second.init(6)
    second.restore(taken)
    assert train(first, spans(3, seed=1)) == train(second, spans(3, seed=1))
    assert same(first.snapshot(), second.snapshot())
    assert same(first.averaged(), second.averaged())


def test_dropout_depends_on_the_seed_alone_and_leaves_the_callers_random_state() -> None:
    graph = small("model.defaults.dropout=0.3")
    executable = TorchExecutable(graph, Options(training=training(graph)))
    runs: list[list[float]] = []
    for outer in (1, 2):
        torch.manual_seed(outer)
        before = torch.get_rng_state()
        executable.init(0)
        runs.append(train(executable, spans(2)))
        assert torch.equal(torch.get_rng_state(), before)
    assert runs[0] == runs[1]


def test_evaluation_drops_nothing() -> None:
    plain, dropped = small(), small("model.defaults.dropout=0.5")
    call = spans(1)[0][0]
    one, other = (
        executable.forward(call, executable.init_carry(3, 6))[0]["logits"]
        for executable in (TorchExecutable(graph, Options()) for graph in (plain, dropped))
    )
    assert np.array_equal(one, other)


def test_a_snapshot_of_another_rule_is_refused() -> None:
    graph = small()
    executable = TorchExecutable(graph, Options(training=training(graph)))
    train(executable, spans(1))
    taken = {name: array for name, array in executable.snapshot().items() if not name.startswith("slot/m/")}
    with pytest.raises(RunError, match="another rule"):
        executable.restore(taken)


def test_parameters_move_between_backends_by_file(tmp_path: Path) -> None:
    graph = small()
    ours, reference = TorchExecutable(graph, Options(dtype="float64")), Reference().compile(graph, Options())
    ours.init(3)
    ours.save(tmp_path / "model.safetensors")
    reference.load(tmp_path / "model.safetensors")
    assert same(reference.params, ours.params)


def test_a_carry_goes_to_numpy_and_back() -> None:
    executable = TorchExecutable(small(), Options(dtype="bfloat16"))
    first, second = spans(1)[0]
    _, carry = executable.forward(first, executable.init_carry(3, 6))
    again = executable.carry_from_numpy(executable.carry_to_numpy(carry))
    one, other = (executable.forward(second, held)[0]["logits"] for held in (carry, again))
    assert np.array_equal(one, other)


def test_a_step_evaluates_losses_without_logits() -> None:
    executable = TorchExecutable(small(), Options())
    outputs, _ = executable.eval_step(spans(1)[0][0], executable.init_carry(3, 6))
    assert set(outputs) == {"loss", "nll", "count"}


# -- precision and devices ---------------------------------------------------------------------------------------------


def test_mixed_precision_gives_the_gradients_that_float32_gives() -> None:
    # free ticks run first and must not leave weights behind, cast without gradient, for the ticks that train
    graph = small()
    full, exact = first_span(graph, Options())
    mixed, rough = first_span(graph, Options(dtype="bfloat16"))
    np.testing.assert_allclose(mixed.losses, full.losses, rtol=0.02)
    assert rough.keys() == exact.keys()
    for path, value in exact.items():
        assert rough[path].dtype == np.float32
        np.testing.assert_allclose(rough[path], value, atol=0.1 * float(np.abs(value).max()), err_msg=path)


def test_an_unknown_device_is_refused_with_those_that_are_here() -> None:
    with pytest.raises(BackendError, match=r"device 'tpu'.*available:.*cpu"):
        Backend().compile(small(), Options(device="tpu"))


def test_compiling_without_a_compiler_is_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(BackendError, match=r"by no-such-compiler, which was not found; install it, or do not optimize"):
        TorchExecutable(small(), Options(optimize=True))


def test_devices_are_told_with_a_reason_where_they_are_missing() -> None:
    told = Backend().devices()
    assert set(told) == {"cpu", "cuda", "mps"}
    assert told["cuda"].startswith("unavailable") != torch.cuda.is_available()


def test_auto_takes_a_device_that_is_here() -> None:
    assert TorchExecutable(small(), Options(device="auto")).device.type in ("cpu", "cuda", "mps")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_losses_and_gradients_of_the_cpu() -> None:
    graph = small()
    there, got = first_span(graph, Options(device="cuda", dtype="float64"))
    here, expected = first_span(graph, Options(dtype="float64"))
    np.testing.assert_allclose(there.losses, here.losses, rtol=1e-10)
    for path, value in expected.items():
        np.testing.assert_allclose(got[path], value, rtol=1e-8, atol=1e-10, err_msg=path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_run_on_cuda_is_restored_with_its_random_state() -> None:
    graph = small("model.defaults.dropout=0.3")
    options = Options(device="cuda", training=training(graph))
    first, second = TorchExecutable(graph, options), TorchExecutable(graph, options)
    train(first, spans(2))
    second.restore(first.snapshot())
    np.testing.assert_allclose(train(second, spans(2, 1)), train(first, spans(2, 1)), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_compiled_model_gives_the_losses_of_the_plain_one() -> None:
    graph = small()
    losses: list[list[float]] = []
    for optimize in (False, True):
        executable = TorchExecutable(graph, Options(training=training(graph), optimize=optimize))
        losses.append(train(executable, spans(2)))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
