"""What the residual blocks share: a mixer and a feed-forward layer, each in a residual sum."""

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
        mixed, left = self.mixed(b, x, state)
        return self.settled(b, x, mixed), left

    def mixed(self, b: Builder, x: Value, state: State) -> tuple[Value, dict[str, Value]]:
        """Return what the mixer makes of the stream, and what it leaves."""
        y, left = self.mixer.go_on(b, "mixer", self._before(b, x, "mixer"), state)
        return self._dropped(b, y), left

    def settled(self, b: Builder, x: Value, mixed: Value) -> Value:
        """Return the stream after the sum with what was mixed, and after the ffn."""
        x = self._after(b, x + mixed, "mixer")
        if self.ffn is None:
            return x
        y = self.ffn.apply(b, "ffn", self._before(b, x, "ffn"))
        return self._after(b, x + self._dropped(b, y), "ffn")

    def norm_of(self, layer: str) -> tuple[str, Norm]:
        """Return the norm of `mixer` or `ffn`, and the field that says so."""
        del layer
        return "norm", self.norm

    def _before(self, b: Builder, x: Value, layer: str) -> Value:
        """Return what a sub-layer reads."""
        return self._normed(b, x, layer) if self._is_pre(layer) else x

    def _after(self, b: Builder, x: Value, layer: str) -> Value:
        """Return the stream after the sum with a sub-layer."""
        return x if self._is_pre(layer) else self._normed(b, x, layer)

    def _is_pre(self, layer: str) -> bool:
        return self.norm_of(layer)[1].place == "pre"

    def _normed(self, b: Builder, x: Value, layer: str) -> Value:
        field, part = self.norm_of(layer)
        return part.apply(b, f"{layer}_norm", x, place=f"{b.place}.{field}")

    def _dropped(self, b: Builder, y: Value) -> Value:
        return b.op("dropout", y, rate=self.dropout) if self.dropout else y
