"""Calls the generated C of a recurrence on CPU tensors."""

import ctypes
from collections.abc import Sequence
from functools import cached_property

import torch

from hrmsearch.recurrence import Recurrence
from hrmsearch_torch.kernels.arrays import Laid, Sizes, Tensor, laid
from hrmsearch_torch.kernels.build import build
from hrmsearch_torch.kernels.c_heads import HeadKernel
from hrmsearch_torch.kernels.c_lanes import LaneKernel

_REALS = {torch.float32: "float", torch.float64: "double"}
#: lanes that a job takes at least: what a processor loads at once, several times over
_LANES = 64


class CpuKernel:
    """A recurrence in C, for one number format."""

    def __init__(self, recurrence: Recurrence, dtype: torch.dtype) -> None:
        self._recurrence = recurrence
        self._kernel = (HeadKernel if recurrence.products else LaneKernel)(recurrence, _REALS[dtype])
        self._dtype = dtype

    @property
    def tile(self) -> int:
        """Steps between two checkpoints."""
        return self._kernel.tile

    @property
    def text(self) -> str:
        """The C source."""
        return self._kernel.text

    @cached_property
    def _library(self) -> ctypes.CDLL:
        return build(self.text)

    def forward(self, operands: Sequence[Tensor], sizes: Sizes, *, keep: bool = True) -> list[Tensor]:
        """Return the results and the checkpoints, for operands in a kernel's order; none without `keep`."""
        rows, lanes = sizes.row_count, sizes.lane_count
        given = [laid(*pair) for pair in zip(operands, self._recurrence.operands, strict=True)]
        made = [self._empty(*sizes.shape(port)) for port in self._recurrence.results]
        kept = self._empty(rows, -(-sizes.steps // self._kernel.tile), self._recurrence.carries, lanes)
        self._call("forward", [*(one.tensor for one in given), *made, kept], given, rows, sizes.steps, lanes)
        # the C writes them either way
        return [*made, kept if keep else kept.new_empty(rows, 0, self._recurrence.carries, lanes)]

    def backward(
        self, operands: Sequence[Tensor], kept: Tensor, gradients: Sequence[Tensor | None], sizes: Sizes
    ) -> list[Tensor]:
        """Return the gradients of the operands that are real numbers, for those of the results."""
        rows, lanes = sizes.row_count, sizes.lane_count
        ports = self._recurrence.operands
        given = [laid(*pair) for pair in zip(operands, ports, strict=True)]
        dense = [None if gradient is None else gradient.contiguous() for gradient in gradients]
        matrices = {product.operand: product for product in self._recurrence.products}
        written = [port.is_float and i not in matrices for i, port in enumerate(ports)]
        made = [self._empty(*sizes.shape(port)) if real else None for port, real in zip(ports, written, strict=True)]
        scratch = [self._empty(rows, n, lanes) for n in (self._recurrence.carries, len(self._kernel.parameters))]
        sides = [self._sides(i, sizes, made) for i, _ in enumerate(self._recurrence.products)]
        arrays = [*(one.tensor for one in given), kept, *dense, *made, *scratch, *(x for pair in sides for x in pair)]
        self._call("backward", arrays, given, rows, sizes.steps, lanes)
        for product, pair in zip(self._recurrence.products, sides, strict=True):
            made[product.operand] = _multiplied(*pair).view(operands[product.operand].shape)
        return [tensor for tensor in made if tensor is not None]

    def _sides(self, number: int, sizes: Sizes, made: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
        """Return room for the two sides of a matrix's gradient: what it multiplied, and what its product got.

        The second is the gradient of an operand, which is made anyway, where the product is only ever added to that.
        """
        assert isinstance(self._kernel, HeadKernel), "no other kernel has products"
        steps, width = sizes.row_count * sizes.steps, sizes.lanes[-1]
        shape = steps, sizes.lane_count // width, self._recurrence.products[number].parts * width
        twin = self._kernel.twin(number)
        gradient = None if twin is None else made[twin]
        vector = self._empty(*shape[:2], width)
        return vector, self._empty(*shape) if gradient is None else gradient.view(shape)

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


def _multiplied(vectors: Tensor, gradients: Tensor) -> Tensor:
    """Return each head's sum over rows and steps of vector times gradient."""
    return torch.bmm(vectors.permute(1, 2, 0), gradients.transpose(0, 1))
