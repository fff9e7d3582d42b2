"""A straight line as scalar operations: every value becomes an array of scalars over its unrolled axes.

Rows, steps and lanes disappear, since each element follows the same program. Layout ops on unrolled axes compute
nothing: they only say which scalar is where.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrmsearch.ir.builder import Builder
from hrmsearch.ir.graph import Op, Value
from hrmsearch.ir.ops import einsum_words
from hrmsearch.ir.ops.elementwise import BINARY, COMPARE, LOGIC, UNARY
from hrmsearch.ir.types import DType, Size, Type
from hrmsearch.recurrence.axes import Axes
from hrmsearch.recurrence.flat import NoRecurrence

#: scalars over a value's unrolled axes, in the order of its type
Scalars = NDArray[Any]
_ELEMENTWISE = frozenset({*UNARY, *BINARY, *COMPARE, *LOGIC, "where"})


def scalar_type(dtype: DType) -> Type:
    """Return the type of a scalar: reals are of one format, a kernel's own."""
    if dtype not in (DType.COMPUTE, DType.WIDE, DType.BOOL):
        raise NoRecurrence(f"it computes with {dtype}")
    return Type(DType.BOOL if dtype == DType.BOOL else DType.COMPUTE)


def filled(shape: Sequence[int], make: Callable[[], Value]) -> Scalars:
    """Return an array whose every entry is made anew."""
    out = np.empty(tuple(shape), object)
    for at in np.ndindex(out.shape):
        out[at] = make()
    return out


