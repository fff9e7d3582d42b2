"""Generated Triton: on a CUDA device, or interpreted with TRITON_INTERPRET=1, against the C of the same recurrence.

The C is held to the graph by `test_torch_kernels`, so both tests together hold Triton to it. Where Triton is installed
and not interpreted, what is printed is also compiled for CUDA, which needs no device.
"""

# torch's own annotations are partial, triton has none
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingImports=false
# pyright: reportUnknownArgumentType=false, reportMissingModuleSource=false, reportUnknownLambdaType=false
# pyright: reportUnknownParameterType=false, reportPrivateUsage=false

import ast
import os
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrmsearch.recurrence import Recurrence, describe
from hrmsearch_torch.kernels import compiler
from hrmsearch_torch.kernels.arrays import Frame, arranged
from hrmsearch_torch.kernels.cpu import CpuKernel
from hrmsearch_torch.kernels.cuda import CudaKernel, LaneKernel, real
from hrmsearch_torch.kernels.cuda_heads import HeadKernel
from hrmsearch_torch.kernels.settings import Settings
from tests.recurrences import CELLS, Cell, arrays

TRITON = find_spec("triton") is not None
CUDA = torch.cuda.is_available() and TRITON
INTERPRETED = not CUDA and TRITON and os.environ.get("TRITON_INTERPRET") == "1"
runs = pytest.mark.skipif(
    not (CUDA or INTERPRETED) or compiler() is None,
    reason="no C compiler, or neither a CUDA device nor Triton with TRITON_INTERPRET=1",
)
compiles = pytest.mark.skipif(not TRITON or INTERPRETED, reason="no Triton, or it is interpreted")
LANES = [cell for cell in CELLS if not cell.widths]
DEVICE = "cuda" if CUDA else "cpu"
#: an interpreter takes its time, and so does compiling long tiles
TILE, BLOCK = (8, 32) if CUDA else (4, 4)
STEPS = (1, 8, 33, 70) if CUDA else (1, 4, 9)


@cache
def described(cell: Cell, width: int) -> Recurrence:
    return describe(cell.graph(width).functions["Recurrence"].body)


@cache
def kernel(cell: Cell, width: int, dtype: torch.dtype, chunks: int = 1, stages: int = 1) -> CudaKernel:
    recurrence = described(cell, width)
    if recurrence.products:
        made: CudaKernel = HeadKernel(recurrence, dtype, "fed_back", precision="ieee")
    else:
        made = LaneKernel(recurrence, dtype, f"scan_{cell.name}", TILE)
        made.forced = dict.fromkeys((False, True), Settings(BLOCK, 1, stages, chunks))
    if INTERPRETED:
        vars(made.module)["libdevice"] = library()
    return made


def library() -> Any:
    """Return what the interpreter lacks of CUDA's functions."""
    import triton.language as tl
    from triton.runtime.interpreter import TensorHandle

    def function(kind: str) -> Any:
        def run(x: Any) -> Any:
            return tl.tensor(TensorHandle(getattr(np, kind)(x.handle.data), x.handle.dtype), x.type)

        return run

    return SimpleNamespace(**{kind: function(kind) for kind in ("log1p", "expm1", "tanh")})


@pytest.fixture(autouse=True)
def with_numpy_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the interpreter of Triton 3.6 turn its scalars into integers, which it does in a way that NumPy gave up."""
    if not INTERPRETED:
        return
    from triton.runtime import interpreter

    patched = interpreter._patch_lang_tensor

    def patch(tensor: Any, scope: Any) -> None:
        patched(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", patch)


def operands(cell: Cell, width: int, sizes: dict[str, int], seed: int) -> list[torch.Tensor]:
    return [torch.tensor(array) for array in arrays(cell.graph(width), sizes, seed).values()]


def run(made: CudaKernel | CpuKernel, given_: Sequence[torch.Tensor], device: str, real: torch.dtype) -> Any:
    """Return results and gradients of a kernel."""
    recurrence = described_of(made)
    sizes = Frame(recurrence).sizes(given_)
    moved = [x.to(device) if x.dtype == torch.bool else x.to(device, real) for x in given_]
    laid = [arranged(x, port, sizes) for x, port in zip(moved, recurrence.operands, strict=True)]
    *results, kept = made.forward(laid, sizes)
    *unkept, _ = made.forward(laid, sizes, keep=False)
    assert all(torch.equal(one, other) for one, other in zip(results, unkept, strict=True))
    # the same bits for every device, whose cosines differ in the last ones
    weights = [torch.cos(torch.arange(y.numel(), dtype=torch.float64)).view(y.shape).to(y) for y in results]
    return [x.cpu() for x in (*results, *made.backward(laid, kept, weights, sizes))]


def described_of(made: CudaKernel | CpuKernel) -> Recurrence:
    return made.recurrence if isinstance(made, CudaKernel) else made._recurrence


def held(cell: Cell, width: int, made: CudaKernel, given_: Sequence[torch.Tensor], within: float) -> None:
    got = run(made, given_, DEVICE, made.dtype)
    truth = run(CpuKernel(described(cell, width), torch.float64), given_, "cpu", torch.float64)
    for i, (x, y) in enumerate(zip(got, truth, strict=True)):
        assert (x.double() - y).abs().max() <= within * y.abs().max().clamp(min=1e-3), i


@runs
@pytest.mark.parametrize(("chunks", "stages"), [(1, 1), (3, 2)])
@pytest.mark.parametrize("cell", LANES, ids=str)
@settings(max_examples=20 if CUDA else 2)
@given(st.integers(1, 3), st.sampled_from(STEPS), st.integers(0, 2**31), st.booleans())
def test_triton_is_the_c_of_a_recurrence(
    cell: Cell, chunks: int, stages: int, rows: int, steps: int, seed: int, float64: bool
) -> None:
    dtype = torch.float64 if float64 else torch.float32
    given_ = operands(cell, 5, {"B": rows, "T": steps}, seed)
    held(cell, 5, kernel(cell, 5, dtype, chunks, stages), given_, 1e-11 if float64 else 2e-5)


@runs
@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell.widths], ids=str)
@settings(max_examples=20 if CUDA else 2)
@given(st.sampled_from([3, 16]), st.sampled_from([1, 17]), st.sampled_from([1, 18, 33]), st.integers(0, 2**31))
def test_triton_is_the_c_of_a_recurrence_that_feeds_back(
    cell: Cell, width: int, rows: int, steps: int, seed: int
) -> None:
    given_ = operands(cell, width, {"B": rows, "T": steps}, seed)
    held(cell, width, kernel(cell, width, torch.float32), given_, 2e-5)


@pytest.mark.parametrize("cell", LANES, ids=str)
def test_printed_triton_is_python(cell: Cell) -> None:
    tree = ast.parse(LaneKernel(described(cell, 5), torch.float32, "scan").text)
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert names >= {"forward", "backward", "reach_back"}


# -- compiled ----------------------------------------------------------------------------------------------------------


def sources(made: CudaKernel, half: bool = False) -> Iterator[Any]:
    """Yield what Triton compiles for each of a recurrence's functions; half: bfloat16 at every step."""
    from triton.compiler import ASTSource

    for name in ("forward", "reach", "backward", "reach_back", "add"):
        function = getattr(made.module, name, None)
        if function is not None:
            types, fixed = signature(made, function.arg_names, half)
            yield ASTSource(function, types, constexprs=fixed)


