"""Choosing some entries of an axis and moving what was chosen, without a sort: by maxima, counts and comparisons."""

from hrmsearch.ir import Axis, Builder, DType, Type, Value


def count(b: Builder, mask: Value, name: str) -> Value:
    """Return how often a mask holds along an axis, wide."""
    return b.sum(b.cast(mask, DType.WIDE), name)


def largest(b: Builder, x: Value, name: str, most: int) -> Value:
    """Return which entries are the `most` largest along an axis; of equals the first, and never one that is -inf.

    Takes one maximum after another, and has no gradient.
    """
    along = x.type.axes[x.type.index(name)]

    def body(left: Value) -> list[Value]:
        best = b.op("argmax", left, axis=name)
        here = b.op("equal", b.broadcast(best, left.type.with_dtype(DType.I32)), b.iota(along, DType.I32))
        return [b.where(here, float("-inf"), left)]

    (left,) = b.repeat(min(most, along.size.known or most), [x], body, free=True)
    return b.op("less", left, x)


def lowest(b: Builder, x: Value, among: Value, most: Value) -> Value:
    """Return which entries of `among` bool[.., M] are the `most` wide[..] lowest of x; of equals the first.

    Compares every pair, so that rows may ask for different numbers.
    """
    along = x.type.axes[-1]
    pairs = x.type.with_axes([*x.type.axes, Axis("U", along.size)])
    mine, theirs = b.broadcast(x, pairs), b.rename(x, along.name, "U")
    place = b.broadcast(b.iota(along, DType.I32), Type(DType.I32, pairs.axes[-2:]))
    tied = b.op("and", b.op("equal", theirs, mine), b.op("less", b.iota(pairs.axes[-1], DType.I32), place))
    before = b.op("or", b.op("less", theirs, mine), tied)
    rank = count(b, b.op("and", before, b.rename(among, along.name, "U")), "U")
    return b.op("and", among, b.op("less", rank, b.broadcast(most, x.type)))


def packing(b: Builder, chosen: Value, slots: Axis, first: Value | None = None) -> Value:
    """Return wide[B, slots, U], 1 where entries of `chosen` bool[B, U] go: one after another, from slot `first` on."""
    place = b.op("cumsum", b.cast(chosen, DType.WIDE), axis=chosen.type.names[-1]) - 1.0
    if first is not None:
        place = place + first
    rows, entries = chosen.type.axes
    over = place.type.with_axes([rows, slots, entries])
    number = b.broadcast(b.iota(slots, DType.WIDE), over)
    return b.cast(b.op("and", b.op("equal", number, place), chosen), DType.WIDE)
