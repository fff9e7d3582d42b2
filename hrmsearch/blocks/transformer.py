"""The transformer block, post- or pre-norm, around any mixer."""

from typing import Annotated, Literal

from hrmsearch.blocks.base import Ffn
from hrmsearch.blocks.sublayers import Sublayers
from hrmsearch.spec.fields import OrNone
from hrmsearch.spec.registry import Choice, inherited


class Transformer(Sublayers):
    """A mixer and a feed-forward layer, each in a residual sum.

    post-norm: x <- norm(x + f(x)); pre-norm: x <- x + f(norm(x)). `norm`, `ffn` and `dropout` come from
    `model.defaults` unless given; `ffn: none` leaves the mixer alone.
    """

    kind: Literal["transformer"] = "transformer"
    ffn: Annotated[Annotated[Ffn, Choice("ffn", "swiglu")] | None, OrNone()] = inherited("ffn")
