"""Every op as torch writes it against the op table: values, definitions of composites, and what gradient crosses."""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hrmsearch.emission import load_source
from hrmsearch.ir import Graph, parse, verify
from hrmsearch.ir.ops import op_kinds
from hrmsearch.passes import run
from hrmsearch.runtime import Options, Pass
from hrmsearch.testing.examples import Example, example_graph, example_inputs, examples, structured_graph
from hrmsearch.testing.graphs import straight_graphs
from hrmsearch_reference import Backend as Reference
from hrmsearch_torch import TorchExecutable, emit
from tests.ops import graph_of

FLOAT64 = Options(dtype="float64")
COMPOSITES = {row.kind for row in op_kinds() if row.define is not None}
sizes = st.tuples(st.integers(1, 3), st.integers(1, 5))
seeds = st.integers(0, 2**31)


def close(got: NDArray[np.float64], expected: NDArray[np.float64], name: str = "") -> None:
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("example", examples(), ids=str)
@given(shape=sizes, seed=seeds)
def test_an_op_has_its_meaning(example: Example, shape: tuple[int, int], seed: int) -> None:
    graph = graph_of(example)
    inputs = example_inputs(graph, dict(zip("BT", shape, strict=True)), np.random.default_rng(seed))
    expected, _ = Reference().compile(graph, FLOAT64).forward(Pass(inputs, reset=0), {})
    got, _ = TorchExecutable(graph, FLOAT64).forward(Pass(inputs, reset=0), {})
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name].shape == value.shape
        assert got[name].dtype == value.dtype or value.dtype == np.float64
        close(got[name], value, name)


@given(straight_graphs(), seeds, st.booleans())
def test_any_line_of_ops_has_its_meaning(graph: Graph, seed: int, optimised: bool) -> None:
    graph = run(graph) if optimised else graph
    rng = np.random.default_rng(seed)
    call = Pass({name: rng.normal(size=(2, 3, 4)) for name in graph.inputs}, reset=0)
    reference, executable = Reference().compile(graph, FLOAT64), TorchExecutable(graph, FLOAT64)
    executable.set_params(reference.params)
    expected, got = reference.forward(call, {})[0], executable.forward(call, {})[0]
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("example", [example for example in examples() if example.kind in COMPOSITES], ids=str)
@given(shape=sizes, seed=seeds)
def test_a_composite_has_the_values_and_gradients_of_its_definition(
    example: Example, shape: tuple[int, int], seed: int
) -> None:
    graph = example_graph(example)
    inputs = example_inputs(graph, dict(zip("BT", shape, strict=True)), np.random.default_rng(seed))
    short, long = (_with_gradients(emit(graph, define), inputs) for define in ((), COMPOSITES))
    assert short.keys() == long.keys()
    for name, value in long.items():
        close(short[name], value, name)


