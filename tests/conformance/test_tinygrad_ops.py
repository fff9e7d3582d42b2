"""Every op as tinygrad writes it: values against the op table, gradients against torch, both in float64.

tinygrad compiles every new kernel, so all examples run together, and each test looks at one.
"""

# tinygrad's and torch's own annotations are partial
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

pytest.importorskip("tinygrad", reason="tinygrad is not installed")

from tinygrad.dtype import dtypes
from tinygrad.helpers import Context
from tinygrad.tensor import Tensor

from hrmsearch.emission import load_source
from hrmsearch.errors import BackendError
from hrmsearch.ir import Graph
from hrmsearch.runtime import Options, Pass
from hrmsearch.testing.examples import Example, example_graph, example_inputs, examples
from hrmsearch_reference import Backend as Reference
from hrmsearch_tinygrad import emit, helpers
from hrmsearch_torch import emit as emit_torch
from tests.ops import graph_of
from tests.tinygrad_cpu import needs_tinygrad, plain_kernels

pytestmark = [needs_tinygrad, pytest.mark.usefixtures(plain_kernels.__name__)]

Array = NDArray[Any]
Arrays = dict[str, Array]
SIZES = {"B": 2, "T": 3}


def scans(form: str | None, steps: int) -> list[Example]:
    """Return a scan of each sort, over so many steps."""
    x, row, time, square = f"compute[B, T:{steps}, D:2]", "compute[B, D:2]", f"T:{steps}", "N:2, D:2"
    attrs = {"axis": "T", "form": form}
    return [
        Example("linear_scan", ("compute[D:2]", x, row), attrs | {"mix": None}),
        Example("linear_scan", (x, x, row), attrs | {"mix": None}),
        Example("linear_scan", (f"compute[{square}]", x, row), attrs | {"mix": ["D", "N"]}),
        Example("linear_scan", (f"compute[{time}, {square}, B]", x, row), attrs | {"mix": ["D", "N"]}),
    ]


# nine steps are more than a chunk; either form gets an elementwise scan and one by matrices, one with a lone transition
EXAMPLES = [*examples(), *scans("chunk", 9)[::3], *scans("step", 3)[1:3]]


@pytest.fixture(scope="module")
def ran(plain_kernels: None) -> Mapping[str, tuple[Arrays, Arrays, Arrays]]:
    """Return by example: its inputs, its outputs, and the gradient of a fixed function of them in each float input."""
    del plain_kernels
    waiting: dict[str, tuple[Arrays, dict[str, Tensor], dict[str, Tensor]]] = {}
    with Context(DEV="CPU", DEFAULT_FLOAT="float64"):
        for example in EXAMPLES:
            graph = graph_of(example)
            arrays = inputs_of(graph)
            given = {name: Tensor(array).realize() for name, array in arrays.items()}
            outputs, _ = load_source(emit(graph), str(example), "float64").Model()(**given)
            floats = {name: value for name, value in given.items() if value.dtype == dtypes.float64}
            parts = [(value * Tensor(weights(value.shape))).sum() for value in outputs.values() if differs(value)]
            total = Tensor.stack(*parts).sum() if parts else Tensor(0.0)
            gradients = total.gradient(*floats.values()) if floats else []
            waiting[str(example)] = arrays, outputs, dict(zip(floats, gradients, strict=True))
        parts = [part for _, *both in waiting.values() for held in both for part in held.values()]
        Tensor.realize(*(part for part in parts if not part.uop.is_virtual))
        return {name: (arrays, to_numpy(out), to_numpy(grads)) for name, (arrays, out, grads) in waiting.items()}


def inputs_of(graph: Graph) -> Arrays:
    return example_inputs(graph, SIZES, np.random.default_rng(0))


def weights(shape: Any) -> Array:
    """Return what an output's entries are multiplied with before they are summed."""
    return np.random.default_rng(1).uniform(0.5, 1.5, shape)


def differs(value: Any) -> bool:
    """Return whether an output depends smoothly on anything."""
    return value.dtype in (dtypes.float64, torch.float64)


