"""Generated kernels against the graphs they stand for: values by the reference, gradients by torch in float64."""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnnecessaryComparison=false

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hrmsearch.emission import load_source
from hrmsearch.errors import BackendError
from hrmsearch.ir import Builder, DType, Graph, Type, Value
from hrmsearch.ir.ops.elementwise import UNARY
from hrmsearch.lowering import lower
from hrmsearch.passes import fuse
from hrmsearch.recurrence import describe
from hrmsearch.runtime import Options, Pass, compile
from hrmsearch.spec.load import loads
from hrmsearch.testing.examples import Example, example_graph
from hrmsearch_reference import Backend as Reference
from hrmsearch_torch import TorchExecutable, emit, kernels
from hrmsearch_torch.kernels import Scan, compiler
from tests.mixers import streamed
from tests.property.test_mixers import LANES, MIXERS
from tests.recurrences import CELLS, Cell, Results, arrays

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler")

Tensors = dict[str, torch.Tensor]
Form = Callable[..., Sequence[torch.Tensor]]
#: steps around a tile's end, and lanes around a vector's
shapes = st.tuples(
    st.integers(1, 3), st.sampled_from([1, 2, 31, 32, 33, 65]), st.sampled_from([1, 3, 8, 16, 17, 32, 35])
)
seeds = st.integers(0, 2**31)


@cache
def kernel(cell: Cell, width: int) -> tuple[Graph, Scan]:
    graph = cell.graph(width)
    return graph, Scan(describe(graph.functions["Recurrence"].body))


def called(scan: Scan) -> Form:
    def run(*operands: torch.Tensor) -> Sequence[torch.Tensor]:
        results = scan(*operands)
        return results if isinstance(results, tuple) else (results,)

    return run


def emitted(graph: Graph) -> Form:
    model = load_source(emit(graph), graph.name).Model()

    def run(*operands: torch.Tensor) -> Sequence[torch.Tensor]:
        return list(model(*operands)[0].values())

    return run


def leaves(inputs: Mapping[str, NDArray[np.float64]], dtype: torch.dtype) -> Tensors:
    """Return inputs as leaves; truth values have no gradient."""
    made = {name: torch.tensor(array) for name, array in inputs.items()}
    return {n: x if x.dtype == torch.bool else x.to(dtype).requires_grad_() for n, x in made.items()}


def weights(like: torch.Tensor) -> torch.Tensor:
    return torch.cos(torch.arange(like.numel(), dtype=like.dtype)).view(like.shape)


def with_gradients(form: Form, given_: Tensors, *, but: Sequence[int] = ()) -> list[torch.Tensor]:
    """Return a form's results, and the gradient of a fixed sum of them, some left out, in each input."""
    results = form(*given_.values())
    total = sum((value * weights(value)).sum() for i, value in enumerate(results) if i not in but)
    assert isinstance(total, torch.Tensor)
    found = torch.autograd.grad(total, [x for x in given_.values() if x.requires_grad], allow_unused=True)
    return [*results, *(torch.zeros(()) if grad is None else grad for grad in found)]


def held(got: Sequence[torch.Tensor], truth: Sequence[torch.Tensor], tolerance: float) -> None:
    for i, (x, y) in enumerate(zip(got, truth, strict=True)):
        scale = y.abs().max().clamp(min=1e-3)
        assert ((x.double() - y).abs().max() / scale).item() <= tolerance, i


@pytest.mark.parametrize("cell", CELLS, ids=str)
@given(shape=shapes, seed=seeds, float64=st.booleans())
def test_a_kernel_is_the_function_it_stands_for(
    cell: Cell, shape: tuple[int, int, int], seed: int, float64: bool
) -> None:
    batch, tokens, width = shape
    width = cell.widths[width % len(cell.widths)] if cell.widths else width
    graph, scan = kernel(cell, width)
    inputs = arrays(graph, {"B": batch, "T": tokens}, seed)
    truth = with_gradients(emitted(graph), leaves(inputs, torch.float64))
    got = with_gradients(called(scan), leaves(inputs, torch.float64 if float64 else torch.float32))
    held(got, truth, 1e-11 if float64 else 2e-5)
    expected, _ = Reference().compile(graph, Options(dtype="float64")).forward(Pass(inputs, reset=0), {})
    held(got[: len(expected)], [torch.tensor(array) for array in expected.values()], 1e-11 if float64 else 2e-5)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_result_that_nothing_reads_costs_no_gradient(cell: Cell) -> None:
    graph, scan = kernel(cell, 5)
    inputs = arrays(graph, {"B": 2, "T": 40}, 0)
    for left_out in range(len(graph.outputs)):
        if len(graph.outputs) > 1:
            truth = with_gradients(emitted(graph), leaves(inputs, torch.float64), but=[left_out])
            held(with_gradients(called(scan), leaves(inputs, torch.float64), but=[left_out]), truth, 1e-11)


