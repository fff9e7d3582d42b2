"""Root-mean-square normalisation."""

from typing import Literal

from pydantic import PositiveFloat

from hrmsearch.blocks.base import Norm
from hrmsearch.ir import Builder, Value


class RMSNorm(Norm):
    """x / sqrt(mean(x^2) + eps), times a learned gain where `gain` is true; statistics in at least float32.

    Source: Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4.
    """

    kind: Literal["rms"] = "rms"
    gain: bool = True
    eps: PositiveFloat = 1e-6

    def build(self, b: Builder, x: Value) -> Value:
        """Return the normalised (B, T, D)."""
        gains = [b.param("gain", x.type.axes[-1:], "ones")] if self.gain else []
        return b.op("rms_norm", x, *gains, eps=self.eps)
