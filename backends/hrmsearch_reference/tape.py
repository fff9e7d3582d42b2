"""The tape: evaluates eagerly, and remembers how to evaluate again what depends on parameters.

A cell holds an array and its reach: the paths of the parameters that lead to it without crossing a `detach`. Reach is
structural, so a gradient that happens to be zero is still a gradient. Only applications with reach are recorded; a
re-evaluation for moved parameters takes everything else as it was, which is exactly what detaching means.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrmsearch.ir import DType

Array = NDArray[Any]
Function = Callable[[Sequence[Array]], Array]
NOTHING: frozenset[str] = frozenset()

_NUMPY: Mapping[DType, type[np.generic]] = {DType.I32: np.int32, DType.I8: np.int8, DType.BOOL: np.bool_}


def numpy_dtype(dtype: DType) -> type[np.generic]:
    """Return how the reference holds a number format: every float is float64."""
    return _NUMPY.get(dtype, np.float64)


@dataclass(eq=False, slots=True)
class Cell:
    """A value of the run at hand."""

    array: Array
    reach: frozenset[str] = NOTHING

    def detached(self) -> "Cell":
        """Return the value without its reach."""
        return Cell(self.array)


@dataclass(frozen=True, slots=True)
class _Step:
    function: Function
    inputs: Sequence[Cell]
    output: Cell


@dataclass(slots=True)
class Tape:
    """The recorded applications of a run, in order."""

    steps: list[_Step] = field(default_factory=list[_Step])

    def apply(self, function: Function, inputs: Sequence[Cell], dtype: DType, *, cut: bool = False) -> Cell:
        """Evaluate a function; cut: gradient does not cross it, as it never crosses into integers."""
        array = np.asarray(function([cell.array for cell in inputs]), numpy_dtype(dtype))
        reach = NOTHING if cut or not dtype.is_float else NOTHING.union(*(cell.reach for cell in inputs))
        cell = Cell(array, reach)
        if reach:
            self.steps.append(_Step(function, inputs, cell))
        return cell

    def replay(self, targets: Sequence[Cell], paths: frozenset[str]) -> Callable[[Mapping[Cell, Array]], list[Array]]:
        """Return a function from moved cells to the targets' arrays, where cells of `paths` only are moved."""
        wanted, steps = set(targets), list[_Step]()
        for step in reversed(self.steps):
            if step.output in wanted and step.output.reach & paths:
                wanted.update(step.inputs)
                steps.append(step)
        steps.reverse()

        def run(moved: Mapping[Cell, Array]) -> list[Array]:
            now = dict(moved)
            for step in steps:
                now[step.output] = step.function([now.get(cell, cell.array) for cell in step.inputs])
            return [now.get(cell, cell.array) for cell in targets]

        return run