def test_ops_of_one_text_but_other_axes_are_told_apart() -> None:
    def bodies(lanes: str) -> Scan:
        def body(_b: Builder, x: Value, h: Value) -> Results:
            return _b.linear_scan(_b.full(0.5, Type(DType.COMPUTE)), x, h)

        return kernel(Cell("axes", {"x": f"compute[B, T, {lanes}]", "h": f"compute[B, {lanes}]"}, body), 4)[1]

    one, two = bodies("D:{D}"), bodies("A:2, K:{D}")
    assert one.name != two.name
    for scan, shape in ((one, (3, 5, 4)), (two, (3, 5, 2, 4))):
        states, last = scan(torch.ones(shape), torch.zeros((shape[0], *shape[2:])))
        assert (states.shape, last.shape) == (shape, (shape[0], *shape[2:]))


def test_torch_finds_nothing_wrong_with_an_op() -> None:
    graph, scan = kernel(next(cell for cell in CELLS if cell.name == "varying"), 5)
    given_ = scan.arranged(*leaves(arrays(graph, {"B": 2, "T": 3}, 0), torch.float64).values())
    operands = tuple(x.detach().requires_grad_(x.is_floating_point()) for x in given_)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    for keep in (True, False):
        torch.library.opcheck(scan.op, (*operands, keep), test_utils=checks if keep else checks[:1])


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_nothing_is_kept_for_a_gradient_that_nobody_wants(cell: Cell) -> None:
    graph, scan = kernel(cell, 5)
    given_ = scan.arranged(*leaves(arrays(graph, {"B": 2, "T": 3}, 0), torch.float64).values())
    (*results, kept), (*same, none) = (scan.op(*given_, keep) for keep in (True, False))
    assert kept.numel() > 0
    assert none.numel() == 0
    for one, other in zip(results, same, strict=True):
        torch.testing.assert_close(one, other, rtol=0.0, atol=0.0)


def test_a_second_derivative_is_refused_by_name() -> None:
    graph, scan = kernel(CELLS[0], 5)
    inputs = leaves(arrays(graph, {"B": 2, "T": 3}, 0), torch.float64)
    (states, *_), x = called(scan)(*inputs.values()), inputs["x"]
    (first,) = torch.autograd.grad(states.square().sum(), [x], create_graph=True)
    with pytest.raises(BackendError, match=r"no second derivative; compile with kernels=False"):
        torch.autograd.grad(first.sum(), [x])


@contextmanager
def threads(n: int) -> Generator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_the_number_of_threads_changes_no_bit(cell: Cell) -> None:
    graph, scan = kernel(cell, 150)
    inputs = arrays(graph, {"B": 3, "T": 70}, 0)
    found: list[list[torch.Tensor]] = []
    for n in (1, 2, 5):
        with threads(n):
            found.append(with_gradients(called(scan), leaves(inputs, torch.float32)))
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_operands_may_lie_anyhow_in_memory() -> None:
    graph, scan = kernel(CELLS[1], 6)
    inputs = leaves(arrays(graph, {"B": 4, "T": 37}, 0), torch.float32)
    dense = with_gradients(called(scan), inputs)

    def odd(forget: torch.Tensor, x: torch.Tensor, bias: torch.Tensor, start: torch.Tensor) -> Sequence[torch.Tensor]:
        both = torch.cat((forget, x), dim=-1)
        return called(scan)(both[..., :6], x.mT.contiguous().mT, bias.flip(0).flip(0), start[:, :, None][..., 0])

    held(with_gradients(odd, inputs), [value.double() for value in dense], 0.0)


def test_reals_of_several_formats_meet_in_the_widest() -> None:
    graph, scan = kernel(CELLS[1], 6)
    inputs = {n: x.detach() for n, x in leaves(arrays(graph, {"B": 2, "T": 5}, 0), torch.float32).items()}
    mixed = inputs | {"x": inputs["x"].bfloat16()}
    states, _ = scan(*mixed.values())
    expected, _ = scan(*(inputs | {"x": mixed["x"].float()}).values())
    assert states.dtype == torch.float32
    assert torch.equal(states, expected)