def to_numpy(tensors: Mapping[str, Tensor]) -> Arrays:
    return {name: value.numpy() for name, value in tensors.items()}


def close(got: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name].shape == value.shape
        np.testing.assert_allclose(got[name], value, rtol=1e-10, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_op_has_its_meaning(example: Example, ran: Mapping[str, tuple[Arrays, Arrays, Arrays]]) -> None:
    arrays, outputs, _ = ran[str(example)]
    expected, _ = Reference().compile(graph_of(example), Options(dtype="float64")).forward(Pass(arrays, reset=0), {})
    close(outputs, expected)
    for name, value in expected.items():
        assert outputs[name].dtype == value.dtype


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_op_has_the_gradient_that_torch_has(
    example: Example, ran: Mapping[str, tuple[Arrays, Arrays, Arrays]]
) -> None:
    arrays, _, gradients = ran[str(example)]
    given = {name: torch.tensor(a, requires_grad=a.dtype == np.float64) for name, a in arrays.items()}
    outputs, _ = load_source(emit_torch(graph_of(example)), str(example)).Model().eval()(**given)
    parts = [(value * torch.tensor(weights(value.shape))).sum() for value in outputs.values() if differs(value)]
    floats = [value for value in given.values() if value.requires_grad]
    if not any(part.requires_grad for part in parts):
        assert not any(array.any() for array in gradients.values())
        return
    found = torch.autograd.grad(torch.stack(parts).sum(), floats, materialize_grads=True)
    close(gradients, {name: gradient.numpy() for name, gradient in zip(gradients, found, strict=True)})


def test_a_form_that_tinygrad_lacks_is_refused() -> None:
    (scan, *_) = scans("fft", 3)
    with pytest.raises(BackendError, match="tinygrad has no form 'fft' of linear_scan; it has: step, chunk, scan"):
        emit(example_graph(scan))


SMOOTH: Mapping[str, tuple[Callable[[Tensor], Tensor], Callable[[torch.Tensor], torch.Tensor]]] = {
    "expm1": (helpers.expm1, torch.expm1),
    "log1p": (helpers.log1p, torch.log1p),
    "erf": (helpers.erf, torch.erf),
    "gelu": (helpers.gelu, torch.nn.functional.gelu),
    "sigmoid": (helpers.sigmoid, torch.sigmoid),
    "silu": (helpers.silu, torch.nn.functional.silu),
    "tanh": (Tensor.tanh, torch.tanh),
    "softplus": (Tensor.softplus, lambda x: torch.nn.functional.softplus(x, threshold=40.0)),
}


def test_functions_keep_their_digits_near_zero_and_their_gradients_far_from_it() -> None:
    near = np.concatenate([sign * np.geomspace(1e-9, 8.0, 40) for sign in (-0.12, 1.0)])
    far = np.array([-700.0, -100.0, -89.0, -20.0, 20.0, 60.0, 100.0, 600.0])
    at = {name: near if name in ("expm1", "log1p") else np.concatenate([near, far]) for name in SMOOTH}
    found: dict[str, tuple[Tensor, Tensor]] = {}
    with Context(DEV="CPU"):
        for name, (function, _) in SMOOTH.items():
            x = Tensor(at[name]).realize()
            y = function(x)
            (gradient,) = y.sum().gradient(x)
            found[name] = y, gradient
        Tensor.realize(*(part for pair in found.values() for part in pair))
    for name, (_, function) in SMOOTH.items():
        x = torch.tensor(at[name], requires_grad=True)
        y = function(x)
        (gradient,) = torch.autograd.grad(y.sum(), [x])
        exact = name in ("expm1", "log1p", "erf")
        value, slope = (tensor.numpy() for tensor in found[name])
        np.testing.assert_allclose(value, y.detach().numpy(), rtol=1e-13, atol=0.0 if exact else 1e-15, err_msg=name)
        np.testing.assert_allclose(slope, gradient.numpy(), rtol=1e-12, atol=1e-13, err_msg=name)
