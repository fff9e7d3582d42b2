"""Gates: how far the stream follows what a memory predicts. The stream itself is never replaced."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from hrmsearch.blocks.base import project
from hrmsearch.blocks.prenorm import PreNorm
from hrmsearch.blocks.tokenwise import Held, Numbers, holds
from hrmsearch.ir import Builder, DType, Value, axis
from hrmsearch.ir.module import Module
from hrmsearch.spec.fields import resolve
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Part, inherited


class Hysteresis(Part):
    """A gate opens where alpha reaches `open`, closes where it falls below `close`, and else stays as it is."""

    open: float = Field(gt=0.0, le=1.0)
    close: float = Field(ge=0.0, lt=1.0)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.close > self.open:
            raise FieldProblem(f"a gate that closes below {self.close} cannot open at {self.open}", "close")
        return self


class Gate(Module, family="gate"):
    """y = x + alpha d: a stream x follows the residual d that a memory predicts, by alpha in [0, 1] per token.

    clamp: d is cut to [-clamp, clamp] first. rate: alpha moves by no more than this from token to token, from 0 on.
    hysteresis: a closed gate's alpha goes to 0, and a gate begins closed. What alpha was goes on from window to window
    as long as the memory lives. At alpha 0 the stream is what it was, bit for bit.
    """

    clamp: PositiveFloat | None = None
    rate: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    hysteresis: Hysteresis | None = None

    @abstractmethod
    def build(self, b: Builder, x: Value, d: Value, *confidence: Value) -> Value:
        """Return the logit of alpha, wide[B, T], from the stream, the residual and how sure the memory is of it."""

    @property
    def carries(self) -> dict[str, Held]:
        """What the gate carries from token to token, by name."""
        names = [name for name, asked in (("alpha", self.rate), ("open", self.hysteresis)) if asked is not None]
        return {name: Held(within=(0.0, 1.0)) for name in names}

    def cut(self, b: Builder, d: Value) -> Value:
        """Return the residual within its clamp."""
        return d if self.clamp is None else b.op("minimum", b.op("maximum", d, -self.clamp), self.clamp)

    def follow(
        self, b: Builder, wanted: Value, before: Mapping[str, Value], cap: Value | None
    ) -> tuple[Value, Numbers]:
        """Return a token's alpha on the way to the wanted one, and what is carried of it; cap: the most it may want."""
        left: Numbers = {}
        if self.hysteresis is not None:
            left["open"] = self._open(b, wanted, before["open"], self.hysteresis)
            wanted = b.where(holds(b, left["open"]), wanted, 0.0)
        if cap is not None:
            wanted = b.op("minimum", wanted, cap)
        if self.rate is not None:
            last = before["alpha"]
            wanted = b.op("minimum", b.op("maximum", wanted, last - self.rate), last + self.rate)
            left["alpha"] = wanted
        return wanted, left

    def _open(self, b: Builder, wanted: Value, before: Value, at: Hysteresis) -> Value:
        stays = b.where(b.op("less", wanted, at.open), before, 1.0)
        return b.where(b.op("less", wanted, at.close), 0.0, stays)


class Alpha(Gate):
    """alpha = sigmoid(w silu(W_x norm(x) + W_d norm(d) + w_c conf + b) + b_0), one number per token.

    width: of the layer in between. bias: where b_0 starts; negative ones begin with a gate that is nearly closed. conf
    is there for memories that give one. norm: from `model.defaults` unless given.
    """

    kind: Literal["alpha"] = "alpha"
    width: PositiveInt = 16
    bias: float = 0.0
    norm: PreNorm = inherited("norm", place="pre")

    def build(self, b: Builder, x: Value, d: Value, *confidence: Value) -> Value:
        """Return the logit of alpha, wide[B, T]."""
        inner = axis("F", self.width)
        rows, tokens = x.type.names[:2]
        hidden = project(b, self._normed(b, x, "x"), "w_x", inner) + project(b, self._normed(b, d, "d"), "w_d", inner)
        for value in confidence:
            sure = b.param("w_c", (inner,), resolve(b.context.init, 1))
            hidden = hidden + b.einsum(f"{rows} {tokens}, F -> {rows} {tokens} F", value, sure)
        hidden = b.op("silu", hidden + b.param("b", (inner,), "zeros"))
        out = b.param("w", (inner,), resolve(b.context.init, self.width))
        logit = b.sum(hidden * out, "F")
        return b.cast(logit + b.param("b_0", (), {"constant": self.bias}), DType.WIDE)

    def _normed(self, b: Builder, value: Value, name: str) -> Value:
        return self.norm.apply(b, f"{name}_norm", value, place=f"{b.place}.norm")
