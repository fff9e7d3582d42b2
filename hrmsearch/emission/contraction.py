"""Einsums as a person writes them: `x @ w` where one matrix product does it, a side transposed at need."""

from collections.abc import Sequence

from hrmsearch.emission.dialect import Scope
from hrmsearch.emission.syntax import Expr
from hrmsearch.ir.graph import Op
from hrmsearch.ir.ops import einsum_words

Words = Sequence[str]


def factors(scope: Scope, op: Op, x: Sequence[Expr]) -> tuple[Expr, Expr] | None:
    """Return what to multiply as matrices for an einsum, in either order, or None where it is no such product."""
    operands, result = einsum_words(op)
    if len(x) != 2:
        return None
    pairs = list(zip(operands, x, strict=True))
    for (left, a), (right, b) in ((pairs[0], pairs[1]), (pairs[1], pairs[0])):
        flips = product(left, right, result)
        if flips is not None:
            a, b = (scope.dialect.flipped(side) if flip else side for side, flip in zip((a, b), flips, strict=True))
            return a, b
    return None


def product(left: Words, right: Words, result: Words) -> tuple[bool, bool] | None:
    """Return which sides of `left @ right` to transpose so that it gives the result, or None."""
    shared = [word for word in left if word in right and word not in result]
    if len(shared) != 1 or set(left) | set(right) != set(result) | set(shared):
        return None
    for flip_left in (False, True):
        for flip_right in (False, True):
            if _multiplied(_flipped(left, flip_left), _flipped(right, flip_right), shared[0]) == list(result):
                return flip_left, flip_right
    return None


def _flipped(words: Words, flip: bool) -> list[str]:
    """Swap the last two words; one word alone has no transpose."""
    if not flip:
        return list(words)
    return [*words[:-2], words[-1], words[-2]] if len(words) > 1 else []


def _multiplied(left: Words, right: Words, over: str) -> list[str] | None:
    """Return the axes of `left @ right`, or None where it means something else."""
    if not left or not right or left[-1] != over or right[-2 if len(right) > 1 else -1] != over:
        return None
    rows, columns = list(left[-2:-1]), list(right[-1:]) if len(right) > 1 else []
    a, b = list(left[:-2]), list(right[:-2])
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    # batch axes broadcast from the right
    if longer[len(longer) - len(shorter) :] != shorter or set(rows) & {*columns, *longer} or set(columns) & set(longer):
        return None
    return [*longer, *rows, *columns]
