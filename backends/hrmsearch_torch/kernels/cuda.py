"""Calls the generated Triton of a recurrence on CUDA tensors."""

# triton has no annotations
# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from types import ModuleType
from typing import Any

import torch

from hrmsearch.emission import load_source
from hrmsearch.ir.types import DType
from hrmsearch.recurrence import Part, Recurrence, Role
from hrmsearch_torch.kernels.arrays import Laid, Sizes, Tensor, laid
from hrmsearch_torch.kernels.settings import Kind, Settings, Size, chosen
from hrmsearch_torch.kernels.t_heads import HeadText
from hrmsearch_torch.kernels.t_lanes import LaneText

#: lanes and rows that a program adds up at once
_ADDED = {"BLOCK": 32, "MANY": 128}


class CudaKernel(ABC):
    """A recurrence in Triton, for one number format to compute in: float32 or float64.

    forced: how to run it, forward and backward, whatever the table says.
    """

    def __init__(self, recurrence: Recurrence, dtype: torch.dtype, name: str, source: LaneText | HeadText) -> None:
        self.recurrence = recurrence
        self.dtype = dtype
        self.source = source
        self.forced: dict[bool, Settings] = {}
        self._name = name

    @property
    def tile(self) -> int:
        """Steps between two checkpoints."""
        return self.source.tile

    @property
    def text(self) -> str:
        """The Triton source."""
        return self.source.text(self._name)

    @cached_property
    def module(self) -> ModuleType:
        """The Triton source as a module."""
        return load_source(self.text, self._name)

    @abstractmethod
    def forward(self, operands: Sequence[Tensor], sizes: Sizes, *, keep: bool = True) -> list[Tensor]:
        """Return the results and the checkpoints, for operands in a kernel's order; none without `keep`."""

    @abstractmethod
    def backward(
        self, operands: Sequence[Tensor], kept: Tensor, gradients: Sequence[Tensor | None], sizes: Sizes
    ) -> list[Tensor]:
        """Return the gradients of the operands that are real numbers, for those of the results."""

    def size(self, kind: Kind, operands: Sequence[Tensor], sizes: Sizes, *, backward: bool) -> Size:
        """Return what settings are chosen for."""
        ports = zip(operands, self.recurrence.operands, strict=True)
        along = [x.element_size() for x, port in ports if port.role == Role.ALONG and port.is_float]
        return Size(backward, kind, min(along, default=4), sizes.row_count * sizes.lane_count, sizes.steps)

    # -- room --------------------------------------------------------------------------------------------------------

    def results(self, operands: Sequence[Tensor], sizes: Sizes, *, keep: bool) -> list[Tensor]:
        """Return room for the results, then for the checkpoints, if they are to be kept."""
        narrow = result_format(self.recurrence, operands)
        formats = [narrow if p.type.dtype == DType.COMPUTE else self.dtype for p in self.recurrence.results]
        shapes = [sizes.shape(port) for port in self.recurrence.results]
        tiles = -(-sizes.steps // self.tile) if keep else 0
        shapes.append([sizes.row_count, tiles, self.recurrence.carries, sizes.lane_count])
        pairs = zip(shapes, [*formats, self.dtype], strict=True)
        return [operands[0].new_empty(shape, dtype=dtype) for shape, dtype in pairs]

    def gradients(self, operands: Sequence[Tensor], sizes: Sizes) -> list[Tensor | None]:
        """Return room for what kernels write: the gradients of operands that a step or a carry's start reads."""
        found: list[Tensor | None] = []
        used = {part.port for part in (*self.recurrence.inputs, *self.recurrence.starts) if isinstance(part, Part)}
        for i, (port, operand) in enumerate(zip(self.recurrence.operands, operands, strict=True)):
            found.append(operand.new_empty(sizes.shape(port)) if port.is_float and i in used else None)
        return found

    def add(self, sums: Tensor, made: Sequence[Tensor | None], sizes: Sizes, width: int) -> None:
        """Write the gradients that are sums over chunks, and for parameters over rows.

        sums: [rows, chunks, n, lanes].
        """
        if not self.source.summed:
            return
        rows, chunks, n, lanes = sums.shape
        ports = [self.recurrence.operands[self.recurrence.inputs[i].port] for i in self.source.summed]
        grid = -(-lanes // _ADDED["BLOCK"]), n, rows if any(port.role == Role.ROW for port in ports) else 1
        self.module.add[grid](sums, *made, rows, chunks, L=lanes, K=width, REAL=real(self.dtype), **_ADDED)


class LaneKernel(CudaKernel):
    """A recurrence whose lanes never meet. tile: steps between two checkpoints, where the default is not wanted."""

    source: LaneText

    def __init__(self, recurrence: Recurrence, dtype: torch.dtype, name: str, tile: int | None = None) -> None:
        super().__init__(recurrence, dtype, name, LaneText(recurrence, tile))

    def forward(self, operands: Sequence[Tensor], sizes: Sizes, *, keep: bool = True) -> list[Tensor]:
        """Return the results and the checkpoints, for operands in a kernel's order; none without `keep`."""
        call = _Call(self, operands, sizes, backward=False)
        *made, kept = self.results(operands, sizes, keep=keep)
        reached = call.reached()
        if reached is not None:
            call("reach", call.chunks - 1, reached)
        call("forward", call.chunks, *made, kept if keep else None, reached)
        return [*made, kept]

    def backward(
        self, operands: Sequence[Tensor], kept: Tensor, gradients: Sequence[Tensor | None], sizes: Sizes
    ) -> list[Tensor]:
        """Return the gradients of the operands that are real numbers, for those of the results."""
        call = _Call(self, operands, sizes, backward=True)
        incoming = [None if gradient is None else gradient.contiguous() for gradient in gradients]
        made = self.gradients(operands, sizes)
        reached = call.reached()
        if reached is not None:
            call("reach_back", call.chunks - 1, *incoming, kept, reached)
        sums = kept.new_empty(sizes.row_count, call.chunks, len(self.source.summed), sizes.lane_count)
        call("backward", call.chunks, *incoming, *made, kept, reached, sums)
        self.add(sums, made, sizes, 1)
        return [x for x in made if x is not None]


class _Call:
    """One call: how steps are cut, and the arguments that all of its kernels take."""

    def __init__(self, kernel: LaneKernel, operands: Sequence[Tensor], sizes: Sizes, *, backward: bool) -> None:
        self._kernel, self._sizes = kernel, sizes
        self._given = [laid(*pair) for pair in zip(operands, kernel.recurrence.operands, strict=True)]
        self._lanes = sizes.lane_count
        settings = kernel.forced.get(backward) or self._chosen(operands, backward)
        self._settings = settings
        text = kernel.source
        cut = settings.chunks if backward or text.chunks.affine else 1
        tiles = -(-sizes.steps // text.tile)
        self._span = -(-tiles // cut) * text.tile
        self.chunks = -(-sizes.steps // self._span)

    def _chosen(self, operands: Sequence[Tensor], backward: bool) -> Settings:
        source, recurrence = self._kernel.source, self._kernel.recurrence
        kind = "fixed" if source.chunks.fixed else "varying"
        found = chosen(self._kernel.size(kind, operands, self._sizes, backward=backward))
        read = sum(operands[part.port].element_size() for part in recurrence.inputs if source.is_along(part))
        read += sum(self._kernel.dtype.itemsize for _ in recurrence.outputs) if backward else 0
        return found.within(read * source.tile)

    def reached(self) -> Tensor | None:
        """Return room for what chunks leave, if there are several."""
        shape = self._sizes.row_count, self.chunks, self._kernel.source.chunks.numbers, self._lanes
        like = self._given[0].tensor
        return like.new_empty(shape, dtype=self._kernel.dtype) if self.chunks > 1 else None

    def __call__(self, name: str, chunks: int, *arrays: Tensor | None) -> None:
        """Run a kernel on every block of lanes, row and chunk."""
        block, sizes = self._settings.block, self._sizes
        numbers = sizes.steps, self._span, self.chunks, sizes.row_count
        fixed = {
            **steps_apart(self._given), "L": self._lanes, "BLOCK": block, "STAGES": self._settings.stages,
            "REAL": real(self._kernel.dtype), "FULL": self._lanes % block == 0,
            "EVEN": sizes.steps % self._kernel.tile == 0, "num_warps": self._settings.warps,
        }  # fmt: skip
        grid = sizes.row_count * -(-self._lanes // block), chunks
        operands = [one.tensor for one in self._given]
        with torch.cuda.device_of(operands[0]):
            run = getattr(self._kernel.module, name)
            run[grid](*operands, *arrays, *numbers, *(one.row for one in self._given), **fixed)


def steps_apart(given: Sequence[Laid]) -> dict[str, int]:
    """Return how far apart the steps of each operand lie."""
    return {f"xs{i}": one.step for i, one in enumerate(given)}


def real(dtype: torch.dtype) -> Any:
    """Return Triton's name of a number format to compute in."""
    import triton.language as tl

    return tl.float64 if dtype == torch.float64 else tl.float32


def result_format(recurrence: Recurrence, operands: Sequence[Tensor]) -> torch.dtype:
    """Return the format of results in the run's precision: half where all that varies with the steps is."""
    ports = zip(recurrence.operands, operands, strict=True)
    along = {x.dtype for port, x in ports if port.role == Role.ALONG and port.is_float}
    return along.pop() if len(along) == 1 else torch.float32