@pytest.mark.filterwarnings("ignore")
def test_torch_compile_takes_an_op_without_a_break() -> None:
    graph, scan = kernel(CELLS[0], 5)
    inputs = leaves(arrays(graph, {"B": 2, "T": 3}, 0), torch.float64)
    compiled = torch.compile(called(scan), backend="aot_eager", fullgraph=True)
    held(with_gradients(compiled, inputs), with_gradients(called(scan), inputs), 1e-13)


# -- models ------------------------------------------------------------------------------------------------------------


#: those that are told which tokens to write
WRITING = ("hl_kernel", "slstm", "s4d")


@pytest.mark.parametrize("name", LANES)
def test_a_mixer_by_kernels_has_the_gradients_of_its_source(name: str) -> None:
    alone = streamed(MIXERS[name](), 8, write=name in WRITING)
    rng = np.random.default_rng(0)
    sizes = {"B": 3, "T": 35}
    inputs = {name: drawn(value.type, sizes, rng) for name, value in alone.graph.inputs.items()}
    weights = {name: drawn(value.type, sizes, rng) for name, value in alone.graph.outputs.items()}
    params = alone.params(0, 0.3)
    expected = alone.gradients(params, inputs, weights)
    for dtype, within in (("float64", 1e-9), ("float32", 2e-4)):
        for path, value in alone.gradients(params, inputs, weights, dtype, "kernels").items():
            error = np.abs(value - expected[path]).max() / max(np.abs(expected[path]).max(), 1e-6)
            assert error < within, (path, dtype, error)


def drawn(type_: Type, sizes: Mapping[str, int], rng: np.random.Generator) -> NDArray[Any]:
    values = rng.normal(size=type_.shape(sizes))
    return values > 0 if type_.dtype == DType.BOOL else values


def drawn_span() -> list[Pass]:
    rng = np.random.default_rng(0)
    return [
        Pass({name: rng.integers(0, 9, (3, 8)).astype(np.int32) for name in ("tokens", "targets")}, reset=3 * (i == 0))
        for i in range(2)
    ]


def test_a_model_trains_the_same_by_kernels_and_by_its_source() -> None:
    graph, span = lower(loads(STACKED)), drawn_span()
    found = [compile(graph, dtype="float64", kernels=use) for use in (True, False)]
    (fast, fast_gradients), (plain, gradients) = (e.loss_and_grads(span, e.init_carry(3, 8)) for e in found)
    assert fast.losses == pytest.approx(plain.losses, rel=1e-12)
    assert gradients.keys() == fast_gradients.keys()
    for path, value in gradients.items():
        np.testing.assert_allclose(fast_gradients[path], value, rtol=1e-9, atol=1e-12, err_msg=path)


def test_one_source_may_run_by_kernels_here_and_as_it_stands_there() -> None:
    graph = lower(loads(STACKED))
    fast, plain = (compile(graph, kernels=use) for use in (True, False))
    assert isinstance(fast, TorchExecutable)
    assert isinstance(plain, TorchExecutable)
    assert fast.source == plain.source
    methods = [{type(getattr(m, "recurrence", None)) for m in e.model.modules()} for e in (fast, plain)]
    assert Scan in methods[0]
    assert Scan not in methods[1]


def test_without_a_compiler_the_source_runs_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, span = lower(loads(STACKED)), drawn_span()
    plain = compile(graph, kernels=False)
    monkeypatch.setenv("CC", "/nowhere/cc")
    fallen = compile(graph)
    assert isinstance(fallen, TorchExecutable)
    assert Scan not in {type(getattr(m, "recurrence", None)) for m in fallen.model.modules()}
    (got, found), (wanted, expected) = (e.loss_and_grads(span, e.init_carry(3, 8)) for e in (fallen, plain))
    assert got.losses == wanted.losses
    assert all(np.array_equal(found[path], value) for path, value in expected.items())


def test_a_compiler_that_does_not_work_is_an_error_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", "false")

    def body(b: Builder, x: Value, h: Value) -> Results:  # the number makes it a kernel that nothing has built
        return b.linear_scan(b.full(0.1234, Type(DType.COMPUTE)), x, h)

    _, scan = kernel(Cell("broken", {"x": "compute[B, T, D:{D}]", "h": "compute[B, D:{D}]"}, body), 4)
    with pytest.raises(BackendError, match="refuses a generated kernel; mend it, or do without by --no-kernels"):
        scan(torch.ones(1, 2, 4), torch.ones(1, 4))