class Scalarise:
    """Appends scalar operations for the ops of a line. find: a value's scalars."""

    def __init__(self, builder: Builder, axes: Axes, find: Callable[[Value], Scalars]) -> None:
        self._b = builder
        self._axes = axes
        self._find = find

    def shape(self, value: Value) -> tuple[int, ...]:
        """Return how many parts a value has along each unrolled axis."""
        return tuple(self._axes.unrolled(value).values())

    def __call__(self, op: Op) -> Scalars:
        """Return the scalars of an op's result.

        Raises NoRecurrence for an op that is not pointwise in the lanes.
        """
        scalar_type(op.result.type.dtype)
        if op.kind in _ELEMENTWISE:
            return self._elementwise(op)
        forms: Mapping[str, Callable[[Op], Scalars]] = {
            "einsum": self._einsum,
            **dict.fromkeys(("sum", "mean", "amax"), self._reduce),
            "const": self._const,
            "cast": self._cast,
            "detach": self._detach,
            "rename": self._same,
            "broadcast": self._broadcast,
            "transpose": self._transpose,
            **dict.fromkeys(("split", "merge"), self._reshape),
            "slice": self._slice,
            "concat": self._concat,
            "pad": self._pad,
        }
        if op.kind not in forms:
            raise NoRecurrence(f"{op.kind} is not pointwise")
        return forms[op.kind](op)

    # -- arithmetic --------------------------------------------------------------------------------------------------

    def _elementwise(self, op: Op) -> Scalars:
        names = self._axes.small(op.result)
        return self._map(op.kind, [self._aligned(value, names) for value in op.operands], self.shape(op.result))

    def _map(self, kind: str, operands: Sequence[Scalars], shape: tuple[int, ...]) -> Scalars:
        out = np.empty(shape, object)
        arrays = [np.broadcast_to(array, shape) for array in operands]
        for at in np.ndindex(shape):
            scalars: list[Any] = [array[at] for array in arrays]
            out[at] = self._b.op(kind, *scalars)
        return out

    def _aligned(self, value: Value, names: Sequence[str]) -> Scalars:
        """Return a value's scalars with an axis of length one for each name that it lacks."""
        array, have = self._find(value), self._axes.small(value)
        return array.reshape([array.shape[have.index(name)] if name in have else 1 for name in names])

    def _einsum(self, op: Op) -> Scalars:
        operands, result = einsum_words(op)
        small: dict[str, int] = {}
        kept: list[list[str]] = []
        for words, value in zip(operands, op.operands, strict=True):
            pairs = zip(words, value.type.names, strict=True)
            kept.append([word for word, name in pairs if name in self._axes.unrolled(value)])
            small |= dict(zip(kept[-1], self.shape(value), strict=True))
        inner = [word for word in small if word not in result]
        outer = [word for word in result if word in small]
        arrays = [self._find(value) for value in op.operands]
        out = np.empty([small[word] for word in outer], object)
        for at in np.ndindex(out.shape):
            terms: list[Value] = []
            for summed in itertools.product(*(range(small[word]) for word in inner)):
                where = dict(zip([*outer, *inner], [*at, *summed], strict=True))
                factors = [a[tuple(where[w] for w in words)] for a, words in zip(arrays, kept, strict=True)]
                terms.append(self._chain("mul", factors))
            out[at] = self._chain("add", terms)
        return out

    def _chain(self, kind: str, values: Sequence[Value]) -> Value:
        total = values[0]
        for value in values[1:]:
            total = self._b.op(kind, total, value)
        return total

    def _reduce(self, op: Op) -> Scalars:
        array, names = self._find(op.operands[0]), self._axes.small(op.operands[0])
        gone = [names.index(name) for name in op.attrs["axes"]]
        rest = [i for i in range(len(names)) if i not in gone]
        moved = array.transpose([*rest, *gone]).reshape([*(array.shape[i] for i in rest), -1])
        out = np.empty(moved.shape[:-1], object)
        kind = "maximum" if op.kind == "amax" else "add"
        for at in np.ndindex(out.shape):
            total = self._chain(kind, list(moved[at]))
            out[at] = total / float(moved.shape[-1]) if op.kind == "mean" else total
        return out

    # -- what computes nothing ---------------------------------------------------------------------------------------

    def _const(self, op: Op) -> Scalars:
        if op.attrs["rule"] != "full":
            raise NoRecurrence(f"a constant differs by position ({op.attrs['rule']})")
        return filled(self.shape(op.result), lambda: self._b.full(op.attrs["value"], scalar_type(op.result.type.dtype)))

    def _cast(self, op: Op) -> Scalars:
        array = self._find(op.operands[0])
        if op.operands[0].type.dtype.is_float and op.result.type.dtype.is_float:
            return array
        if op.operands[0].type.dtype == op.result.type.dtype == DType.BOOL:
            return array
        if op.operands[0].type.dtype == DType.BOOL and op.result.type.dtype.is_float:
            numbers = [np.array(self._number(number), object) for number in (1.0, 0.0)]
            return self._map("where", [array, *numbers], array.shape)
        raise NoRecurrence("it casts to truth values")

    def _number(self, number: float) -> Value:
        return self._b.full(number, Type(DType.COMPUTE))

    def _detach(self, op: Op) -> Scalars:
        return self._map("detach", [self._find(op.operands[0])], self.shape(op.result))

    def _same(self, op: Op) -> Scalars:
        return self._find(op.operands[0])

    def _broadcast(self, op: Op) -> Scalars:
        names = self._axes.small(op.result)
        return np.broadcast_to(self._aligned(op.operands[0], names), self.shape(op.result))

    def _transpose(self, op: Op) -> Scalars:
        have, want = self._axes.small(op.operands[0]), self._axes.small(op.result)
        return self._find(op.operands[0]).transpose([have.index(name) for name in want])

    def _reshape(self, op: Op) -> Scalars:
        return self._find(op.operands[0]).reshape(self.shape(op.result))

    def _slice(self, op: Op) -> Scalars:
        at = self._axes.small(op.operands[0]).index(op.attrs["axis"])
        part = self._axes.part(op)
        if part is not None:
            return np.array(np.take(self._find(op.operands[0]), part, axis=at), object)
        size = Size.of(op.attrs["size"]).known
        start = op.attrs["start"]
        array = self._find(op.operands[0])
        start = start if start >= 0 else array.shape[at] + start
        assert size is not None, "the size of an unrolled axis is fixed"
        return np.take(array, range(start, start + size), axis=at)

    def _concat(self, op: Op) -> Scalars:
        at = self._axes.small(op.result).index(op.attrs["axis"])
        return np.concatenate([self._find(value) for value in op.operands], axis=at)

    def _pad(self, op: Op) -> Scalars:
        at, array = self._axes.small(op.result).index(op.attrs["axis"]), self._find(op.operands[0])
        before, whole = op.attrs["before"], self.shape(op.result)
        out = filled(whole, lambda: self._number(op.attrs["value"]))
        inside = [slice(before, before + array.shape[at]) if i == at else slice(None) for i in range(len(whole))]
        out[tuple(inside)] = array
        return out
