"""A state of two levels per channel that ticks with the tokens: HRM's carry made into the state of a mixer."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from hrmsearch.blocks.base import State, project
from hrmsearch.blocks.recurrent import Recurrent
from hrmsearch.ir import Builder, DType, Type, Value


class HRMState(Recurrent):
    """Per channel a fast state z_L that every token updates, and a slow one z_H that every `period`-th token does.

        z_L <- a_t z_L + (1 - a_t) tanh(x_t W_in + k_L z_H)      a_t = sigmoid(x_t W_L + b_L)   at every token
        z_H <- h_t z_H + (1 - h_t) tanh(k_H z_L)                 h_t = sigmoid(x_t W_H + b_H)   where a period is full
        y_t = (sigmoid(x_t W_gate) (r_L z_L + r_H z_H)) W_o

    As in HRM, L sees the token and H as it was, and H sees L as it has just become, and no token but by its gate. Here
    nothing is mixed between channels on the way, so that one loop runs it, and both updates are convex, so that no
    state ever leaves [-1, 1], whatever the parameters. The tokens since H last moved are counted in the state too
    (`clock`), so a stream may be cut anywhere, and a token that is hidden by a mask is no tick. Gates begin with time
    constants from 1.4 to 20 updates, spread over the channels.

    The source names such a state and leaves it undefined (HRMStateMemory: two levels per token beside an sLSTM or an
    mLSTM); this definition is ours. Levels: Wang et al. 2025, arXiv:2506.21734 (HRM); clocks: Koutnik et al. 2014,
    arXiv:1402.3511.
    """

    kind: Literal["hrm_state"] = "hrm_state"
    period: int = Field(default=4, ge=1, le=4096)

    def init_state(self, b: Builder, x: Value) -> Mapping[str, tuple[Value, Type]]:
        """Return z_L, z_H and the clock, wide[B, D], all zero."""
        rows, _, width = x.type.axes
        return {name: (b.full(0.0, Type(DType.WIDE)), Type(DType.WIDE, (rows, width))) for name in _STATES}

    def step(self, b: Builder, x: Value, state: State, write: Value | None = None) -> tuple[Value, dict[str, Value]]:
        """Return the mixed stream and the states after its last token."""
        u = b.cast(project(b, x, "w_in"), DType.WIDE)
        along = [u, *(self._keep(b, x, level) for level in "LH"), *([] if write is None else [write])]
        k_l, k_h = (self._vector(b, x, f"coupling_{level}") for level in "LH")

        def body(z_l: Value, z_h: Value, clock: Value, u: Value, a: Value, h: Value, *write: Value) -> list[Value]:
            low = b.op("add", a * z_l, (1.0 - a) * b.op("tanh", u + k_l * z_h), name="low")
            ticks = clock + 1.0
            due = b.op("less", self.period - 0.5, ticks)
            high = b.where(due, h * z_h + (1.0 - h) * b.op("tanh", k_h * low), z_h)
            new = (low, high, b.where(due, 0.0, ticks))
            kept = [b.where(w, now, old) for w in write for now, old in zip(new, (z_l, z_h, clock), strict=True)]
            return [*(kept or new), low, high]

        *last, low, high = b.scan("T", [state[name] for name in _STATES], along, body, at=1)
        return self._output(b, x, low, high), dict(zip(_STATES, last, strict=True))

    def _keep(self, b: Builder, x: Value, level: str) -> Value:
        """Return how much of a level's state a token keeps, wide[B, T, D]."""
        bias = b.param(f"b_{level}", x.type.axes[-1:], {"linspace": [0.0, 3.0]})
        return b.sigmoid(b.cast(project(b, x, f"w_{level}") + bias, DType.WIDE))

    def _output(self, b: Builder, x: Value, low: Value, high: Value) -> Value:
        read = low * self._vector(b, x, "read_L") + high * self._vector(b, x, "read_H")
        y = b.cast(read, x.type.dtype) * b.sigmoid(project(b, x, "w_gate"))
        return project(b, y, "w_o")

    def _vector(self, b: Builder, x: Value, name: str) -> Value:
        return b.cast(b.param(name, x.type.axes[-1:], "ones"), DType.WIDE)


_STATES = ("z_L", "z_H", "clock")