@pytest.mark.filterwarnings("ignore")
def test_torch_compile_takes_a_model_with_kernels_whole() -> None:
    executable = compile(lower(loads(STACKED)), dtype="float64")
    assert isinstance(executable, TorchExecutable)
    model, tokens = executable.model, torch.arange(24).view(3, 8) % 9
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    losses = [run(tokens, targets=tokens, reset=3)[0]["loss"] for run in (compiled, model)]
    one, other = (torch.autograd.grad(loss, list(model.parameters()), allow_unused=True) for loss in losses)
    for x, y in zip(one, other, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-12)


STACKED = """
spec: 1
name: stacked
model:
  dim: 8
  embed: {kind: token}
  core:
    kind: stack
    blocks:
      - {kind: residual, mixer: {kind: hl_kernel, lifetime: stream}}
      - {kind: residual, mixer: {kind: hl_kernel, gated: true, lifetime: window}}
  head: {kind: lm, read: last}
task: {kind: char_lm, corpus: [pydoc], window: 8, loader: contiguous}
"""


# -- functions ---------------------------------------------------------------------------------------------------------

FUNCTIONS = tuple(kind for kind in UNARY if kind != "rsqrt")


def every_function(b: Builder, x: Value, h: Value) -> Results:
    def step(h: Value, x: Value) -> list[Value]:
        return [h + x, *(b.op(kind, x) for kind in FUNCTIONS)]

    _, *found = b.scan("T", [h], [x], step, at=1)
    return tuple(found)


EVERY = Cell("functions", {"x": "compute[B, T, D:{D}]", "h": "compute[B, D:{D}]"}, every_function)


def evaluated(x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return every function of some numbers."""
    padded = torch.nn.functional.pad(x, (0, -len(x) % 16)).view(1, -1, 16)
    found = kernel(EVERY, 16)[1](padded, x.new_zeros(1, 16))
    return {kind: value.flatten()[: len(x)] for kind, value in zip(FUNCTIONS, found, strict=True)}


def by_torch(kind: str, x: torch.Tensor) -> torch.Tensor:
    return F.softplus(x, threshold=1000.0) if kind == "softplus" else getattr(torch, kind)(x)


def test_functions_of_float32_are_accurate_to_its_rounding() -> None:
    far, near = torch.linspace(-110, 110, 40001), torch.logspace(-30, 2, 20001)
    x = torch.cat((far, near, -near, torch.logspace(-44, 38, 20001)))
    for kind, got in evaluated(x).items():
        truth = by_torch(kind, x.double())
        finite = truth.isfinite() & (truth.abs() < 3.4e38)
        # a sine far out is as good as libm's; a result below the normal numbers is rounded as such
        error = (got.double() - truth).abs()[finite] / truth.abs()[finite].clamp(min=1.2e-38)
        assert error.max() < 4 * 2**-23, (kind, error.max(), x[finite][error.argmax()])


def test_functions_of_infinities_and_nan_are_those_of_torch() -> None:
    x = torch.tensor([float("inf"), float("-inf"), float("nan"), 0.0, -0.0, -1.0, 3e38, -3e38, 1e-45])
    for kind, got in evaluated(x).items():
        torch.testing.assert_close(got, by_torch(kind, x), equal_nan=True, msg=lambda m, kind=kind: f"{kind}: {m}")


def test_graphs_of_one_source_have_kernels_of_their_own_sizes() -> None:
    found: list[list[int]] = []
    for width in (2, 4):
        types = (f"compute[D:3, N:{width}, M:{width}]", f"compute[B, T, D:3, N:{width}]", f"compute[B, D:3, N:{width}]")
        graph = fuse(example_graph(Example("linear_scan", types, {"axis": "T", "mix": ["N", "M"], "form": None})))
        model = kernels.loaded(emit(graph), graph, "cpu").Model()
        a, x, start = (
            torch.rand(*shape, requires_grad=True) for shape in ((3, width, width), (2, 5, 3, width), (2, 3, width))
        )
        outputs, _ = model(a, x, start)
        (gradient,) = torch.autograd.grad(torch.stack([y.sum() for y in outputs.values()]).sum(), [a])
        found.append([*gradient.shape])
    assert found == [[3, 2, 2], [3, 4, 4]]