def _with_gradients(source: str, inputs: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return a model's outputs, and the gradient of a fixed function of them in each float input, if they have one."""
    leaves = {name: torch.tensor(array, requires_grad=array.dtype == np.float64) for name, array in inputs.items()}
    outputs, _ = load_source(source, "composite").Model()(**leaves)
    total = sum(torch.sin(3.0 * value).sum() for value in outputs.values())
    assert isinstance(total, torch.Tensor)
    floats = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    gradients = torch.autograd.grad(total, list(floats.values())) if total.requires_grad else ()
    found = dict(outputs) | {f"d {name}": gradient for name, gradient in zip(floats, gradients, strict=False)}
    return {name: value.detach().numpy() for name, value in found.items()}


# -- structure ---------------------------------------------------------------------------------------------------------


def structured() -> tuple[TorchExecutable, dict[str, NDArray[np.int32]]]:
    executable = TorchExecutable(structured_graph(), FLOAT64)
    rng = np.random.default_rng(0)
    return executable, {name: rng.integers(0, 5, (2, 3), dtype=np.int32) for name in ("tokens", "targets")}


def test_a_free_repeat_detaches_what_it_changes_and_nothing_else() -> None:
    executable, inputs = structured()
    span = [Pass(inputs, reset=3)]
    _, gradients = executable.loss_and_grads(span, executable.init_carry(2, 3))
    model = {path: torch.tensor(value, requires_grad=True) for path, value in executable.params.items()}
    loss = _structured_loss(model, *(torch.tensor(inputs[name]).long() for name in ("tokens", "targets")))
    loss.backward()
    assert gradients.keys() == model.keys()
    for path, param in model.items():
        assert param.grad is not None
        close(gradients[path], param.grad.numpy(), path)


def _structured_loss(params: dict[str, torch.Tensor], tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The structured graph's first pass, by hand."""
    e = params["embed"][tokens]
    z = params["start"].expand_as(e)
    for _ in range(3):
        z = torch.tanh(z + e)
    v = (z.detach() + e) * params["start"] * params["start"]
    h, rows = params["start"].expand(2, 4), list[torch.Tensor]()
    for t in range(3):
        h = h * params["cell.0.gate"] + v[:, t]
        rows.append(torch.tanh(h))
    logits = torch.stack(rows, 1) @ params["embed"].T
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def test_an_identity_inside_a_free_repeat_is_detached_too() -> None:
    graph = verify(
        parse("""
graph "swap" {
  nest passes=1 backprop=passes:1 step=span loader=shuffled causal=false window=4
  main {
    at ""
    %x = input() {name="x"} : compute[B]
    %p = param() {path="p", init="ones", trainable=true} : compute[N:1]
    %q = param() {path="q", init="ones", trainable=true} : compute[N:1]
    %a, %b, %c = repeat(%p, %q, %q) {n=1, free=true} : compute[N:1]; compute[N:1]; compute[N:1] {
      ^(%a: compute[N:1], %b: compute[N:1], %c: compute[N:1])
      %d = cast(%b) {dtype="compute"} : compute[N:1]
      yield %d, %a, %c
    }
    %ab = add(%a, %b) : compute[N:1]
    %abc = add(%ab, %c) : compute[N:1]
    %loss = sum(%abc) {axes=["N"]} : compute[]
    output "loss" = %loss
  }
}
""")
    )
    for n in (1, 2):
        (op,) = (op for op in graph.main.ops if op.kind == "repeat")
        op.attrs["n"] = n
        result, gradients = TorchExecutable(graph, FLOAT64).loss_and_grads([Pass({}, reset=0)], {})
        assert result.losses == [3.0]
        # only %c goes through untouched
        assert gradients.keys() == {"q"}


def test_a_pass_that_is_not_the_last_keeps_the_restored_state() -> None:
    executable, inputs = structured()
    carry = executable.carry_from_numpy({"z": np.full((2, 3, 4), 7.0), "m": np.full((2, 4), 7.0)})
    start = np.broadcast_to(executable.params["start"], (2, 4))
    for reset, kept in ((3, start), (2, np.full((2, 4), 7.0))):
        _, after = executable.forward(Pass(inputs, reset, last=False), carry)
        assert np.array_equal(executable.carry_to_numpy(after)["m"], kept)
        _, taken = executable.forward(Pass(inputs, reset, last=True), carry)
        assert not np.array_equal(executable.carry_to_numpy(taken)["m"], kept)


def test_a_reset_by_rows_is_the_reset_of_those_rows_alone() -> None:
    executable, inputs = structured()
    carry = executable.carry_from_numpy({"z": np.full((2, 3, 4), 0.3), "m": np.full((2, 4), 0.7)})

    def run_with(reset: int | NDArray[np.int8]) -> dict[str, NDArray[np.float64]]:
        outputs, after = executable.forward(Pass(inputs, reset), carry)
        return outputs | executable.carry_to_numpy(after)

    mixed, none, window = run_with(np.array([2, 0], np.int8)), run_with(0), run_with(2)
    for name in ("logits", "z", "m"):
        assert np.array_equal(mixed[name][0], window[name][0])
        assert np.array_equal(mixed[name][1], none[name][1])


def test_a_start_value_that_no_row_takes_has_no_gradient() -> None:
    graph = structured_graph()
    # the state alone reads the start value here
    repeat = next(op for op in graph.main.ops if op.kind == "repeat" and not op.attrs["free"])
    (multiply,) = repeat.regions[0].ops
    multiply.operands = (multiply.operands[0], multiply.operands[0])
    executable, inputs = TorchExecutable(graph, FLOAT64), structured()[1]
    carry = executable.init_carry(2, 3)
    assert "start" in executable.loss_and_grads([Pass(inputs, 3)], carry)[1]
    assert "start" not in executable.loss_and_grads([Pass(inputs, 0)], carry)[1]


def test_gradient_crosses_the_passes_of_a_span_and_stops_at_its_end() -> None:
    executable, inputs = structured()
    first, second = Pass(inputs, 3), Pass(inputs, 0)
    together, gradients = executable.loss_and_grads([first, second], executable.init_carry(2, 3))
    one, head = executable.loss_and_grads([first], executable.init_carry(2, 3))
    two, tail = executable.loss_and_grads([second], one.carry)
    assert together.losses == [*one.losses, *two.losses]
    assert not np.allclose(gradients["cell.0.gate"], head["cell.0.gate"] + tail["cell.0.gate"])
    assert not any(value.requires_grad for value in one.carry.values())


def test_wide_products_keep_their_precision_in_mixed_precision() -> None:
    types = ("wide[B, T, D:4]", "wide[D:4, F:3]")
    for spec in ("B T D, D F -> B T F", "B T D, D F -> F T B"):
        graph = example_graph(Example("einsum", types, {"spec": spec}))
        inputs = example_inputs(graph, {"B": 2, "T": 3}, np.random.default_rng(0))
        mixed, full = (
            TorchExecutable(graph, Options(dtype=dtype)).forward(Pass(inputs, reset=0), {})[0]["y0"]
            for dtype in ("bfloat16", "float32")
        )
        assert np.array_equal(mixed, full)
