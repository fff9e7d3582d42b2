"""Spans laid out for a captured step: their arrays on the device, and the structure it is captured for."""

# tinygrad's own annotations are partial
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tinygrad.dtype import DType, dtypes
from tinygrad.tensor import Tensor

from hrmsearch.ir.binding import RESET, bind_sizes, reset_rows
from hrmsearch.runtime import Pass, Span
from hrmsearch_tinygrad.arrays import Array, Tensors, empty, tensor
from hrmsearch_tinygrad.program import Call, Program


@dataclass(frozen=True, slots=True)
class Laid:
    """A span ready to run.

    calls: its passes without their arrays. inputs: the arrays. carry, after: what it begins with, and memory for what
    it leaves, in the order of the states. key: all that a captured step depends on besides these tensors.
    """

    calls: tuple[Call, ...]
    inputs: list[Tensor]
    carry: list[Tensor]
    after: list[Tensor]
    key: Hashable


def lay(program: Program, span: Span, carry: Mapping[str, Any], *, by_rows: bool = False) -> Laid:
    """Put a span on the device.

    by_rows: a reset of all rows enters as that level for each. Then all resets are one structure, which is compiled
    once, and rows get the same bits whether or not others are reset with them; but a state that is restored in every
    row is no longer out of the gradient's way. Raises BackendError for inputs or a carry that do not fit the graph.
    """
    graph = program.graph
    # every pass is held to the carry, whose shapes stay
    sizes, *_ = [bind_sizes(graph, call.inputs, carry) for call in span]
    states = graph.states
    inputs = _Inputs(program, sizes.get("B") if by_rows and states else None)
    calls = tuple(inputs.call(call) for call in span)
    held = [carry[path] for path in states]
    after = [empty(op.result.type.shape(sizes), program.format(op.result.type)) for op in states.values()]
    shapes = tuple(tuple(value.shape) for value in (*inputs.tensors, *held))
    return Laid(calls, inputs.tensors, held, after, (calls, shapes))


def by_path(program: Program, held: list[Tensor]) -> Tensors:
    """Return the tensors of a carry by the paths of their states."""
    return dict(zip(program.graph.states, held, strict=True))


class _Inputs:
    """The arrays of a span's passes as tensors; one that several passes share is there once.

    rows: how many, where a reset of all of them is to enter by rows.
    """

    def __init__(self, program: Program, rows: int | None) -> None:
        self._program = program
        self._rows = rows
        # an array that is gone could lend its id to the next one, so they are kept
        self._places: dict[int, tuple[int, Array]] = {}
        self.tensors: list[Tensor] = []

    def call(self, call: Pass) -> Call:
        """Take in the arrays of a pass and return what is left of it."""
        declared = self._program.graph.inputs
        named = tuple(
            (name, self._place(array, self._program.format(declared[name].type)))
            for name, array in sorted(call.inputs.items())
            if name != RESET
        )
        if np.ndim(call.reset) == 0 and self._rows is None:
            return Call(named, int(call.reset), None, call.last)
        levels = np.asarray(call.reset) if self._rows is None else reset_rows(call.reset, self._rows)
        return Call(named, None, self._place(levels, dtypes.int8), call.last)

    def _place(self, array: Array, dtype: DType) -> int:
        if id(array) not in self._places:
            self._places[id(array)] = len(self.tensors), array
            self.tensors.append(tensor(np.asarray(array), dtype))
        return self._places[id(array)][0]
