"""What every backend must agree on when it runs a pass: symbol sizes, the reset of rows, and who takes candidates."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrmsearch.errors import BackendError
from hrmsearch.ir.graph import Graph, Op
from hrmsearch.ir.types import Lifetime, Size

Array = NDArray[Any]
#: the input that a pass's reset levels enter by
RESET = "reset"


def bind_sizes(graph: Graph, inputs: Mapping[str, Array], carry: Mapping[str, Any]) -> dict[str, int]:
    """Return the size of every symbol, `{"B": 2, "T": 64}`, from the shapes of a pass's inputs and carried states.

    Anything with a `shape` serves as a carried state. Raises BackendError for a name the graph does not have, a missing
    state, and a shape that contradicts its type or another shape.
    """
    declared = graph.inputs
    for name in inputs:
        if name not in declared:
            raise BackendError(f"input {name!r} is unknown; the graph takes: {', '.join(declared)}")
    typed = [(f"input {name!r}", declared[name].type, array.shape) for name, array in inputs.items()]
    for path, op in graph.states.items():
        if path not in carry:
            raise BackendError(f"the carry lacks state {path!r}")
        typed.append((f"state {path!r}", op.result.type, tuple(carry[path].shape)))
    sizes: dict[str, int] = {}
    for who, type_, shape in typed:
        if len(shape) != len(type_.axes):
            raise BackendError(f"{who} has shape {list(shape)}, its type is {type_}")
        for size, n in zip(type_.sizes, shape, strict=True):
            _bind(size, n, sizes)
    for who, type_, shape in typed:
        if not _fits(type_.sizes, shape, sizes):
            raise BackendError(f"{who} has shape {list(shape)}, its type is {type_} with {sizes}")
    return sizes


def carried(graph: Graph, arrays: Mapping[str, Array]) -> Mapping[str, Op]:
    """Return a graph's states by path, if arrays are there for all of them.

    Raises BackendError with those that are missing.
    """
    if lacking := [path for path in graph.states if path not in arrays]:
        raise BackendError(f"the carry lacks state {', '.join(lacking)}")
    return graph.states


def _bind(size: Size, n: int, sizes: dict[str, int]) -> None:
    """Bind a lone symbol once; sums and quotients are checked when every symbol is known."""
    if size.constant == 0 and len(size.terms) == 1 and size.terms[0][1] == 1:
        (symbol, _) = size.terms[0]
        if symbol in size.symbols:
            sizes.setdefault(symbol, n)


def _fits(axes: tuple[Size, ...], shape: tuple[int, ...], sizes: Mapping[str, int]) -> bool:
    """Return whether a shape is what its sizes say."""
    return all(size.symbols <= sizes.keys() and size.evaluate(sizes) == n for size, n in zip(axes, shape, strict=True))


def reset_rows(reset: int | Array, batch: int) -> NDArray[np.int8]:
    """Return reset levels as i8[B]; an integer stands for all rows."""
    return np.broadcast_to(np.asarray(reset, dtype=np.int8), (batch,))


def restores(state: Op, reset: int) -> bool:
    """Return whether a reset level that holds for all rows restores a state to its start."""
    return reset >= Lifetime.of(state.attrs["lifetime"])


def takes_candidate(state: Op, last: bool) -> bool:
    """Return whether a state takes its candidate after a pass.

    Otherwise it keeps the value that the pass began with, which is the one after its restore: a reset is never lost.
    """
    return last or state.attrs["commit"] == "every_pass"
