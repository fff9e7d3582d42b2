"""Captured train steps on a GPU: a CUDA graph does what the eager step does, bit for bit."""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false, reportPrivateUsage=false

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import hrmsearch as hs
from hrmsearch import passes
from hrmsearch.ir import Graph
from hrmsearch.optim.adamw import AdamW
from hrmsearch.runtime import Options, Pass, Precision, Training
from hrmsearch_torch import TorchExecutable
from hrmsearch_torch.optimizer import ByRule

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
ADAMW = AdamW(betas=(0.9, 0.95), eps=1e-8)


def small(*overrides: str) -> Graph:
    narrow = ("model.dim=8", "model.defaults.ffn.width=8", "task.window=6", "model.memory[0].heads=2")
    heads = [f"model.core.levels.{level}.block.mixer.heads=2" for level in "LH"]
    return passes.run(hs.lower(hs.load("infini_hrm", [*narrow, *heads, *overrides])))


def options(graph: Graph, *, capture: bool, dtype: Precision = "float32") -> Options:
    training = Training(ADAMW.rule(), dict.fromkeys(graph.params, 0.01), clip=0.5, ema=0.9)
    return Options(device="cuda", dtype=dtype, training=training, capture=capture)


def windows(n: int, rows: int = 3) -> list[list[Pass]]:
    """Return spans of one pass: each window's first restores, its last commits; row 1 starts a stream anew at times."""
    rng = np.random.default_rng(0)
    found: list[list[Pass]] = []
    for window in range(n):
        inputs = {name: rng.integers(0, 97, (rows, 6), dtype=np.int32) for name in ("tokens", "targets")}
        reset: Any = np.asarray([2, 3, 2][:rows], np.int8) if window % 2 else 3
        found += [[Pass(inputs, reset, last=False)], [Pass(inputs, 0, last=True)]]
    return found


def run(executable: TorchExecutable, spans: list[list[Pass]]) -> list[float]:
    carry, found = executable.init_carry(3, 6), list[float]()
    for i, span in enumerate(spans):
        result, norm = executable.train_step(span, carry, 1e-2 / (i + 1))
        carry = result.carry
        found += [*result.losses, norm]
    return found


def assert_same(one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_captured_steps_are_the_eager_ones(dtype: Precision, dropout: float) -> None:
    graph = small(f"model.defaults.dropout={dropout}")
    captured, eager = (TorchExecutable(graph, options(graph, capture=c, dtype=dtype)) for c in (True, False))
    assert run(captured, windows(8)) == run(eager, windows(8))
    assert_same(captured.snapshot(), eager.snapshot())
    assert_same(captured.averaged(), eager.averaged())


def test_any_rule_is_captured() -> None:
    graph = small()
    pair = [TorchExecutable(graph, options(graph, capture=c)) for c in (True, False)]
    for executable in pair:
        assert executable.options.training is not None
        executable._optimizer = ByRule(executable.options.training, executable._trained)
    assert run(pair[0], windows(6)) == run(pair[1], windows(6))
    assert_same(pair[0].snapshot(), pair[1].snapshot())


def test_a_restored_run_captures_anew_and_goes_on_bit_for_bit() -> None:
    graph = small("model.defaults.dropout=0.3")
    first, second = (TorchExecutable(graph, options(graph, capture=True)) for _ in range(2))
    run(first, windows(6))
    run(second, windows(3))
    second.restore(first.snapshot())
    assert run(first, windows(5)) == run(second, windows(5))
    assert_same(first.snapshot(), second.snapshot())


def test_gradients_that_wait_are_part_of_the_next_step() -> None:
    graph = small()
    pair = [TorchExecutable(graph, options(graph, capture=c)) for c in (True, False)]
    for executable in pair:
        run(executable, windows(4))
        executable.backward(windows(1)[0], executable.init_carry(3, 6), weight=0.5)
        run(executable, windows(1))
    assert_same(pair[0].snapshot(), pair[1].snapshot())


def test_a_carry_that_was_returned_is_not_written_to() -> None:
    graph = small()
    executable = TorchExecutable(graph, options(graph, capture=True))
    carry = executable.init_carry(3, 6)
    for span in windows(4):
        carry = executable.train_step(span, carry, 1e-2)[0].carry
    kept, before = carry, executable.carry_to_numpy(carry)
    for span in windows(4):
        carry = executable.train_step(span, carry, 1e-2)[0].carry
    assert_same(executable.carry_to_numpy(kept), before)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_captured_passes_are_the_eager_ones_whatever_the_parameters(dtype: Precision) -> None:
    graph = small()
    captured, eager = (TorchExecutable(graph, Options("cuda", dtype, capture=c)) for c in (True, False))
    for seed in (0, 1):  # a recorded pass reads parameters where they are
        found: list[list[Mapping[str, NDArray[Any]]]] = []
        for executable in (captured, eager):
            executable.init(seed)
            carry, told = executable.init_carry(3, 6), list[Mapping[str, NDArray[Any]]]()
            for span in windows(6):
                outputs, carry = executable.forward(span[0], carry)
                told.append({**outputs, **executable.carry_to_numpy(carry)})
            found.append(told)
        for one, other in zip(*found, strict=True):
            assert_same(one, other)
