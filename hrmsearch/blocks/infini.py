"""Infini-attention: local softmax attention beside a compressive memory of what came before."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from hrmsearch.blocks.base import head_axes, merge_heads, project, split_heads
from hrmsearch.blocks.memory import Memory
from hrmsearch.ir import Axis, Builder, DType, Type, Value
from hrmsearch.ir.chunks import chunked, unchunked
from hrmsearch.spec.fields import OrNone
from hrmsearch.spec.problems import FieldProblem


class Infini(Memory):
    """A linear-attention memory M[B, A, K, V], z[B, A, K] with sigma(u) = ELU(u) + 1.

    readout: A_mem = sigma(q) M / (sigma(q) z + eps), zero from an empty memory. update, after the readout:
    `linear` M += sigma(k)^T v, `delta` M += sigma(k)^T (v - sigma(k) M / (sigma(k) z + eps)); z += sum_t sigma(k_t).
    local: causal softmax attention over the same tokens, mixed by sigmoid(beta), one beta per head. chunk: the memory
    is read and updated every `chunk` tokens inside a window, as in the paper; `none` is once per window. residual adds
    the stream. gate `token` blends the result with the stream instead, by sigmoid(x W_g). The memory has no positions.
    Source: Munkhdalai et al. 2024, arXiv:2404.07143, eqs. 3-10.
    """

    kind: Literal["infini"] = "infini"
    heads: PositiveInt = 4
    rule: Literal["linear", "delta"] = Field(default="linear", alias="update")
    chunk: Annotated[PositiveInt | None, OrNone()] = None
    local: bool = True
    gate: Literal["head", "token"] = "head"
    residual: bool = True
    eps: PositiveFloat = 1e-6

    @model_validator(mode="after")
    def _one_bypass(self) -> Self:
        if self.gate == "token" and self.residual:
            raise FieldProblem("a token gate already lets the stream pass; set residual: false", "residual")
        return self

    @property
    def continues(self) -> bool:
        """With chunks, each is read before it is written, and the next one sees it."""
        return self.chunk is not None

    def init_state(self, b: Builder, x: Value) -> Mapping[str, tuple[Value, Type]]:
        """Return empty M and z."""
        rows, (a, width) = x.type.axes[0], head_axes(b, x, self.heads)
        types = {
            "M": Type(DType.WIDE, (rows, a, width, Axis("V", width.size))),
            "z": Type(DType.WIDE, (rows, a, width)),
        }
        return {name: (b.full(0.0, Type(DType.WIDE)), type_) for name, type_ in types.items()}

    def readout(self, b: Builder, state: Mapping[str, Value], x: Value) -> Value:
        """Return the stream after the memory, read before any update of this window."""
        if self.chunk is not None:
            return self.step(b, state, x)[0]
        q, k, v = self._heads(b, x)
        return self._output(b, x, self._mix(b, self._retrieve(b, state, q), q, k, v))

    def update(self, b: Builder, state: Mapping[str, Value], x: Value, write: Value | None = None) -> dict[str, Value]:
        """Return M and z after the tokens that `write` lets through."""
        if self.chunk is not None:
            return self._by_chunks(b, state, x, self.chunk, write)[1]
        _, k, v = self._heads(b, x)
        return self._write(b, state, k, v, write)

    def step(
        self, b: Builder, state: Mapping[str, Value], x: Value, write: Value | None = None
    ) -> tuple[Value, dict[str, Value]]:
        """Return the stream and the memory after it; chunk by chunk where `chunk` is set."""
        if self.chunk is None:
            return super().step(b, state, x, write)
        mixed, new = self._by_chunks(b, state, x, self.chunk, write)
        return self._output(b, x, mixed), new

    def _by_chunks(
        self, b: Builder, state: Mapping[str, Value], x: Value, size: int, write: Value | None = None
    ) -> tuple[Value, dict[str, Value]]:
        """Return what the heads read, (B, A, T, V), and the memory at the end; each chunk reads, then writes."""
        chunks = [chunked(b, value, size) for value in self._heads(b, x)]

        def body(m: Value, z: Value, q: Value, k: Value, v: Value, there: Value) -> list[Value]:
            held = {"M": m, "z": z}
            mixed = self._mix(b, self._retrieve(b, held, q), q, k, v)
            new = self._write(b, held, k, v, there)
            return [new["M"], new["z"], mixed]

        along = [*chunks, self._there(b, x, size, write)]
        m, z, mixed = b.scan("n", [state["M"], state["z"]], along, body, at=2)
        return unchunked(b, mixed, x.type.axes[x.type.index("T")]), {"M": m, "z": z}

    def _heads(self, b: Builder, x: Value) -> tuple[Value, Value, Value]:
        q, k = (split_heads(b, project(b, x, f"w_{name}"), self.heads) for name in "qk")
        return q, k, split_heads(b, project(b, x, "w_v"), self.heads, "V")

    def _retrieve(self, b: Builder, state: Mapping[str, Value], q: Value) -> Value:
        """Return sigma(q) M / (sigma(q) z + eps), wide."""
        lead = " ".join(q.type.names)
        s = _sigma(b, q, "sigma_q")
        total = b.einsum(f"{lead}, B A K V -> {lead[:-1]}V", s, state["M"])
        weight = b.einsum(f"{lead}, B A K -> {lead[:-2]}", s, state["z"])
        return b.op("div", total, weight + self.eps, name="found")

    def _write(
        self, b: Builder, state: Mapping[str, Value], k: Value, v: Value, write: Value | None
    ) -> dict[str, Value]:
        keys, values = _sigma(b, k, "sigma_k"), b.cast(v, DType.WIDE)
        if self.rule == "delta":
            values = values - self._retrieve(b, state, k)
        if write is not None:
            keys = b.where(self._over_heads(b, write, keys), keys, 0.0)
        t = k.type.names[-2]
        outer = b.einsum(f"B A {t} K, B A {t} V -> B A K V", keys, values)
        return {"M": state["M"] + outer, "z": state["z"] + b.sum(keys, t)}

    def _over_heads(self, b: Builder, write: Value, keys: Value) -> Value:
        """Return a mask over tokens, with or without rows, as one over (B, A, T, K)."""
        return b.broadcast(write, keys.type.with_dtype(DType.BOOL))

    def _mix(self, b: Builder, found: Value, q: Value, k: Value, v: Value) -> Value:
        """Return sigmoid(beta) A_mem + (1 - sigmoid(beta)) A_local, or A_mem alone."""
        found = b.cast(found, q.type.dtype)
        if not self.local:
            return found
        k, v = (b.rename(value, value.type.names[-2], "U") for value in (k, v))
        local = b.op("attention", q, k, v, causal=True, scale=q.type.width("K") ** -0.5, name="local")
        gate = b.sigmoid(b.param("beta", (q.type.axes[1],), "zeros"))
        return gate * found + (1.0 - gate) * local

    def _output(self, b: Builder, x: Value, mixed: Value) -> Value:
        y = project(b, merge_heads(b, mixed), "w_o")
        if self.gate == "token":
            gate = b.sigmoid(project(b, x, "w_g"))
            return gate * y + (1.0 - gate) * x
        return x + y if self.residual else y

    def _there(self, b: Builder, x: Value, size: int, write: Value | None) -> Value:
        """Return bool[.., n, S]: where a token stands, not padding, that may be written."""
        tokens = x.type.axes[x.type.index("T")]
        ones = b.full(1.0, Type(DType.COMPUTE, (tokens,)))
        return b.op("less", 0.5, chunked(b, ones if write is None else b.where(write, ones, 0.0), size))


def _sigma(b: Builder, u: Value, name: str) -> Value:
    """Return ELU(u) + 1, wide and positive."""
    u = b.cast(u, DType.WIDE)
    # at 0 itself the side without a corner, on which differences agree with the derivative
    return b.op("where", b.op("less", u, 0.0), b.exp(b.op("minimum", u, 0.0)), u + 1.0, name=name)
