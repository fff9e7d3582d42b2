"""Layer normalisation, of a whole token or of each head."""

from typing import Literal

from pydantic import PositiveFloat

from hrmsearch.blocks.base import Norm
from hrmsearch.ir import Builder, Value


class LayerNorm(Norm):
    """(x - mean) / sqrt(variance + eps), times a learned gain and plus a learned bias where these are true.

    Statistics are over the width, in at least float32. Source: Ba, Kiros and Hinton 2016, arXiv:1607.06450, eq. 4.
    """

    kind: Literal["layer"] = "layer"
    gain: bool = True
    bias: bool = False
    eps: PositiveFloat = 1e-5

    def build(self, b: Builder, x: Value) -> Value:
        """Return the normalised (B, T, D)."""
        if self.bias and not self.gain:
            return b.op("layer_norm", x, eps=self.eps) + b.param("bias", x.type.axes[-1:], "zeros")
        affine = [b.param("gain", x.type.axes[-1:], "ones")] if self.gain else []
        affine += [b.param("bias", x.type.axes[-1:], "zeros")] if self.bias else []
        return b.op("layer_norm", x, *affine, eps=self.eps)


def head_norm(b: Builder, x: Value, eps: float) -> Value:
    """Return x, which has an axis A and a head width last, with each head of each token normalised by itself.

    The gain `norm_gain` has an entry per channel; there is no bias.
    """
    heads, width = x.type.axes[x.type.index("A")], x.type.axes[-1]
    return b.op("layer_norm", x, eps=eps) * b.param("norm_gain", (heads, width), "ones")
