"""HRM ACT v1 and TRM against their published code: five steps of a rolling batch, in evaluation and in training.

The weights stay as they are from step to step. Rows halt by their q-head in training, after the last possible pass in
evaluation. Every step begins with the published carry: TRM amplifies rounding, and the published float32 is up to 8e-5
from the exact values itself after three passes in a row.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import hrmsearch as hs
from hrmsearch import passes
from hrmsearch.interop.hrm import from_published, place, to_published
from hrmsearch.ir import Graph
from hrmsearch.runtime import Executable, Options, Precision, load_backend
from hrmsearch.spec.model import Spec
from hrmsearch.testing import toy as toy  # registers the task
from hrmsearch.train.compiling import training_of
from hrmsearch.train.halting import RollingBatch
from tests.backends import QUICK

Array = NDArray[Any]
Data = dict[str, Array]
SPECS = {"hrm_act_v1_rope": "hrm_act_v1", "trm_att_rope": "trm"}
#: absolute for values, of the largest entry for gradients
NEAR, SLOPE = 1e-5, 1e-4


def oracle(root: Path, name: str) -> Data:
    return dict(np.load(root / f"{name}.npz", allow_pickle=False))


def spec_of(name: str, data: Data) -> Spec:
    """Return the shipped spec, as small as the oracle's model."""
    config = json.loads(bytes(data["config_json"]))
    levels = [f"model.core.levels.{level}" for level in "LH"]
    layers = "L_layers" if config.get("no_ACT_continue") else None
    return hs.load(
        SPECS[name],
        [
            f"model.dim={config['hidden_size']}",
            f"model.core.cycles={config['H_cycles']}",
            f"model.core.levels.H.period={config['L_cycles']}",
            *(f"{level}.layers={config[layers or f'{level[-1]}_layers']}" for level in levels),
            *(f"{level}.block.mixer.heads={config['num_heads']}" for level in levels),
            f"model.memory[0].width={config['puzzle_emb_ndim']}",
            f"model.memory[0].positions={config.get('puzzle_emb_len', 'none')}",
            "model.memory[0].optimizer={kind: sign_sgd, lr: 0.01, weight_decay: 0.1}",
            f"nest.passes={config['halt_max_steps']}",
            f"nest.halt.explore={config['halt_exploration_prob']}",
            f"task={{kind: toy, window: {config['seq_len']}, classes: {config['vocab_size']}, "
            f"kinds: {config['num_puzzle_identifiers']}}}",
            "train.optimizer.lr=0.01",
            "train.precision=float32",
        ],
    )


def compiled(
    name: str, data: Data, backend: str = "torch", precision: Precision = "float32"
) -> tuple[Executable, Graph]:
    spec = spec_of(name, data)
    graph = passes.run(hs.lower(spec))
    options = Options(dtype=precision, training=training_of(spec, graph))
    executable = load_backend(backend).compile(graph, options)
    shapes = {path: value.shape for path, value in executable.params.items()}
    executable.set_params(from_published(_below("state/", data), shapes))
    return executable, graph


def _below(prefix: str, data: Data) -> Data:
    return {name.removeprefix(prefix): array for name, array in data.items() if name.startswith(prefix)}


class Batches:
    """The oracle's batches, of which rows that halted take their own row, as the published loop has it."""

    def __init__(self, data: Data, rolling: "list[RollingBatch]") -> None:
        self.data, self.rolling, self.step = data, rolling, 0

    def __call__(self, count: int) -> Data:
        names = {"tokens": "inputs", "targets": "labels", "puzzle": "puzzle_identifiers"}
        fresh = self.rolling[0].halted
        assert fresh.sum() == count
        return {ours: self.data[f"batch{self.step}/{theirs}"][fresh] for ours, theirs in names.items()}


def rolled(graph: Graph, data: Data) -> tuple[RollingBatch, Batches]:
    held: list[RollingBatch] = []
    batches = Batches(data, held)
    held.append(RollingBatch(graph.nest, 3, batches, 0))
    return held[0], batches


def assert_step(
    found: Data, carry: Data, inputs: Data, expected: Data, *, halted: Array, taken: Array, training: bool
) -> None:
    for ours, theirs in (("core.z_H", "z_H"), ("core.z_L", "z_L")):
        np.testing.assert_allclose(carry[ours], expected[theirs], atol=NEAR, rtol=0, err_msg=theirs)
    for ours, theirs in (("logits", "logits"), ("q_halt", "q_halt_logits"), ("q_continue", "q_continue_logits")):
        if ours in found:
            np.testing.assert_allclose(found[ours], expected[theirs], atol=NEAR, rtol=0, err_msg=theirs)
    np.testing.assert_array_equal(taken, expected["steps"])
    np.testing.assert_array_equal(halted, expected["halted"])
    np.testing.assert_array_equal(inputs["puzzle"], expected["current_data/puzzle_identifiers"])
    lm = (found["nll"] / found["count"]).sum()
    np.testing.assert_allclose(lm, expected["metric/lm_loss"], atol=NEAR)
    np.testing.assert_allclose(found["halt_loss"].sum(), expected["metric/q_halt_loss"], atol=NEAR)
    whole = lm + 0.5 * found["halt_loss"].sum()
    if training and "continue_loss" in found:
        np.testing.assert_allclose(found["continue_target"], expected["target_q_continue"], atol=NEAR)
        np.testing.assert_allclose(found["continue_loss"].sum(), expected["metric/q_continue_loss"], atol=NEAR)
        whole += 0.5 * found["continue_loss"].sum()
    np.testing.assert_allclose(whole, expected["loss"], atol=NEAR)
    if training:
        np.testing.assert_allclose(3 * found["loss"], expected["loss"], atol=NEAR)
    assert_metrics(found, inputs["targets"], expected, halted, taken)


