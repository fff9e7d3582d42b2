"""Evidence: whether a token is worth keeping, told by the token itself and those before it."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from hrmsearch.blocks.tokenwise import Held, Numbers, along_tokens
from hrmsearch.ir import Builder, DType, Value
from hrmsearch.ir.module import Module


class Evidence(Module, family="evidence"):
    """Says of every token whether it may be written. It sees the token and those before it, never later ones."""

    @abstractmethod
    def carries(self, x: Value) -> dict[str, Held]:
        """Return what is carried from token to token, by name, for a stream like `x`."""

    @abstractmethod
    def mask(self, b: Builder, x: Value, held: Mapping[str, Value], gain: float) -> tuple[Value, Numbers]:
        """Return bool[B, T] and what is carried; gain: the factor on the evidence, a hyperparameter."""


class LogLikelihoodRatio(Evidence):
    """Writes a token where the log-likelihood ratio of signal against noise exceeds a threshold.

    Per channel the background is a normal distribution with the running mean m and variance v of the tokens before
    (exponential, with `decay`); a signal has the same mean and `ratio` times the variance. Then with z = (x - m)^2 / v
    llr = mean over channels of ((1 - 1/ratio) z - log(ratio)) / 2, and a token is written where gain llr > `threshold`.
    The running values then take the token in, written or not. At 0 the likelier of the two decides.
    """

    kind: Literal["llr"] = "llr"
    ratio: Annotated[float, Field(gt=1.0)] = 4.0
    decay: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.9
    threshold: float = 0.0
    eps: PositiveFloat = 1e-6

    def carries(self, x: Value) -> dict[str, Held]:
        """The running mean, from 0, and the running variance, from 1, of every channel."""
        width = x.type.axes[-1:]
        return {"mean": Held(axes=width), "variance": Held(1.0, axes=width)}

    def mask(self, b: Builder, x: Value, held: Mapping[str, Value], gain: float) -> tuple[Value, Numbers]:
        """Return where the ratio exceeds the threshold."""

        def step(before: Numbers, token: Numbers) -> tuple[Numbers, Numbers]:
            off = token["x"] - before["mean"]
            square = off * off
            after = {
                "mean": before["mean"] + (1.0 - self.decay) * off,
                "variance": self.decay * before["variance"] + (1.0 - self.decay) * square,
            }
            return after, {"z": b.op("div", square, before["variance"] + self.eps)}

        # nothing of this has a gradient, and told so, a backend records none along the tokens
        seen = b.op("detach", b.cast(x, DType.WIDE))
        told, left = along_tokens(b, held, {"x": seen}, step)
        slope, offset = 0.5 * (1.0 - 1.0 / self.ratio), 0.5 * math.log(self.ratio)
        llr = b.mean(told["z"], x.type.names[-1]) * slope - offset
        return b.op("less", self.threshold, llr if gain == 1.0 else llr * gain), left
