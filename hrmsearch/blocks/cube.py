"""A memory of pairs: keys and values of single tokens, found again by likeness."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from hrmsearch.blocks.base import State, project
from hrmsearch.blocks.choosing import count, largest, lowest, packing
from hrmsearch.blocks.memory import Memory
from hrmsearch.ir import Axis, Builder, DType, Type, Value, axis


@dataclass(frozen=True, slots=True)
class Recall:
    """What a stream finds in a memory.

    found: wide[B, T, V], zero where the memory is empty. confidence: wide[B, T], from 0 to 1. chosen: bool[B, T, M],
    the pairs that were read.
    """

    found: Value
    confidence: Value
    chosen: Value


class Cube(Memory):
    """At most `capacity` (M) pairs of a key and a value per row; a token reads the `top` pairs most like it.

        k_t = x_t W_k / sqrt(|x_t W_k|^2 + eps)    s_m = k_t . k_m    over the `top` largest, of equals the older:
        w = softmax(sharpness s)    r_t = sum_m w_m v_m    confidence = mean s_m, at least 0 and at most 1

    readout: x_t + r_t W_o; without `residual` r_t W_o alone. An empty memory gives zeros and confidence 0.
    update, after the readout: pairs (k_t, x_t) of the tokens written, in their order. writes: `all` tokens, or so many
    of a window as the memory knows least, which are those of lowest confidence. evict: where there is no room, the
    oldest pairs go (`fifo`), or those that the fewest tokens read, of equals the older (`least_used`). width: of keys
    (K), by default that of the model.

    No gradient goes through the store: pairs are detached as they are written, so W_k learns from queries alone, and
    which pairs are read and written has no gradient. Source: the memory cube of SolaceHarmony/xLSTM-Metal at 2d5bc98,
    which keeps one list for all rows.
    """

    kind: Literal["cube"] = "cube"
    capacity: PositiveInt = 64
    top: PositiveInt = 8
    width: PositiveInt | None = None
    writes: Literal["all"] | PositiveInt = "all"
    evict: Literal["fifo", "least_used"] = "fifo"
    sharpness: PositiveFloat = 1.0
    residual: bool = True
    eps: PositiveFloat = 1e-6

    def init_state(self, b: Builder, x: Value) -> Mapping[str, tuple[Value, Type]]:
        """Return no pairs: keys wide[B, M, K], values wide[B, M, V], `held` wide[B], how many, and uses wide[B, M]."""
        rows, slots, width = x.type.axes[0], axis("M", self.capacity), x.type.axes[-1]
        pairs = {"keys": (rows, slots, self._key(x)), "values": (rows, slots, Axis("V", width.size))}
        more = {"uses": (rows, slots)} if self.evict == "least_used" else {}
        axes = {**pairs, "held": (rows,), **more}
        return {name: (b.full(0.0, Type(DType.WIDE)), Type(DType.WIDE, those)) for name, those in axes.items()}

    def readout(self, b: Builder, state: State, x: Value) -> Value:
        """Return the stream with what its tokens find."""
        return self._output(b, x, self.recall(b, state, x))

    def update(self, b: Builder, state: State, x: Value, write: Value | None = None) -> dict[str, Value]:
        """Return the pairs after the tokens that `write` lets through; a row without any keeps what it holds."""
        return self._written(b, state, x, self.recall(b, state, x), write)

    def step(self, b: Builder, state: State, x: Value, write: Value | None = None) -> tuple[Value, dict[str, Value]]:
        """Return the stream and the pairs after it; both look for likeness once."""
        recall = self.recall(b, state, x)
        return self._output(b, x, recall), self._written(b, state, x, recall, write)

    def confidence(self, b: Builder, state: State, x: Value) -> Value:
        """Return how sure the memory is of what each token finds."""
        return b.cast(self.recall(b, state, x).confidence, x.type.dtype)

    def _output(self, b: Builder, x: Value, recall: Recall) -> Value:
        y = project(b, b.cast(recall.found, x.type.dtype), "w_o", x.type.axes[-1])
        return x + y if self.residual else y

    def recall(self, b: Builder, state: State, x: Value) -> Recall:
        """Return what the tokens of a stream find, and how sure that is."""
        like = b.einsum("B T K, B M K -> B T M", self._keys(b, x), state["keys"], name="likeness")
        there = b.broadcast(self._filled(b, state), like.type.with_dtype(DType.BOOL))
        chosen = largest(b, b.where(there, like, float("-inf")), "M", self.top)
        read = count(b, chosen, "M")
        # cosines are more than -1; the largest is subtracted to keep the exponentials in range, and cancels
        peak = b.op("detach", b.amax(b.where(chosen, like, -1.0), "M"))
        share = b.where(chosen, b.exp((b.where(chosen, like, peak) - peak) * self.sharpness), 0.0)
        weights = share / b.where(b.op("less", 0.0, read), b.sum(share, "M"), 1.0)
        mean = b.sum(b.where(chosen, like, 0.0), "M") / b.op("maximum", read, 1.0)
        confidence = b.op("minimum", b.op("maximum", mean, 0.0), 1.0, name="confidence")
        found = b.einsum("B T M, B M V -> B T V", weights, state["values"], name="found")
        return Recall(found, confidence, chosen)

    def _written(
        self, b: Builder, state: State, x: Value, recall: Recall, write: Value | None = None
    ) -> dict[str, Value]:
        tokens = Type(DType.BOOL, x.type.axes[:2])
        allowed = b.full(1.0, tokens) if write is None else b.broadcast(write, tokens)
        written, held = allowed, dict(state)
        if self.writes != "all":
            written = largest(b, b.where(allowed, -recall.confidence, float("-inf")), "T", self.writes)
        if self.evict == "least_used":
            held["uses"] = held["uses"] + count(b, b.op("and", recall.chosen, allowed), "T")
        new = self._stored(b, held, x, written)
        moved = b.op("less", 0.0, count(b, written, "T"))
        return {name: b.where(moved, new[name], value) for name, value in state.items()}

    def _stored(self, b: Builder, state: State, x: Value, written: Value) -> dict[str, Value]:
        """Return the pairs that stay, in the first slots, and behind them those that are written."""
        # of more tokens than there are slots the last are kept
        after = b.broadcast(count(b, written, "T"), written.type.with_dtype(DType.WIDE))
        after = after - b.op("cumsum", b.cast(written, DType.WIDE), axis="T")
        kept = b.op("and", written, b.op("less", after, float(self.capacity)))
        stays = self._staying(b, state, count(b, kept, "T"))
        first, slots = count(b, stays, "M"), axis("M", self.capacity)
        old, new = packing(b, b.rename(stays, "M", "U"), slots), packing(b, kept, slots, first)
        stored = {name: self._moved(b, old, value) for name, value in state.items() if name != "held"}
        pairs = {"keys": self._keys(b, x), "values": b.rename(b.cast(x, DType.WIDE), x.type.names[-1], "V")}
        for name, value in pairs.items():
            width = value.type.names[-1]
            stored[name] += b.einsum(f"B M T, B T {width} -> B M {width}", new, b.op("detach", value))
        return stored | {"held": first + count(b, kept, "T")}

    def _staying(self, b: Builder, state: State, new: Value) -> Value:
        """Return which pairs make no room for so many new ones."""
        filled = self._filled(b, state)
        room = b.op("maximum", count(b, filled, "M") + new - float(self.capacity), 0.0)
        places = b.iota(filled.type.axes[-1], DType.WIDE)
        rank = state["uses"] if self.evict == "least_used" else b.broadcast(places, filled.type.with_dtype(DType.WIDE))
        return b.op("and", filled, b.op("not", lowest(b, rank, filled, room)))

    def _moved(self, b: Builder, to: Value, value: Value) -> Value:
        """Return what the slots hold at the places that they go to."""
        rest = " ".join(value.type.names[2:])
        return b.einsum(f"B M U, B U {rest} -> B M {rest}", to, b.rename(value, "M", "U"))

    def _filled(self, b: Builder, state: State) -> Value:
        """Return which slots hold a pair: the first ones, oldest first."""
        slots = Type(DType.WIDE, (state["held"].type.axes[0], axis("M", self.capacity)))
        return b.op("less", b.broadcast(b.iota(slots.axes[1], DType.WIDE), slots), state["held"])

    def _keys(self, b: Builder, x: Value) -> Value:
        """Return the keys of a stream, wide[B, T, K], of length 1 but for eps."""
        key = b.cast(project(b, x, "w_k", self._key(x)), DType.WIDE)
        return key * b.op("rsqrt", b.sum(key * key, "K") + self.eps)

    def _key(self, x: Value) -> Axis:
        return axis("K", self.width or x.type.width(x.type.names[-1]))
