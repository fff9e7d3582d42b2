"""Tensors as a kernel wants them, and as a graph's types have them.

A kernel reads rows, steps, then lanes with parts around them (see `hrmsearch.recurrence.Port`). Tensors that lie so
already, which is the rule, are left as they are.
"""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch

from hrmsearch.recurrence import Port, Recurrence, Role

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of a call; several axes may make up the rows, and the lanes."""

    rows: tuple[int, ...]
    steps: int
    lanes: tuple[int, ...]

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return _product(self.rows)

    @property
    def lane_count(self) -> int:
        """How many lanes there are."""
        return _product(self.lanes)

    def shape(self, port: Port) -> list[int]:
        """Return a port's sizes in a kernel's order."""
        known = [size.known or 0 for size in port.type.sizes]
        before, after = ([known[at] for at in part] for part in (port.before, port.after))
        rows, lanes = (self.rows if port.rows else ()), list(self.lanes[: len(port.lanes)])
        if port.fold > 1:
            lanes[-1] *= port.fold
        return [*rows, *([self.steps] if port.steps else []), *before, *lanes, *after]


def _product(sizes: Sequence[int]) -> int:
    # math.prod would fix the sizes that a trace leaves open
    return reduce(operator.mul, sizes, 1)


class Frame:
    """Where the sizes of a recurrence are found among its operands.

    arranged: whether the operands are in a kernel's order, else as the graph's types have them.
    """

    def __init__(self, recurrence: Recurrence, *, arranged: bool = False) -> None:
        self._ports = recurrence.operands
        self._all = (*recurrence.operands, *recurrence.results)
        self._arranged = arranged
        n = len(recurrence.rows)
        self._where = [
            *(self._find("rows", k) for k in range(n)),
            self._find("steps", 0),
            *(self._find("lanes", k) for k in range(len(recurrence.lanes))),
        ]
        self._rows = n

    @property
    def about(self) -> str:
        """What two recurrences have in common whose operands and results have the same axes, whatever their names."""
        ports = [(port.role, len(port.rows), len(port.lanes), port.before, port.after, port.fold) for port in self._all]
        sizes = [[size.known for size in port.type.sizes] for port in self._all]
        parts = [
            [known[at] for at in (*port.before, *port.after)] for known, port in zip(sizes, self._all, strict=True)
        ]
        return repr((ports, parts))

    def sizes(self, operands: Sequence[Tensor]) -> Sizes:
        """Return the sizes of a call."""
        found = tuple(operands[i].shape[at] // fold for i, at, fold in self._where)
        return Sizes(found[: self._rows], found[self._rows], found[self._rows + 1 :])

    def _find(self, field: str, k: int) -> tuple[int, int, int]:
        """Return the first operand that has an axis, where, and how many parts are folded in it."""
        for i, port in enumerate(self._ports):
            ats: tuple[int | None, ...] = getattr(port, field)
            if k < len(ats) and (at := ats[k]) is not None:
                folded = field == "lanes" and k == len(ats) - 1
                return i, port.order.index(at) if self._arranged else at, port.fold if folded else 1
        raise AssertionError("some operand has each axis of the frame")


def arranged(tensor: Tensor, port: Port, sizes: Sizes) -> Tensor:
    """Return an operand with its axes in a kernel's order, what it lacks repeated."""
    if port.order == tuple(range(tensor.dim())):
        return tensor
    have = [at for at in port.order if at is not None]
    moved = tensor.permute(have)
    for i, at in enumerate(port.order):
        if at is None:
            moved = moved.unsqueeze(i)
    return moved.expand(sizes.shape(port))


def restored(tensor: Tensor, port: Port) -> Tensor:
    """Return a result with its axes in the order of its type."""
    order = [at for at in port.order if at is not None]
    if order == sorted(order):
        return tensor
    return tensor.permute([order.index(i) for i in range(len(order))])


@dataclass(frozen=True, slots=True)
class Laid:
    """A tensor as a kernel reads it, with how far apart its rows and its steps lie, in numbers."""

    tensor: Tensor
    row: int
    step: int


def laid(tensor: Tensor, port: Port) -> Laid:
    """Return a tensor whose lanes and parts are dense and whose rows are evenly spaced, copied if it must be."""
    if not tensor.is_contiguous() and not _is_even(tensor, port):
        tensor = tensor.contiguous()
    strides = tensor.stride()
    rows = len(port.rows)
    return Laid(tensor, strides[rows - 1] if rows else 0, strides[rows] if port.role == Role.ALONG else 0)


def _is_even(tensor: Tensor, port: Port) -> bool:
    rows, steps = len(port.rows), len(port.steps)
    inner = tensor.shape[rows + steps :]
    dense = [math.prod(inner[i + 1 :]) for i in range(len(inner))]
    strides = tensor.stride()
    pairs = zip(strides[rows + steps :], dense, inner, strict=True)
    if not all(stride == want or size == 1 for stride, want, size in pairs):
        return False
    shape = tensor.shape
    return all(strides[i] == strides[i + 1] * shape[i + 1] for i in range(rows - 1))
