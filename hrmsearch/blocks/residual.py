"""The residual block of deep stacks: pre-norm, with a feed-forward layer only where one is given."""

from typing import Annotated, Literal

from pydantic import field_validator

from hrmsearch.blocks.base import Norm
from hrmsearch.blocks.sublayers import Sublayers
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Choice, inherited


class Residual(Sublayers):
    """x <- x + mixer(norm(x)), then x <- x + ffn(norm(x)) if there is an `ffn`; the stream itself is never normalised.

    A stack of these wants a norm after its last block. `norm` (placed `pre`, whatever the default's place is) and
    `dropout` come from `model.defaults` unless given. Source: Beck et al. 2024, arXiv:2405.04517.
    """

    kind: Literal["residual"] = "residual"
    norm: Annotated[Norm, Choice("norm", "rms")] = inherited("norm", place="pre")

    @field_validator("norm")
    @classmethod
    def _pre(cls, norm: Norm) -> Norm:
        if norm.place == "post" and "place" in norm.model_fields_set:
            raise FieldProblem("a residual block is pre-norm; `kind: transformer` has a norm after the sum", "place")
        return norm.model_copy(update={"place": "pre"})
