"""sLSTM, the scalar-memory cell of xLSTM: a true recurrence with exponential gates."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from hrmsearch.blocks.base import State, head_axes, headwise
from hrmsearch.blocks.causal_conv import causal_conv, conv_state
from hrmsearch.blocks.layer_norm import head_norm
from hrmsearch.blocks.recurrent import Recurrent
from hrmsearch.ir import Axis, Builder, DType, Type, Value
from hrmsearch.spec.fields import InitRule, OrNone


class SLSTM(Recurrent):
    """Per channel a cell c, a normaliser n and a stabiliser m; per head a matrix R that feeds the output back.

        [i, f, z, o]_t = W x_t + R y_(t-1) + b            one block per head in W and R; gates in this order
        m_t = max(i_t, log sigmoid(f_t) + m_(t-1))        i_t where nothing was written yet (n = 0)
        i' = exp(i_t - m_t)    f' = min(1, exp(log sigmoid(f_t) + m_(t-1) - m_t))
        c_t = f' c_(t-1) + i' tanh(z_t)    n_t = f' n_(t-1) + i'    y_t = sigmoid(o_t) c_t / n_t

    The output is y, normalised per head. conv: the width of a causal convolution with SiLU ahead of the input and the
    forget gate, or none. depth: where the block stands in the model, from 0 (first) to 1 (last); forget biases start at
    5 - 12 (k/(K-1))^(0.3 + 1.3 depth) over the K channels of a head, so that deeper blocks remember longer. eps: of
    the norm.

    y does not depend on m, which only keeps exponentials in range; but m is a state that others may read. Its rule for
    an empty cell is asked for each channel by itself. The published code asks it for the whole batch at once, which is
    the same where all rows start together, and where they do not its rows depend on each other. There a row that starts
    later has another m, and c and n by the same factor, but the same y. From then on n >= 1, and i' <= 1 by itself.

    Source: Beck et al. 2024, arXiv:2405.04517, eqs. 8-17 and appendix A.2; NX-AI/xlstm 2.0.6, the `vanilla` cell.
    """

    kind: Literal["slstm"] = "slstm"
    heads: PositiveInt = 4
    conv: Annotated[Annotated[int, Field(ge=2)] | None, OrNone()] = 4
    depth: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    eps: PositiveFloat = 1e-5

    def init_state(self, b: Builder, x: Value) -> Mapping[str, tuple[Value, Type]]:
        """Return c, n and m wide[B, A, K], the last output y[B, A, K], and the past of the convolution; all zero."""
        cell = (x.type.axes[0], *head_axes(b, x, self.heads))
        types = {name: Type(DType.WIDE, cell) for name in "cnm"} | {"y": Type(DType.COMPUTE, cell)}
        if self.conv is not None:
            types["conv"] = conv_state(x, self.conv, x.type.axes[-1])
        return {name: (b.full(0.0, Type(type_.dtype)), type_) for name, type_ in types.items()}

    def step(self, b: Builder, x: Value, state: State, write: Value | None = None) -> tuple[Value, dict[str, Value]]:
        """Return the mixed (B, T, D) and the states after it."""
        new, seen = dict[str, Value](), x
        if self.conv is not None:
            seen, new["conv"] = causal_conv(b, x, state["conv"], write)
            seen = b.op("silu", seen)
        gates = [self._gate(b, u, name) for name, u in (("i", seen), ("f", seen), ("z", x), ("o", x))]
        y, cell = self.cell(b, b.rename(b.concat("K", *gates), "K", "F"), state, write)
        y = head_norm(b, y, self.eps)
        return b.merge(y, "A", "K", x.type.names[-1]), {name: (cell | new)[name] for name in state}

    def cell(self, b: Builder, raw: Value, state: State, write: Value | None = None) -> tuple[Value, dict[str, Value]]:
        """Return y, (B, T, A, K), and c, n, m, y at the end, for gates (B, T, A, 4K) that R y is added to."""
        _, _, heads, four = raw.type.axes
        r = b.param("r", (heads, Axis("K", state["y"].type.size("K")), four), "zeros")
        names = ("c", "n", "m", "y")

        def body(c: Value, n: Value, m: Value, y: Value, raw_t: Value, *write_t: Value) -> list[Value]:
            gates = b.op("add", raw_t, b.einsum("B A K, A K F -> B A F", y, r), name="gates")
            new = _advance(b, gates, c, n, m)
            kept = [b.where(w, v, old) for w in write_t for v, old in zip(new, (c, n, m, y), strict=True)]
            return [*(kept or new), new[-1]]

        along = [raw] if write is None else [raw, write]
        *last, y = b.scan("T", [state[name] for name in names], along, body, at=1)
        y.name = "y"
        return y, dict(zip(names, last, strict=True))

    def _gate(self, b: Builder, x: Value, name: str) -> Value:
        """Return a gate's input part with its bias, (B, T, A, K)."""
        dim = x.type.width(x.type.names[-1])
        raw = headwise(b, x, f"w_{name}", self.heads, InitRule(normal=math.sqrt(0.4 / dim)))
        axes = raw.type.axes[-2:]
        return raw + b.param(f"b_{name}", axes, self._forget_bias(raw.type.width("K")) if name == "f" else "zeros")

    def _forget_bias(self, width: int) -> Any:
        power = 0.3 + 1.3 * self.depth
        return {"values": [5.0 - 12.0 * (k / max(width - 1, 1)) ** power for k in range(width)]}


def _advance(b: Builder, gates: Value, c: Value, n: Value, m: Value) -> list[Value]:
    """Return c, n, m and y after a token, for its gates (B, A, 4K)."""
    width, wide = c.type.width("K"), b.cast(gates, DType.WIDE)
    i, f, z, o = (b.slice(wide, "F", at * width, width, "K", f"{name}_t") for at, name in enumerate("ifzo"))
    carried = b.op("sub", m, b.op("softplus", -f), name="carried")
    m = b.op("where", b.op("equal", n, 0.0), i, b.op("maximum", i, carried), name="m")
    # bounded before the exponential, whose overflow would have no gradient
    forget = b.op("exp", b.op("minimum", carried - m, 0.0), name="forget")
    take = b.op("exp", i - m, name="take")
    c = b.op("add", forget * c, take * b.op("tanh", z), name="c")
    n = b.op("add", forget * n, take, name="n")
    return [c, n, m, b.cast(b.sigmoid(o) * c / n, gates.type.dtype)]
