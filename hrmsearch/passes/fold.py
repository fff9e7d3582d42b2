"""Fold: operations that change nothing become their operand, and a `repeat` of one tick becomes its body.

    x + 0, 0 + x, x - 0, x * 1, 1 * x, x / 1                 -> x, where the constant does not broadcast x
    cast to the dtype at hand, compute -> wide -> compute    -> x
    neg(neg(x))                                              -> x
    detach(detach(x))                                        -> detach(x)
    dropout at rate 0                                        -> x
    sum, mean or amax over no axis                           -> x
    transpose, rename, slice, pad, broadcast to its own type -> x
    concat of one operand                                    -> x
    repeat 1 {body}, not free                                -> body

A free repeat stays, since it cuts gradient.
"""

from collections.abc import Callable, Mapping, Sequence

from hrmsearch.ir.graph import Graph, Op, Value
from hrmsearch.ir.types import DType
from hrmsearch.passes.rewrite import Rewriter


def fold(graph: Graph) -> Graph:
    """Return the graph without operations that change nothing."""
    return _Fold(graph).run()


class _Fold(Rewriter):
    def rule(self, op: Op, operands: tuple[Value, ...]) -> Sequence[Value] | None:
        if op.kind == "repeat" and op.attrs["n"] == 1 and not op.attrs["free"]:
            return self.inline(op.regions[0], operands)
        rule = _RULES.get(op.kind)
        found = rule(self, op, operands) if rule else None
        # a fold never changes a type: an operand that was broadcast or renamed is not the result
        return [found] if found is not None and found.type == op.result.type else None


_Rule = Callable[[_Fold, Op, tuple[Value, ...]], Value | None]


def _is_full(fold: _Fold, value: Value, number: float) -> bool:
    op = fold.producer(value)
    return op is not None and op.kind == "const" and op.attrs["rule"] == "full" and op.attrs["value"] == number


def _neutral(number: float, *, commutes: bool) -> _Rule:
    """Return the rule of a binary op with a neutral element, on the right or on both sides."""

    def rule(fold: _Fold, op: Op, operands: tuple[Value, ...]) -> Value | None:
        left, right = operands
        if _is_full(fold, right, number) and left.type == op.result.type:
            return left
        return right if commutes and _is_full(fold, left, number) else None

    return rule


def _first_if(holds: Callable[[Op], bool]) -> _Rule:
    """Return the rule of an op that is its first operand under a condition on its attributes."""
    return lambda fold, op, operands: operands[0] if holds(op) else None


def _cast(fold: _Fold, op: Op, operands: tuple[Value, ...]) -> Value | None:
    """Widening and back is exact; wide -> compute -> wide rounds and stays."""
    (x,) = operands
    inner = fold.producer(x)
    wide = inner is not None and inner.kind == "cast" and x.type.dtype == DType.WIDE
    return inner.operands[0] if wide and inner is not None and op.result.type.dtype == DType.COMPUTE else x


def _involution(fold: _Fold, op: Op, operands: tuple[Value, ...]) -> Value | None:
    inner = fold.producer(operands[0])
    return inner.operands[0] if inner is not None and inner.kind == op.kind else None


def _idempotent(fold: _Fold, op: Op, operands: tuple[Value, ...]) -> Value | None:
    inner = fold.producer(operands[0])
    return operands[0] if inner is not None and inner.kind == op.kind else None


def _always(_op: Op) -> bool:
    return True


_RULES: Mapping[str, _Rule] = {
    "add": _neutral(0, commutes=True),
    "sub": _neutral(0, commutes=False),
    "mul": _neutral(1, commutes=True),
    "div": _neutral(1, commutes=False),
    "cast": _cast,
    "neg": _involution,
    "detach": _idempotent,
    "dropout": _first_if(lambda op: op.attrs["rate"] == 0),
    "sum": _first_if(lambda op: not op.attrs["axes"]),
    "mean": _first_if(lambda op: not op.attrs["axes"]),
    "amax": _first_if(lambda op: not op.attrs["axes"]),
    # these keep every element in its order, so an unchanged type is an unchanged value
    "transpose": _first_if(_always),
    "rename": _first_if(_always),
    "broadcast": _first_if(_always),
    "concat": _first_if(lambda op: len(op.operands) == 1),
    "slice": _first_if(lambda op: op.attrs["start"] == 0),
    "pad": _first_if(lambda op: op.attrs["before"] == 0),
}
