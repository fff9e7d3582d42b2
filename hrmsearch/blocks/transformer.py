"""The transformer block, post- or pre-norm, around any mixer."""

from typing import Annotated, Literal

from hrmsearch.blocks.base import Ffn, Norm
from hrmsearch.blocks.sublayers import Sublayers
from hrmsearch.spec.fields import OrNone
from hrmsearch.spec.registry import Choice, inherited


class Transformer(Sublayers):
    """A mixer and a feed-forward layer, each in a residual sum.

    post-norm: x <- norm(x + f(x)); pre-norm: x <- x + f(norm(x)). `norm`, `ffn` and `dropout` come from
    `model.defaults` unless given; `ffn: none` leaves the mixer alone. mixer_norm: of the mixer's
    sum, where it is not `norm`.
    """

    kind: Literal["transformer"] = "transformer"
    ffn: Annotated[Annotated[Ffn, Choice("ffn", "swiglu")] | None, OrNone()] = inherited("ffn")
    # an absent one leaves the resolved spec, and so its hash, as it was
    mixer_norm: Annotated[Norm, Choice("norm", "rms")] | None = None

    def norm_of(self, layer: str) -> tuple[str, Norm]:
        """Return `mixer_norm` for the mixer, if there is one."""
        if layer == "mixer" and self.mixer_norm is not None:
            return "mixer_norm", self.mixer_norm
        return super().norm_of(layer)