def assert_metrics(found: Data, targets: Array, expected: Data, halted: Array, taken: Array) -> None:
    """The published metrics are sums over the rows that halt."""
    right, asked = found["logits"].argmax(-1) == targets, targets != -100
    cells = (right & asked).sum(1) / np.maximum(asked.sum(1), 1)
    solved = found["right"] > 0.5
    assert np.array_equal(solved, (right | ~asked).all(1))
    counted = halted & (asked.sum(1) > 0)
    sums = {
        "count": counted.sum(),
        "accuracy": cells[counted].sum(),
        "exact_accuracy": (solved & counted).sum(),
        "q_halt_accuracy": (((found["q_halt"] >= 0) == solved) & counted).sum(),
        "steps": taken[counted].sum(),
    }
    for name, value in sums.items():
        np.testing.assert_allclose(value, expected[f"metric/{name}"], atol=NEAR, err_msg=name)


@pytest.mark.parametrize("backend", ["reference", *QUICK])
@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_five_steps_of_a_rolling_batch_are_those_of_the_published_code(
    name: str, mode: str, backend: str, oracle_root: Path
) -> None:
    data = oracle(oracle_root, name)
    # in float64, for the published numbers are rounded themselves: by up to 7e-6 in one pass
    executable, graph = compiled(name, data, backend, "float64")
    (batch, batches), carry = rolled(graph, data), executable.init_carry(3, 16)
    for step in range(5):
        batches.step = step
        call = batch.next()
        found, carry = executable.forward(call, carry)
        if mode == "train":
            batch.heed(found, step)
        else:
            batch.halted = batch.passes >= graph.nest.passes
        expected = _below(f"{mode}/step{step}/", data)
        after = executable.carry_to_numpy(carry)
        taken, inputs = batch.passes.copy(), dict(call.inputs)
        assert_step(found, after, inputs, expected, halted=batch.halted, taken=taken, training=mode == "train")
        carry = executable.carry_from_numpy({f"core.{name}": expected[name] for name in ("z_H", "z_L")})


@pytest.mark.parametrize("backend", QUICK)
@pytest.mark.parametrize("name", SPECS)
def test_gradients_and_the_step_of_the_table_are_those_of_the_published_code(
    name: str, backend: str, oracle_root: Path
) -> None:
    data = oracle(oracle_root, name)
    executable, graph = compiled(name, data, backend)
    (batch, batches), carry = rolled(graph, data), executable.init_carry(3, 16)
    for step in range(5):
        batches.step = step
        call = batch.next()
        _, gradients = executable.loss_and_grads([call], carry)
        found, after = executable.forward(call, carry)
        expected = published_gradients(_below(f"train/step{step}/grad/", data), call.inputs["puzzle"], gradients)
        assert gradients.keys() == expected.keys()
        for path, value in expected.items():
            within = SLOPE * np.abs(value).max()
            np.testing.assert_allclose(3 * gradients[path], value, atol=within, rtol=0, err_msg=f"{step} {path}")
        if step == 4:
            executable.train_step([call], carry, 0.01)
        carry = after
        batch.heed(found, step)
    moved = data["train/signsgd_lr1e-2_wd0.1/weights_after"]
    np.testing.assert_allclose(executable.params["memory_0.table"], moved, rtol=0, atol=1e-7)


def published_gradients(given: Data, keys: Array, ours: Data) -> Data:
    """Return published gradients by our paths: those of a table's rows added up by key."""
    local = given.pop("puzzle_emb.local_weights")
    table = np.zeros(ours["memory_0.table"].shape)
    np.add.at(table, keys, local)
    known = from_published(given, {path: value.shape for path, value in ours.items() if "memory" not in path})
    return known | {"memory_0.table": table}


@pytest.mark.parametrize("name", SPECS)
def test_weights_go_out_under_published_names_and_come_back(name: str, oracle_root: Path) -> None:
    data = oracle(oracle_root, name)
    executable, graph = compiled(name, data)
    out = to_published(executable.params)
    state = _below("state/", data)
    assert out.keys() == state.keys()
    for key, value in state.items():
        unused = key.startswith("inner.q_head") and graph.nest.halt is not None and not graph.nest.halt.bootstraps
        np.testing.assert_array_equal(out[key][:1] if unused else out[key], value[:1] if unused else value)
    shapes = {path: value.shape for path, value in executable.params.items()}
    again = from_published({f"_orig_mod.model.{key}": value for key, value in out.items()}, shapes)
    for path, value in executable.params.items():
        np.testing.assert_array_equal(again[path], value)
    assert all(place(path) for path in shapes)
