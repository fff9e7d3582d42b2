"""mLSTM, the matrix-memory layer of xLSTM: linear attention with exponential gates."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from hrmsearch.blocks.base import State, divided, fail, headwise, merge_heads, project, split_heads
from hrmsearch.blocks.causal_conv import causal_conv, conv_state
from hrmsearch.blocks.geglu import Expansion
from hrmsearch.blocks.layer_norm import head_norm
from hrmsearch.blocks.recurrent import Recurrent
from hrmsearch.ir import Axis, Builder, DType, Op, Type, Value, axis
from hrmsearch.ir.ops.mlstm import EMPTY, NEVER
from hrmsearch.spec.fields import InitRule, OrNone

_EPS = 1e-6  # the published code adds it to the normaliser


class MLSTM(Recurrent):
    """Per head a memory C [K, V], a normaliser n [K] and a stabiliser m; q, k, v and the gates come from the tokens.

        m_t = max(log sigmoid(f_t) + m_(t-1), i_t)    i' = exp(i_t - m_t)    f' = exp(log sigmoid(f_t) + m_(t-1) - m_t)
        C_t = f' C_(t-1) + i' k_t v_t'    n_t = f' n_(t-1) + i' k_t    k_t scaled by 1/sqrt(K)
        h_t = C_t' q_t / (max(|n_t q_t|, exp(-m_t)) + 1e-6)

    The layer around it, u = x W_up and s = SiLU(conv(u)): q and k from s, v from u, each by blocks of `block` channels;
    i_t and f_t from [q, k, v]; out = ((norm(h) + skip * s) * SiLU(x W_z)) W_down, the norm per head. width: the inner
    width F, or a rule for it. conv: the width of the causal convolution, or none. eps: of the norm.

    chunk: tokens that are mixed at once. `none` is the whole window, quadratic in its length; otherwise each chunk is
    quadratic and the memory goes from one to the next; 1 is the recurrence above. All give the same result.

    start: the stabiliser of an empty memory. It would cancel but for the 1e-6, which is added after scaling by
    exp(-m_t). `empty` lets the first token decide, as the published parallel form does; with `zero` m starts at 0, as
    in the published recurrent form. The two differ by about 3e-7.

    Source: Beck et al. 2024, arXiv:2405.04517, eqs. 19-27, appendix A.3 and figure 10; NX-AI/xlstm 2.0.6.
    """

    kind: Literal["mlstm"] = "mlstm"
    heads: PositiveInt = 4
    width: PositiveInt | Expansion = Field(default_factory=lambda: Expansion(factor=2.0))
    block: PositiveInt = 4
    conv: Annotated[Annotated[int, Field(ge=2)] | None, OrNone()] = 4
    chunk: Annotated[PositiveInt | None, OrNone()] = None
    start: Literal["empty", "zero"] = "empty"
    eps: PositiveFloat = 1e-5

    def init_state(self, b: Builder, x: Value) -> Mapping[str, tuple[Value, Type]]:
        """Return C wide[B, A, K, V], n wide[B, A, K], m wide[B, A] and the past of the convolution; all but m zero."""
        inner = self._inner(b, x)
        a, k = divided(b, inner.size.constant, self.heads)
        rows, v = x.type.axes[0], Axis("V", k.size)
        types = {name: Type(DType.WIDE, axes) for name, axes in (("C", (rows, a, k, v)), ("n", (rows, a, k)))}
        types["m"] = Type(DType.WIDE, (rows, a))
        if self.conv is not None:
            types["conv"] = conv_state(x, self.conv, inner)
        begun = {"m": EMPTY if self.start == "empty" else 0.0}
        return {name: (b.full(begun.get(name, 0.0), Type(type_.dtype)), type_) for name, type_ in types.items()}

    def step(self, b: Builder, x: Value, state: State, write: Value | None = None) -> tuple[Value, dict[str, Value]]:
        """Return the mixed (B, T, D) and the states after it."""
        inner, new = self._inner(b, x), dict[str, Value]()
        up = seen = project(b, x, "w_up", inner)
        if self.conv is not None:
            seen, new["conv"] = causal_conv(b, up, state["conv"], write)
            seen = b.op("silu", seen)
        q, k, v = (self._blockwise(b, u, f"w_{name}") for name, u in (("q", seen), ("k", seen), ("v", up)))
        y, cell = self.cell(b, q, k, v, state, write)
        y = (y + b.param("skip", (inner,), "ones") * seen) * b.op("silu", project(b, x, "w_z", inner))
        return project(b, y, "w_down", x.type.axes[-1]), {name: (cell | new)[name] for name in state}

    def cell(
        self, b: Builder, q: Value, k: Value, v: Value, state: State, write: Value | None = None
    ) -> tuple[Value, dict[str, Value]]:
        """Return h, normalised, and C, n, m at the end, for q, k, v, (B, T, F), which give the gates too."""
        width = q.type.names[-1]
        joined = b.concat(width, q, k, v)
        i, f = (self._gate(b, joined, name) for name in "if")
        q, k, v = (split_heads(b, u, self.heads, name) for u, name in ((q, "K"), (k, "K"), (v, "V")))
        y, new = self.recur(b, q, k, v, i, f, state, write)
        return merge_heads(b, head_norm(b, b.cast(y, q.type.dtype), self.eps), width), new

    def recur(
        self, b: Builder, q: Value, k: Value, v: Value, i: Value, f: Value, state: State, write: Value | None = None
    ) -> tuple[Value, dict[str, Value]]:
        """Return h, wide (B, A, T, V), and C, n, m at the end, for heads (B, A, T, K or V) and gates (B, A, T)."""
        q, k, v, i, f = (b.cast(value, DType.WIDE) for value in (q, k, v, i, f))
        k, f = k * k.type.width("K") ** -0.5, -b.op("softplus", -f)
        if write is not None:
            there = b.broadcast(write, i.type.with_dtype(DType.BOOL))
            i, f = b.where(there, i, NEVER), b.where(there, f, 0.0)
        names, attrs = ("C", "n", "m"), {"eps": _EPS, "chunk": self.chunk}
        operands = (q, k, v, i, f, *(state[name] for name in names))
        y, *last = b.append(Op("mlstm", operands, attrs, place=b.place)).results
        return y, dict(zip(names, last, strict=True))

    def _inner(self, b: Builder, x: Value) -> Axis:
        """Return the axis F of the inner width."""
        dim = x.type.width(x.type.names[-1])
        inner = self.width if isinstance(self.width, int) else self.width.width(dim)
        if inner % self.block:
            raise fail(b, "block", f"blocks of {self.block} channels do not divide the inner width {inner}")
        return axis("F", inner)

    def _blockwise(self, b: Builder, x: Value, name: str) -> Value:
        """Return x, (B, T, F), by a block-diagonal map."""
        width = x.type.width("F")
        rule = InitRule(normal=math.sqrt(0.4 / b.context.dim))
        return b.merge(headwise(b, x, name, width // self.block, rule), "A", "K", "F")

    def _gate(self, b: Builder, x: Value, name: str) -> Value:
        """Return a gate before its nonlinearity, (B, A, T)."""
        heads = axis("A", self.heads)
        remembered = [3.0 + 3.0 * a / max(self.heads - 1, 1) for a in range(self.heads)]
        bias = b.param(f"b_{name}", (heads,), {"normal": 0.1} if name == "i" else {"values": remembered})
        raw = project(b, x, f"w_{name}", heads, "zeros") + bias
        return b.transpose(raw, raw.type.names[0], "A", raw.type.names[1])
