"""Einsums as a person writes them: `x @ w` where one matrix product does it, `.mT` for a transposed side."""

from collections.abc import Sequence

from hrmsearch.ir.graph import Op
from hrmsearch.ir.ops import einsum_letters, einsum_words
from hrmsearch.ir.types import DType
from hrmsearch_torch.operands import Scope
from hrmsearch_torch.syntax import Expr, attr, binary, call

Words = Sequence[str]


def einsum(scope: Scope, op: Op, x: Sequence[Expr]) -> Expr:
    """Return a matrix product of the operands, in either order, else torch.einsum.

    Wide values keep their precision under autocast, which a plain product would lower.
    """
    operands, result = einsum_words(op)
    wide = op.result.type.dtype == DType.WIDE
    if len(x) == 2:
        pairs = list(zip(operands, x, strict=True))
        for (left, a), (right, b) in ((pairs[0], pairs[1]), (pairs[1], pairs[0])):
            flips = product(left, right, result)
            if flips is not None:
                a, b = (attr(side, "mT") if flip else side for side, flip in zip((a, b), flips, strict=True))
                return call(scope.helper("wide_matmul"), a, b) if wide else binary(a, "@", b)
    return call(scope.helper("wide_einsum") if wide else "torch.einsum", einsum_letters(op), *x)


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
    """Return the axes of torch's `left @ right`, or None where it means something else."""
    if not left or not right or left[-1] != over or right[-2 if len(right) > 1 else -1] != over:
        return None
    rows, columns = list(left[-2:-1]), list(right[-1:]) if len(right) > 1 else []
    a, b = list(left[:-2]), list(right[:-2])
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    # batch axes broadcast from the right
    if longer[len(longer) - len(shorter) :] != shorter or set(rows) & {*columns, *longer} or set(columns) & set(longer):
        return None
    return [*longer, *rows, *columns]