def signature(made: CudaKernel, names: Sequence[str], half: bool) -> tuple[dict[str, str], dict[str, Any]]:
    double = made.dtype == torch.float64
    fixed: dict[str, Any] = {
        "L": 128, "K": 64 if isinstance(made, HeadKernel) else 1, "BLOCK": 64, "STAGES": 2, "REAL": real(made.dtype),
        "FULL": True, "EVEN": False, "ROWS": 16, "WIDTH": 64, "PRECISION": "ieee" if double else "tf32x3", "MANY": 128,
    }  # fmt: skip
    types: dict[str, str] = {}
    for name in names:
        kind, at = name.rstrip("0123456789"), name.lstrip("abcdefghijklmnopqrstuvwxyz")
        if name in fixed or kind == "xs":
            types[name] = "constexpr"
        elif name in ("T", "span", "chunks", "rows") or kind == "xr":
            types[name] = "i32"
        elif kind in ("x", "e") and not made.recurrence.operands[int(at)].is_float:
            types[name] = "*i1"
        else:
            along = kind in "xerg" and bool(ports(made, kind)[int(at)].steps)
            types[name] = "*bf16" if half and along else "*fp64" if double else "*fp32"
    return types, {n: fixed.get(n, 128) for n, kind in types.items() if kind == "constexpr"}


def ports(made: CudaKernel, kind: str) -> Sequence[Any]:
    return made.recurrence.operands if kind in "xe" else made.recurrence.results


def printed(cell: Cell, dtype: torch.dtype) -> CudaKernel:
    """Return a kernel with short tiles, for they are written out."""
    recurrence = described(cell, 64)
    return HeadKernel(recurrence, dtype, "scan") if recurrence.products else LaneKernel(recurrence, dtype, "scan", 2)


#: compiling takes seconds, so that by default one of them stands for all
EVERY = [
    pytest.param(cell, half, id=f"{cell}-{'bfloat16' if half else 'float32'}", marks=() if first else pytest.mark.slow)
    for cell in CELLS
    for half in (False, True)
    for first in [str(cell) == "gated" and half]
]


@compiles
@pytest.mark.parametrize(("cell", "half"), EVERY)
def test_printed_triton_compiles_for_cuda(cell: Cell, half: bool) -> None:
    import triton
    from triton.backends.compiler import GPUTarget

    made = printed(cell, torch.float32)
    for source in sources(made, half):
        options = {"num_warps": 2 if not made.recurrence.products else 8}
        compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
        assert compiled.asm["cubin"]


@compiles
@pytest.mark.parametrize(
    "cell", [pytest.param(c, id=str(c), marks=pytest.mark.slow if c.widths else ()) for c in CELLS]
)
def test_a_kernel_in_float64_computes_nothing_in_less(cell: Cell) -> None:
    """Python's numbers are float32 in Triton where nothing tells it more; those printed are exact in it."""
    for source in sources(printed(cell, torch.float64)):
        narrow = [line.split(" loc(")[0] for line in intermediate(source).splitlines() if "f32" in line]
        other = [line for line in narrow if "arith.constant" not in line and "arith.extf" not in line]
        assert not other, source.name
        numbers = {found for line in narrow for found in re.findall(r"arith.constant (?:dense<)?([-+.e\d]+)", line)}
        assert numbers <= {"0.000000e+00", "1.000000e+00", "-1.000000e+00"}


def intermediate(source: Any) -> str:
    """Return what Triton makes of a function before anything is optimised away."""
    from triton._C.libtriton import ir
    from triton.backends.compiler import GPUTarget
    from triton.compiler.compiler import make_backend

    target = GPUTarget("cuda", 90, 32)
    backend: Any = make_backend(target)
    options, context = backend.parse_options({}), ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    functions = backend.get_codegen_implementation(options), backend.get_module_map()
    return str(source.make_ir(target, options, *functions, context))
