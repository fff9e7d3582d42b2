"""Calls the generated Triton of a recurrence whose lanes meet within heads."""

from collections.abc import Sequence

import torch

from hrmsearch.recurrence import Product, Recurrence
from hrmsearch_torch.kernels.arrays import Sizes, Tensor, laid
from hrmsearch_torch.kernels.cuda import CudaKernel, real, steps_apart
from hrmsearch_torch.kernels.settings import chosen
from hrmsearch_torch.kernels.t_heads import HeadText


class HeadKernel(CudaKernel):
    """A recurrence with products, in Triton. precision: of the products, where the default is not wanted."""

    source: HeadText

    def __init__(self, recurrence: Recurrence, dtype: torch.dtype, name: str, precision: str | None = None) -> None:
        super().__init__(recurrence, dtype, name, HeadText(recurrence))
        self.precision = precision

    def forward(self, operands: Sequence[Tensor], sizes: Sizes, *, keep: bool = True) -> list[Tensor]:
        """Return the results and the checkpoints, for operands in a kernel's order; none without `keep`."""
        *made, kept = self.results(operands, sizes, keep=keep)
        self._call("forward", operands, sizes, [*made, kept if keep else None])
        return [*made, kept]

    def backward(
        self, operands: Sequence[Tensor], kept: Tensor, gradients: Sequence[Tensor | None], sizes: Sizes
    ) -> list[Tensor]:
        """Return the gradients of the operands that are real numbers, for those of the results."""
        incoming = [None if gradient is None else gradient.contiguous() for gradient in gradients]
        made = self.gradients(operands, sizes)
        rows, lanes = sizes.row_count, sizes.lane_count
        sums = kept.new_empty(rows, 1, len(self.source.summed), lanes)
        scratch = kept.new_empty(rows, self.tile, self.source.held, lanes)
        sides = [self._sides(kept, product, sizes) for product in self.recurrence.products]
        given = [*incoming, *made, kept, sums, scratch, *(side for pair in sides for side in pair)]
        self._call("backward", operands, sizes, given)
        self.add(sums, made, sizes, self.source.width)
        for product, (left, right) in zip(self.recurrence.products, sides, strict=True):
            found = torch.bmm(left.permute(1, 2, 0), right.transpose(0, 1))
            made[product.operand] = found.view(operands[product.operand].shape)
        return [x for x in made if x is not None]

    def _sides(self, like: Tensor, product: Product, sizes: Sizes) -> tuple[Tensor, Tensor]:
        """Return room for the two sides of a matrix's gradient: what it multiplied, and what its product got."""
        steps, width = sizes.row_count * sizes.steps, sizes.lanes[-1]
        heads = sizes.lane_count // width
        return like.new_empty(steps, heads, width), like.new_empty(steps, heads, product.parts * width)

    def _call(self, name: str, operands: Sequence[Tensor], sizes: Sizes, arrays: Sequence[Tensor | None]) -> None:
        backward = name == "backward"
        settings = self.forced.get(backward) or chosen(self.size("heads", operands, sizes, backward=backward))
        given = [laid(*pair) for pair in zip(operands, self.recurrence.operands, strict=True)]
        width, lanes = self.source.width, sizes.lane_count
        fixed = {
            **steps_apart(given), "L": lanes, "K": width, "ROWS": settings.block, "STAGES": settings.stages,
            "WIDTH": max(16, 1 << (width - 1).bit_length()), "PRECISION": self._precision(operands),
            "REAL": real(self.dtype), "FULL": True, "EVEN": True, "num_warps": settings.warps,
        }  # fmt: skip
        grid = -(-sizes.row_count // settings.block), lanes // width
        numbers = sizes.steps, sizes.steps, 1, sizes.row_count
        with torch.cuda.device_of(operands[0]):
            run = getattr(self.module, name)
            run[grid](*(one.tensor for one in given), *arrays, *numbers, *(one.row for one in given), **fixed)

    def _precision(self, operands: Sequence[Tensor]) -> str:
        """Return how products are rounded: as float32 is, but where half precision has come in."""
        if self.precision is not None:
            return self.precision
        halves = any(x.dtype in (torch.float16, torch.bfloat16) for x in operands)
        return "ieee" if self.dtype == torch.float64 else "tf32" if halves else "tf32x3"
