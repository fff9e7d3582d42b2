"""Chunks: runs of consecutive tokens inside a window."""

from typing import TYPE_CHECKING

from hrmsearch.ir.graph import Value
from hrmsearch.ir.types import Axis, ceil_div

if TYPE_CHECKING:
    from hrmsearch.ir.builder import Builder


def chunked(b: "Builder", x: Value, size: int, fill: float = 0.0, tokens: str = "T") -> Value:
    """Return (.., T, ..) as (.., n, S, ..), S = `size`; `fill` fills up the last chunk."""
    length = x.type.size(tokens)
    n = Axis("n", ceil_div(length, size))
    whole = n.size * size
    if whole != length:
        x = b.op("pad", x, axis=tokens, before=0, size=str(whole), value=fill)
    return b.split(x, tokens, n, Axis("S", whole.of(size)))


def unchunked(b: "Builder", x: Value, tokens: Axis) -> Value:
    """Return (.., n, S, ..) as (.., T, ..), without what filled up the last chunk."""
    return b.take(b.merge(x, "n", "S", "P"), "P", tokens)
