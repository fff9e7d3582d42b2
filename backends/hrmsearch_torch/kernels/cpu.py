"""Calls the generated C of a recurrence on CPU tensors."""

import ctypes
from collections.abc import Sequence
from functools import cached_property

import torch

from hrmsearch.recurrence import Recurrence
from hrmsearch_torch.kernels.arrays import Laid, Sizes, Tensor, laid
from hrmsearch_torch.kernels.build import build
from hrmsearch_torch.kernels.c_text import TILE, Kernel

_REALS = {torch.float32: "float", torch.float64: "double"}
#: lanes that a job takes at least: what a processor loads at once, several times over
_LANES = 64


class CpuKernel:
    """A recurrence in C, for one number format."""

    def __init__(self, recurrence: Recurrence, dtype: torch.dtype) -> None:
        self._recurrence = recurrence
        self._kernel = Kernel(recurrence, _REALS[dtype])
        self._dtype = dtype

    @property
    def text(self) -> str:
        """The C source."""
        return self._kernel.text

    @cached_property
    def _library(self) -> ctypes.CDLL:
        return build(self.text)

    def forward(self, operands: Sequence[Tensor], sizes: Sizes) -> list[Tensor]:
        """Return the results and the checkpoints, for operands in a kernel's order."""
        rows, lanes = sizes.row_count, sizes.lane_count
        given = [laid(*pair) for pair in zip(operands, self._recurrence.operands, strict=True)]
        made = [self._empty(*sizes.shape(port)) for port in self._recurrence.results]
        kept = self._empty(rows, -(-sizes.steps // TILE), self._recurrence.carries, lanes)
        self._call("forward", [*(one.tensor for one in given), *made, kept], given, rows, sizes.steps, lanes)
        return [*made, kept]

    def backward(
        self, operands: Sequence[Tensor], kept: Tensor, gradients: Sequence[Tensor | None], sizes: Sizes
    ) -> list[Tensor]:
        """Return the gradients of the operands that are real numbers, for those of the results."""
        rows, lanes = sizes.row_count, sizes.lane_count
        ports = self._recurrence.operands
        given = [laid(*pair) for pair in zip(operands, ports, strict=True)]
        dense = [None if gradient is None else gradient.contiguous() for gradient in gradients]
        made = [self._empty(*sizes.shape(port)) if port.is_float else None for port in ports]
        scratch = [self._empty(rows, n, lanes) for n in (self._recurrence.carries, len(self._kernel.parameters))]
        arrays = [*(one.tensor for one in given), kept, *dense, *made, *scratch]
        self._call("backward", arrays, given, rows, sizes.steps, lanes)
        return [tensor for tensor in made if tensor is not None]

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=self._dtype)

    def _call(
        self, name: str, arrays: Sequence[Tensor | None], given: Sequence[Laid], rows: int, steps: int, lanes: int
    ) -> None:
        threads = torch.get_num_threads()
        job = lanes if threads == 1 or rows >= 4 * threads else min(lanes, _LANES)
        numbers = [rows, steps, lanes, job, threads]
        for one in given:
            numbers += (one.row, one.step)
        addresses = [0 if array is None else array.data_ptr() for array in arrays]
        getattr(self._library, name)(
            (ctypes.c_void_p * len(addresses))(*addresses), (ctypes.c_int64 * len(numbers))(*numbers)
        )
