"""Recurrences as torch ops: `hrmsearch::scan_<digest>`, with shapes for tracing and with gradients.

torch.compile takes them as they are. Operands and results are in a kernel's order; `Scan` turns the tensors of a
graph's types into it and back.
"""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import torch

from hrmsearch.errors import BackendError
from hrmsearch.ir.types import DType
from hrmsearch.recurrence import Recurrence, Role
from hrmsearch_torch.kernels.arrays import Frame, Sizes, Tensor, arranged, restored
from hrmsearch_torch.kernels.cpu import CpuKernel
from hrmsearch_torch.kernels.cuda import CudaKernel, LaneKernel, result_format
from hrmsearch_torch.kernels.cuda_heads import HeadKernel
from hrmsearch_torch.kernels.t_heads import fits

_LIBRARY = torch.library.Library("hrmsearch", "FRAGMENT")
_OPS: dict[str, "_Op"] = {}
_HALVES = (torch.float16, torch.bfloat16)


def _on_cuda(recurrence: Recurrence, dtype: torch.dtype) -> CudaKernel:
    return (HeadKernel if recurrence.products else LaneKernel)(recurrence, dtype, "scan")


#: what runs recurrences, by kind of device
_KERNELS: Mapping[str, Callable[[Recurrence, torch.dtype], CpuKernel | CudaKernel]] = {
    "cpu": CpuKernel,
    "cuda": _on_cuda,
}


class Scan:
    """A recurrence, called with tensors of a graph's types.

    op: what runs, over operands in a kernel's order. name: the op's, below `torch.ops.hrmsearch`.
    """

    def __init__(self, recurrence: Recurrence) -> None:
        self._ports = recurrence.operands
        self._results = recurrence.results
        self._frame = Frame(recurrence)
        self._floats = [i for i, port in enumerate(recurrence.operands) if port.is_float]
        made = _Op(recurrence)
        made = _OPS.setdefault(made.name, made)
        self.name, self.text, self.op = made.name, made.text, made.registered()
        self._devices = ("cpu", "cuda") if fits(recurrence) else ("cpu",)

    def runs_on(self, device: str) -> bool:
        """Return whether there is a kernel for a kind of device."""
        return device in self._devices

    def arranged(self, *operands: Tensor) -> list[Tensor]:
        """Return operands as the op takes them; reals of several formats meet in the widest, float32 at least."""
        sizes = self._frame.sizes(operands)
        dtype = _common([operands[i].dtype for i in self._floats])
        given = [arranged(x, port, sizes) for x, port in zip(operands, self._ports, strict=True)]
        for i in self._floats:
            # a GPU reads half precision as it is, where there is much to read
            if not (given[i].is_cuda and given[i].dtype in _HALVES and self._ports[i].role == Role.ALONG):
                given[i] = given[i].to(dtype)
        return given

    def __call__(self, *operands: Tensor) -> Any:
        """Return the results, those in the run's precision in the format that operands in it came in."""
        given = self.arranged(*operands)
        *results, _ = self.op(*given, torch.is_grad_enabled() and any(x.requires_grad for x in given))
        found = [restored(x, port) for x, port in zip(results, self._results, strict=True)]
        formats = [x.dtype for x, port in zip(operands, self._ports, strict=True) if port.type.dtype == DType.COMPUTE]
        if formats:
            narrow = reduce(torch.promote_types, formats)
            compute = [port.type.dtype == DType.COMPUTE for port in self._results]
            found = [x.to(narrow) if is_compute else x for x, is_compute in zip(found, compute, strict=True)]
        return found[0] if len(found) == 1 else tuple(found)


def _common(dtypes: Sequence[torch.dtype]) -> torch.dtype:
    return torch.float64 if torch.float64 in dtypes else torch.float32


