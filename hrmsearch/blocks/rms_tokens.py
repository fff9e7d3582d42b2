"""Root-mean-square normalisation along the stream."""

from typing import Literal

from pydantic import PositiveFloat

from hrmsearch.blocks.base import Norm
from hrmsearch.ir import Builder, Value


class RMSTokens(Norm):
    """x / sqrt(mean(x^2) + eps), the mean over the tokens of each channel; it is not causal and has no gain.

    Of use behind a mixer that works on channels, as `mixer_norm`. Source: Jolicoeur-Martineau 2025, arXiv:2510.04871
    (TRM), whose MLP over positions and its norm both see the stream transposed.
    """

    kind: Literal["rms_tokens"] = "rms_tokens"
    eps: PositiveFloat = 1e-6

    def build(self, b: Builder, x: Value) -> Value:
        """Return the normalised (B, T, D)."""
        rows, tokens, width = x.type.names
        turned = b.op("rms_norm", b.transpose(x, rows, width, tokens), eps=self.eps)
        return b.transpose(turned, rows, tokens, width)
