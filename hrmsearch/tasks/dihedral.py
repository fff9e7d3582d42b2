"""The eight symmetries of a square, numbered as in HRM's data builders.

0 leaves a grid as it is, 1 to 3 turn it by as many quarters, 4 mirrors left and right, 5 up and down, 6 transposes, 7
mirrors left and right what 1 gives.
"""

from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SYMMETRIES: Final = 8
#: which symmetry undoes each
INVERSE: Final = (0, 3, 2, 1, 4, 5, 6, 7)


def turned(grid: NDArray[Any], which: int) -> NDArray[Any]:
    """Return a grid [H, W] under a symmetry."""
    if which < 4:
        return np.rot90(grid, which)
    return (np.fliplr(grid), np.flipud(grid), grid.T, np.fliplr(np.rot90(grid)))[which - 4]


@cache
def places(side: int) -> NDArray[np.int64]:
    """Return [8, cells]: for each symmetry of a square board, which cell comes to each place."""
    cells = np.arange(side * side).reshape(side, side)
    return np.stack([turned(cells, which).ravel() for which in range(SYMMETRIES)])
