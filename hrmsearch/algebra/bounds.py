"""When a linear map does not grow: the Jury criterion, and sums of rows, which bound products as well."""

from collections.abc import Callable, Sequence
from typing import Any

from hrmsearch.algebra.affine import Affine
from hrmsearch.algebra.ring import R


def jury(matrix: Sequence[Sequence[Any]]) -> tuple[Any, Any, Any]:
    """Return three margins, all positive exactly where both eigenvalues of a real 2x2 matrix lie inside the unit disc.

    They are 1 - tr + det, 1 + tr + det and 1 - det (Jury 1964), over any ring.
    """
    (p, q), (r, s) = matrix
    trace, det = p + s, p * s - q * r
    return 1 - trace + det, 1 + trace + det, 1 - det


def row_sums(affine: Affine[R], size: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Return the sums of the sizes of each row of a map's matrix; the larger bounds the spectral radius.

    As the norm of a matrix it is submultiplicative: maps whose rows sum to at most 1 compose to such maps.
    """
    first, second = (size(row[0]) + size(row[1]) for row in affine.matrix)
    return first, second
