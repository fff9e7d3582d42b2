"""The puzzle table: what it puts before the tokens, and that a step moves the rows that occurred, each once."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import hrmsearch as hs
from hrmsearch import passes
from hrmsearch.analyses import cost
from hrmsearch.errors import SpecError
from hrmsearch.ir import Graph
from hrmsearch.runtime import Executable, Options, Pass, load_backend
from hrmsearch.spec.model import Spec
from hrmsearch.testing.inputs import random_inputs
from hrmsearch.train.compiling import training_of
from hrmsearch_reference import Backend as Reference
from tests.backends import COMPILING, QUICK, usable
from tests.training import train

Array = NDArray[Any]
TABLE = "memory_0.table"
PUZZLES = 4
TEXT = """
spec: 1
name: puzzled
model:
  dim: 4
  init: {normal: 0.3}
  embed: {kind: token, position: learned, scale: sqrt_dim, init: lecun_normal}
  memory: [{at: prepend, kind: puzzle, width: 6, init: {normal: 1.0}, optimizer: {lr: 0.02, weight_decay: 0.5}}]
  core:
    kind: hrm
    levels: {L: {block: {kind: transformer, mixer: {kind: attention, heads: 2, causal: false}, ffn: none}}}
  head: {kind: lm, read: L}
task: {kind: toy, window: 5, kinds: 4}
train: {optimizer: {kind: sign_sgd, lr: 0.01}, batch: 3, epochs: 2, ema: 0.9, patience: none}
accept: {HS101: attention sees all tokens}
"""


def puzzled(*overrides: str) -> Spec:
    return hs.loads(TEXT, "puzzled.yaml", overrides)


def compiled(backend: str, spec: Spec) -> tuple[Executable, Graph]:
    graph = passes.run(hs.lower(spec))
    options = Options(dtype="float64", training=training_of(spec, graph))
    executable = load_backend(backend).compile(graph, options)
    executable.init(3)
    return executable, graph


def call(graph: Graph, keys: list[int], seed: int) -> Pass:
    sizes = {"B": len(keys), "T": 5}
    inputs = random_inputs(graph, sizes, lambda name: np.random.default_rng([seed, len(name)]))
    return Pass(inputs | {"puzzle": np.array(keys, np.int32)}, 3)


@given(width=st.integers(1, 9), positions=st.none() | st.integers(3, 5))
def test_an_entry_fills_as_many_rows_as_it_needs_and_zeros_follow_it(width: int, positions: int | None) -> None:
    spec = puzzled(f"model.memory[0].width={width}", f"model.memory[0].positions={positions or 'none'}")
    memory = spec.model.memory[0]
    rows = memory.rows(4)
    assert rows == (positions or -(-width // 4))
    graph = hs.lower(spec)
    assert str(graph.outputs["logits"].type) == "compute[B, T, C:5]"
    assert {str(op.result.type) for op in graph.states.values()} == {f"compute[B, T:T+{rows}, D:4]"}
    stream = next(op for op in graph.main.ops if op.kind == "call" and op.attrs["prefix"] == "memory_0").result
    graph.outputs["rows"] = stream
    executable = Reference().compile(graph, Options())
    outputs, _ = executable.forward(call(graph, [2, 0], 0), executable.init_carry(2, 5))
    whole = outputs["rows"].reshape(2, -1)
    np.testing.assert_array_equal(whole[:, :width], executable.params[TABLE][[2, 0]])
    assert not whole[:, width:].any()


@pytest.mark.parametrize("backend", usable(QUICK))
@settings(max_examples=8)
@given(steps=st.lists(st.lists(st.integers(0, PUZZLES - 1), min_size=3, max_size=3), min_size=1, max_size=3))
def test_a_step_moves_the_rows_that_occurred_each_once_by_the_sign_of_its_summed_gradient(
    backend: str, steps: list[list[int]]
) -> None:
    assert_moves(backend, steps)


@pytest.mark.parametrize("backend", ["reference", *usable(COMPILING)])
def test_a_step_moves_the_rows_that_occurred_on_every_backend(backend: str) -> None:
    assert_moves(backend, [[1, 1, 3], [0, 3, 1]])


def assert_moves(backend: str, steps: list[list[int]]) -> None:
    spec = puzzled()
    executable, graph = compiled(backend, spec)
    carry = executable.init_carry(3, 5)
    for seed, keys in enumerate(steps):
        span, table = [call(graph, keys, seed)], executable.params[TABLE]
        _, gradients = executable.loss_and_grads(span, carry)
        # half the rate of the others: the table's own follows their schedule
        executable.train_step(span, carry, 0.005)
        expected = table.copy()
        for key in set(keys):
            expected[key] = table[key] * (1 - 0.01 * 0.5) - 0.01 * np.sign(gradients[TABLE][key])
        moved = executable.params[TABLE]
        np.testing.assert_allclose(moved, expected, rtol=1e-12, atol=1e-14)
        others = [key for key in range(PUZZLES) if key not in keys]
        assert np.array_equal(moved[others], table[others]), "ids do not mix"
        assert np.array_equal(executable.averaged()[TABLE], moved), "the average knows nothing of tables"


@pytest.mark.parametrize(
    "backend",
    ["reference", *usable(QUICK), *(pytest.param(name, marks=pytest.mark.slow) for name in usable(COMPILING))],
)
def test_micro_batches_move_a_table_as_their_whole_does_even_across_a_snapshot(backend: str) -> None:
    spec = puzzled("train.clip=none")
    (whole, graph), (parts, _), (restored, _) = (compiled(backend, spec) for _ in range(3))
    full = call(graph, [1, 3, 1, 2], 0)
    whole.train_step([full], whole.init_carry(4, 5), 0.01)
    for i, executable in ((0, parts), (2, restored)):
        half = Pass({name: array[i : i + 2] for name, array in full.inputs.items()}, 3)
        executable.backward([half], executable.init_carry(2, 5), 0.5)
        if executable is parts:
            restored.restore(parts.snapshot())
    restored.update(0.01)
    np.testing.assert_allclose(restored.params[TABLE], whole.params[TABLE], rtol=1e-9)


def test_a_table_is_no_trained_parameter() -> None:
    found = cost(passes.run(hs.lower(puzzled())))
    assert found.keyed == PUZZLES * 6
    assert found.params == sum(a.size for p, a in compiled("reference", puzzled())[0].params.items() if p != TABLE)


def test_a_run_trains_its_table_and_a_model_without_one_ignores_puzzles(tmp_path: Any) -> None:
    result = train(puzzled(), tmp_path)
    assert result.epochs == 2
    train(puzzled("name=plain", "model.memory=[]"), tmp_path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.kinds=0", "has no puzzle to look up by"),
        ("model.memory[0].positions=1", "1 rows of 4 hold no 6 numbers; 2 do"),
        ("model.memory[0].optimizer={kind: adamw}", "keeps m, v of every entry"),
    ],
)
def test_what_cannot_be_prepended_is_refused(override: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        hs.lower(puzzled(override))