class _Op:
    """The op of a recurrence. name: tells its source, and how many axes its operands have."""

    def __init__(self, recurrence: Recurrence) -> None:
        self._recurrence = recurrence
        self._kernels: dict[tuple[torch.dtype, str], CpuKernel | CudaKernel] = {}
        self._frame = Frame(recurrence, arranged=True)
        self._floats = [port.is_float for port in recurrence.operands]
        # C says all that a recurrence does, on any device
        said = f"{CpuKernel(recurrence, torch.float32).text}{self._frame.about}"
        self.name = f"scan_{hashlib.sha256(said.encode()).hexdigest()[:12]}"
        self._run: Any = None

    def _kernel(self, dtype: torch.dtype, device: str) -> CpuKernel | CudaKernel:
        key = dtype, device
        if key not in self._kernels:
            self._kernels[key] = _KERNELS[device](self._recurrence, dtype)
        return self._kernels[key]

    def text(self, dtype: torch.dtype, device: str = "cpu") -> str:
        """Return the source of a kernel for a number format and a kind of device."""
        return self._kernel(dtype, device).text

    def _of(self, operands: Sequence[Tensor]) -> tuple[CpuKernel | CudaKernel, Sizes]:
        dtype = _common([x.dtype for x, real in zip(operands, self._floats, strict=True) if real])
        return self._kernel(dtype, operands[0].device.type), self._frame.sizes(operands)

    def registered(self) -> Any:
        """Return the op, registered with torch once."""
        if self._run is not None:
            return self._run
        n, results, floats = len(self._floats), len(self._recurrence.results), sum(self._floats)
        names = [f"x{i}" for i in range(n)]
        takes = ", ".join(f"Tensor {name}" for name in names)
        back = ", ".join([takes, "Tensor kept", *(f"Tensor? g{i}" for i in range(results))])
        _LIBRARY.define(f"{self.name}({takes}, bool keep) -> ({', '.join(['Tensor'] * (results + 1))})")
        _LIBRARY.define(f"{self.name}_backward({back}) -> ({', '.join(['Tensor'] * floats)})")
        forms = {"": (self._forward, self._forward_shapes), "_backward": (self._backward, self._backward_shapes)}
        for suffix, (run, shapes) in forms.items():
            for device in _KERNELS:
                _LIBRARY.impl(f"{self.name}{suffix}", run, device.upper())
            torch.library.register_fake(f"hrmsearch::{self.name}{suffix}", shapes, lib=_LIBRARY)
        self._run = getattr(torch.ops.hrmsearch, self.name).default
        self._run_back = getattr(torch.ops.hrmsearch, f"{self.name}_backward").default
        torch.library.register_autograd(self._run, self._gradients, setup_context=_save, lib=_LIBRARY)
        torch.library.register_autograd(self._run_back, _no_second, lib=_LIBRARY)
        return self._run

    def _forward(self, *given: Any) -> tuple[Tensor, ...]:
        *operands, keep = given
        kernel, sizes = self._of(operands)
        return tuple(kernel.forward(operands, sizes, keep=keep))

    def _forward_shapes(self, *given: Any) -> tuple[Tensor, ...]:
        *operands, keep = given
        kernel, sizes = self._of(operands)
        wide = _common([x.dtype for x, real in zip(operands, self._floats, strict=True) if real])
        narrow = result_format(self._recurrence, operands)
        formats = [narrow if port.type.dtype == DType.COMPUTE else wide for port in self._recurrence.results]
        shapes = [sizes.shape(port) for port in self._recurrence.results]
        tiles = (sizes.steps + kernel.tile - 1) // kernel.tile if keep else 0
        shapes.append([sizes.row_count, tiles, self._recurrence.carries, sizes.lane_count])
        pairs = zip(shapes, [*formats, wide], strict=True)
        return tuple(operands[0].new_empty(shape, dtype=dtype) for shape, dtype in pairs)

    def _backward(self, *given: Tensor | None) -> tuple[Tensor, ...]:
        n = len(self._floats)
        operands = [x for x in given[:n] if x is not None]
        kernel, sizes = self._of(operands)
        kept = given[n]
        assert kept is not None, "checkpoints are no gradient"
        return tuple(kernel.backward(operands, kept, given[n + 1 :], sizes))

    def _backward_shapes(self, *given: Tensor | None) -> tuple[Tensor, ...]:
        operands = given[: len(self._floats)]
        reals = [x for x, real in zip(operands, self._floats, strict=True) if real and x is not None]
        return tuple(x.new_empty(x.shape) for x in reals)

    def _gradients(self, ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        *given, kept = ctx.saved_tensors
        found = iter(self._run_back(*given, kept, *gradients[:-1]))
        return (*(next(found) if real else None for real in self._floats), None)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    # a result that nothing reads has no gradient, and needs no tensor of zeros
    ctx.set_materialize_grads(False)
    *operands, _ = inputs
    ctx.save_for_backward(*operands, output[-1])


def _no_second(*_: Any) -> Any:
    raise BackendError("a generated kernel has no second derivative; compile with kernels=False for one")
