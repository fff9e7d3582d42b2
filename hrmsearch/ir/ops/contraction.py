"""Primitives that combine positions: einsum, reductions, running reductions and gather."""

import string
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hrmsearch.ir.graph import Op
from hrmsearch.ir.ops.table import (
    MIXED,
    Array,
    Flow,
    Flows,
    Functions,
    How,
    OpDef,
    Work,
    declare,
    per_element,
    per_input_element,
    require,
)
from hrmsearch.ir.types import Axis, DType, Size, Type


def einsum_words(op: Op) -> tuple[list[list[str]], list[str]]:
    """Return the axis words of each operand and of the result; words bind operand axes by position."""
    left, right = op.attrs["spec"].split("->")
    return [part.split() for part in left.split(",")], right.split()


def _einsum_sizes(op: Op) -> dict[str, Size]:
    sizes: dict[str, Size] = {}
    operands, _ = einsum_words(op)
    require(len(operands) == len(op.operands), op, "one word list per operand")
    for words, value in zip(operands, op.operands, strict=True):
        # the verifier runs this for every einsum after every compiler pass, so messages are formatted on failure only
        if len(words) != len(value.type.axes):
            require(False, op, f"{' '.join(words)!r} does not name the axes of {value.type}")
        require(len(set(words)) == len(words), op, "a word occurs twice in one operand")
        for word, size in zip(words, value.type.sizes, strict=True):
            if sizes.setdefault(word, size) != size:
                require(False, op, f"{word} is both {sizes[word]} and {size}")
    return sizes


def _einsum_types(op: Op, _functions: Functions) -> Sequence[Type]:
    sizes = _einsum_sizes(op)
    dtypes = {value.type.dtype for value in op.operands}
    require(len(dtypes) == 1 and next(iter(dtypes)).is_float, op, "operands are floats of one dtype")
    _, result = einsum_words(op)
    require(all(word in sizes for word in result), op, "a result axis occurs in no operand")
    return [Type(next(iter(dtypes)), tuple(Axis(word, sizes[word]) for word in result))]


def _einsum_flow(op: Op) -> Flows:
    operands, result = einsum_words(op)
    return tuple(
        {
            name: Flow(How.SAME, (word,)) if word in result else MIXED
            for name, word in zip(value.type.names, words, strict=True)
        }
        for words, value in zip(operands, op.operands, strict=True)
    )


def _sums(op: Op) -> bool:
    operands, result = einsum_words(op)
    return any(word not in result for words in operands for word in words)


def _einsum_work(op: Op) -> Sequence[Work]:
    """Return a multiply-add per product; where nothing is summed an einsum is an elementwise product."""
    return (Work(2, tuple(_einsum_sizes(op).values())),) if _sums(op) else ()


def _einsum_elementwise(op: Op) -> Sequence[Work]:
    return () if _sums(op) else per_element(op)


def _einsum_meaning(op: Op, arrays: Sequence[Array], _sizes: Mapping[str, int]) -> Array:
    return np.einsum(einsum_letters(op), *arrays, optimize=True)


def einsum_letters(op: Op) -> str:
    """Return the spec with a letter per word, as NumPy and torch write it."""
    operands, result = einsum_words(op)
    letters: dict[str, str] = {}
    for word in (word for words in operands for word in words):
        if word not in letters:
            free = (c for c in (word[0].lower(), *string.ascii_letters) if c not in letters.values())
            letters[word] = next(free)
    sides = [",".join("".join(letters[w] for w in words) for words in operands), "".join(letters[w] for w in result)]
    return "->".join(sides)


declare(
    OpDef(
        "einsum",
        _einsum_types,
        _einsum_flow,
        frozenset({"spec"}),
        _einsum_work,
        _einsum_elementwise,
        numpy=_einsum_meaning,
    )
)


def _reduce_types(op: Op, _functions: Functions) -> Sequence[Type]:
    require(op.operands[0].type.dtype.is_float, op, "the operand is a float")
    return [op.operands[0].type.without(*op.attrs["axes"])]


def _reduce_flow(op: Op) -> Flows:
    names = op.operands[0].type.names
    return ({name: MIXED if name in op.attrs["axes"] else Flow(How.SAME, (name,)) for name in names},)


def _reduce_meaning(function: Callable[..., Array]) -> Callable[[Op, Sequence[Array], Mapping[str, int]], Array]:
    def meaning(op: Op, arrays: Sequence[Array], _sizes: Mapping[str, int]) -> Array:
        type_ = op.operands[0].type
        return function(arrays[0], axis=tuple(type_.index(name) for name in op.attrs["axes"]))

    return meaning


for _kind, _function in {"sum": np.sum, "mean": np.mean, "amax": np.max}.items():
    declare(
        OpDef(
            _kind,
            _reduce_types,
            _reduce_flow,
            frozenset({"axes"}),
            elementwise=per_input_element,
            numpy=_reduce_meaning(_function),
        )
    )


def _running_types(op: Op, _functions: Functions) -> Sequence[Type]:
    op.operands[0].type.index(op.attrs["axis"])
    return [op.operands[0].type]


def _running_flow(op: Op) -> Flows:
    axis = op.attrs["axis"]
    how = {name: How.CAUSAL if name == axis else How.SAME for name in op.operands[0].type.names}
    return ({name: Flow(how[name], (name,)) for name in how},)


def _running_meaning(function: Callable[..., Array]) -> Callable[[Op, Sequence[Array], Mapping[str, int]], Array]:
    def meaning(op: Op, arrays: Sequence[Array], _sizes: Mapping[str, int]) -> Array:
        return function(arrays[0], axis=op.operands[0].type.index(op.attrs["axis"]))

    return meaning


for _kind, _function in {"cumsum": np.cumsum, "cummax": np.maximum.accumulate}.items():
    declare(
        OpDef(
            _kind,
            _running_types,
            _running_flow,
            frozenset({"axis"}),
            elementwise=per_element,
            numpy=_running_meaning(_function),
        )
    )


def _gather_types(op: Op, _functions: Functions) -> Sequence[Type]:
    table, ids = op.operands
    require(ids.type.dtype == DType.I32, op, "indices are i32")
    return [Type(table.type.dtype, (*ids.type.axes, *table.type.axes[1:]))]


def _gather_flow(op: Op) -> Flows:
    table, ids = op.operands
    rows = {table.type.names[0]: MIXED} | {name: Flow(How.SAME, (name,)) for name in table.type.names[1:]}
    return rows, {name: Flow(How.SAME, (name,)) for name in ids.type.names}


def _gather_meaning(_op: Op, arrays: Sequence[Array], _sizes: Mapping[str, int]) -> Array:
    return arrays[0][arrays[1]]


declare(OpDef("gather", _gather_types, _gather_flow, numpy=_gather_meaning))
