"""What the residual blocks share: a mixer and a feed-forward layer, each in a residual sum."""

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from hrmsearch.blocks.base import Block, Ffn, Leaf, Mixer, Norm, State
from hrmsearch.ir import Builder, Value
from hrmsearch.spec.fields import OrNone
from hrmsearch.spec.registry import Choice, inherited


class Sublayers(Block):
    """post-norm: x <- norm(x + f(x)); pre-norm: x <- x + f(norm(x)); f is the mixer, then the ffn if there is one.

    The states of the block are those of its mixer.
    """

    mixer: Annotated[Mixer, Choice("mixer")]
    norm: Annotated[Norm, Choice("norm", "rms")] = inherited("norm")
    ffn: Annotated[Annotated[Ffn, Choice("ffn", "swiglu")] | None, OrNone()] = None
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = inherited("dropout")

    def told(self, b: Builder) -> tuple[str, ...]:
        """Return what the mixer tells."""
        return self.mixer.told(b)

    def leaves(self, b: Builder, x: Value, prefix: str) -> dict[str, Leaf]:
        """Return the states of the mixer."""
        with b.at(f"{b.place}.mixer"):
            return self.mixer.leaves(b, x, f"{prefix}.mixer")

    def build(self, b: Builder, x: Value) -> Value:
        """Return the updated (B, T, D)."""
        return self.step(b, x, {})[0]

    def step(self, b: Builder, x: Value, state: State) -> tuple[Value, dict[str, Value]]:
        """Return the updated (B, T, D) and what its mixer leaves."""
        left: dict[str, Value] = {}

        def mixer(x: Value) -> Value:
            y, new = self.mixer.go_on(b, "mixer", x, state)
            left.update(new)
            return y

        x = self._residual(b, x, "mixer", mixer)
        ffn = self.ffn
        return (x if ffn is None else self._residual(b, x, "ffn", lambda x: ffn.apply(b, "ffn", x))), left

    def norm_of(self, layer: str) -> tuple[str, Norm]:
        """Return the norm of `mixer` or `ffn`, and the field that says so."""
        del layer
        return "norm", self.norm

    def _residual(self, b: Builder, x: Value, name: str, layer: Callable[[Value], Value]) -> Value:
        field, part = self.norm_of(name)

        def norm(value: Value) -> Value:
            return part.apply(b, f"{name}_norm", value, place=f"{b.place}.{field}")

        pre = part.place == "pre"
        y = layer(norm(x) if pre else x)
        if self.dropout:
            y = b.op("dropout", y, rate=self.dropout)
        return x + y if pre else norm(x + y)
