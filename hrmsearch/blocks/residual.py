"""The residual block of deep stacks: pre-norm, with a feed-forward layer only where one is given."""

from typing import Literal

from hrmsearch.blocks.prenorm import PreNorm
from hrmsearch.blocks.sublayers import Sublayers
from hrmsearch.spec.registry import inherited


class Residual(Sublayers):
    """x <- x + mixer(norm(x)), then x <- x + ffn(norm(x)) if there is an `ffn`; the stream itself is never normalised.

    A stack of these wants a norm after its last block. `norm` (placed `pre`, whatever the default's place is) and
    `dropout` come from `model.defaults` unless given. Source: Beck et al. 2024, arXiv:2405.04517.
    """

    kind: Literal["residual"] = "residual"
    norm: PreNorm = inherited("norm", place="pre")
