"""Gradients by finite differences of the losses on a tape: slow, for tiny shapes, and right by construction."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from hrmsearch_reference.tape import Array, Cell, Tape

# The first step, as a part of a parameter's size: embeddings are small and normalised later, so an absolute step would
# be too long for them. Richardson's combination leaves an error of order h^4, near 1e-10; rounding is of order eps / h.
_STEP = 3e-3
# Two estimates in a row that agree this well are taken; others straddle a kink, of `abs` say, and the step is halved.
_AGREE = 1e-7
_ROUNDING = 5e-14
_HALVINGS = 9

_Total = Callable[[Mapping[Cell, Array]], float]


def gradients(tape: Tape, losses: Sequence[Cell], params: Mapping[str, Cell]) -> dict[str, Array]:
    """Return the gradient of the summed losses by path, for the parameters that reach them.

    Six partial evaluations per parameter entry, more beside a kink.
    """
    reached = frozenset[str]().union(*(loss.reach for loss in losses))
    return {path: _gradient(tape, losses, path, cell) for path, cell in params.items() if path in reached}


def _gradient(tape: Tape, losses: Sequence[Cell], path: str, cell: Cell) -> Array:
    total, step = _total(tape, losses, frozenset({path})), _STEP * _scale(cell.array)

    def along(h: float, i: int) -> float:
        return total({cell: _moved(cell.array, i, h)})

    entries = [_slope(partial(along, i=i), step, _size(losses)) for i in range(cell.array.size)]
    return np.reshape(np.asarray(entries, np.float64), cell.array.shape)


def directional(
    tape: Tape, losses: Sequence[Cell], params: Mapping[str, Cell], direction: Mapping[str, Array]
) -> float:
    """Return the derivative of the summed losses along a direction of parameters: six partial evaluations in all."""
    total = _total(tape, losses, frozenset(direction))
    norm = math.sqrt(sum(float(np.sum(a * a)) / _scale(params[path].array) ** 2 for path, a in direction.items()))
    if norm == 0.0:
        return 0.0

    def along(h: float) -> float:
        return total({params[path]: params[path].array + h * array for path, array in direction.items()})

    return _slope(along, _STEP / norm, _size(losses))


def _size(losses: Sequence[Cell]) -> float:
    return sum(abs(float(loss.array)) for loss in losses)


def _scale(array: Array) -> float:
    """Return the root mean square of a parameter's entries; 1 where there is none."""
    return math.sqrt(float(np.mean(array * array))) or 1.0 if array.size else 1.0


def _total(tape: Tape, losses: Sequence[Cell], paths: frozenset[str]) -> _Total:
    replay = tape.replay(losses, paths)
    return lambda moved: float(sum(float(loss) for loss in replay(moved)))


def _moved(array: Array, i: int, by: float) -> Array:
    moved = array.copy()
    moved.flat[i] += by
    return moved


def _slope(function: Callable[[float], float], step: float, size: float) -> float:
    """Return the derivative at 0 by Richardson's combination of central differences; size: of the function's values."""

    def central(h: float) -> float:
        return (function(h) - function(-h)) / (2 * h)

    noise = _ROUNDING * size / step
    wide, narrow = central(step), central(step / 2)
    best, gap = (4 * narrow - wide) / 3, math.inf
    older = best
    for k in range(2, _HALVINGS):
        wide, narrow = narrow, central(step / 2**k)
        newer = (4 * narrow - wide) / 3
        if abs(newer - older) < gap:
            best, gap = older, abs(newer - older)
        if gap <= _AGREE * abs(best) + noise:
            break
        older = newer
    return best
