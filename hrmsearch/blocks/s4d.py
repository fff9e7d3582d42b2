"""S4D: a diagonal state space per channel, complex and stable by construction."""

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from hrmsearch.algebra import Complex, real_block, real_parts
from hrmsearch.blocks.base import State, project
from hrmsearch.blocks.recurrent import Form, Recurrent, scan_form, transition
from hrmsearch.ir import Axis, Builder, DType, Type, Value, axis
from hrmsearch.spec.problems import FieldProblem


class S4D(Recurrent):
    """s' = A s + u, y = Re(C s) + D u for each channel, sampled at steps of dt = exp(log_dt).

    A = -exp(log_a_re) + i a_im is diagonal with `state` entries in conjugate pairs, of which one half is kept, N, and
    its real part counted twice. s_t = A_bar s_(t-1) + u_t, and C takes B_bar along:

        zoh        A_bar = exp(dt A)                        B_bar = (A_bar - 1) / A
        bilinear   A_bar = (1 + dt A / 2) / (1 - dt A / 2)  B_bar = dt / (1 - dt A / 2)

    init: `lin` A_n = -1/2 + i pi n, or `inv` A_n = -1/2 + i (state / pi) (state / (2n + 1) - 1). dt: the range that
    steps are drawn from, evenly in log dt. activation: of y. output: the map after it, with a second one as its gate
    (`glu`), without (`linear`), or none. form: how the recurrence is computed; `auto` leaves it to the compiler.

    |A_bar| < 1 for all parameters, since Re A < 0. Source: Gu et al. 2022, arXiv:2206.11893, sections 3 and 4;
    state-spaces/s4, models/s4/s4d.py.
    """

    kind: Literal["s4d"] = "s4d"
    state: int = Field(default=64, ge=2, multiple_of=2)
    discretize: Literal["zoh", "bilinear"] = "zoh"
    init: Literal["lin", "inv"] = "lin"
    dt: tuple[PositiveFloat, PositiveFloat] = (1e-3, 1e-1)
    activation: Literal["gelu", "none"] = "gelu"
    output: Literal["glu", "linear", "none"] = "glu"
    form: Form = "auto"

    @model_validator(mode="after")
    def _range(self) -> Self:
        if not self.dt[0] < self.dt[1]:
            raise FieldProblem("the first end must be less than the second", "dt")
        return self

    def init_state(self, b: Builder, x: Value) -> Mapping[str, tuple[Value, Type]]:
        """Return s wide[B, D, N, R] at zero: R holds the real and the imaginary part."""
        rows, channels = x.type.axes[0], x.type.axes[-1]
        return {"s": (b.full(0.0, Type(DType.WIDE)), Type(DType.WIDE, (rows, channels, self._states, axis("R", 2))))}

    def step(self, b: Builder, x: Value, state: State, write: Value | None = None) -> tuple[Value, dict[str, Value]]:
        """Return the mixed (B, T, D) and the state after its last token."""
        y, last = self.respond(b, x, state["s"], write)
        y = y + b.param("skip", x.type.axes[-1:], {"normal": 1.0}) * x
        if self.activation == "gelu":
            y = b.op("gelu", y)
        if self.output == "none":
            return y, {"s": last}
        out = self._map(b, y, "out")
        return (out * b.sigmoid(self._map(b, y, "gate")) if self.output == "glu" else out), {"s": last}

    def respond(self, b: Builder, u: Value, start: Value, write: Value | None = None) -> tuple[Value, Value]:
        """Return 2 Re(C s_t) for every token of u, (B, T, D), and the last s."""
        keep, readout = self._sampled(b, u.type.axes[-1])
        here = Type(DType.WIDE, (*u.type.axes, self._states))
        real = b.broadcast(b.cast(u, DType.WIDE), here.insert(4, axis("R", 1)))
        drive = b.op("pad", real, axis="R", before=0, size="2", value=0.0, name="drive")
        if write is not None:
            drive = b.where(write, drive, 0.0)
        over = readout.type.without("R") if write is None else here
        a = transition(b, real_block([[keep]]), over, ("R", "Q"), write)
        states, last = b.linear_scan(a, drive, start, mix=("R", "Q"), form=scan_form(self.form, write))
        states.name = "states"
        return b.cast(b.einsum("B T D N R, D N R -> B T D", states, readout), u.type.dtype), last

    @property
    def _states(self) -> Axis:
        return axis("N", self.state // 2)

    def _sampled(self, b: Builder, channels: Axis) -> tuple[Complex[Any], Value]:
        """Return A_bar, entries [D, N], and what y reads of the real and imaginary parts of s, [D, N, R]."""
        axes = (channels, self._states)

        def param(name: str, axes: tuple[Axis, ...], rule: Any) -> Value:
            return b.cast(b.param(name, axes, rule), DType.WIDE)

        steps = param("log_dt", axes[:1], {"uniform": [math.log(end) for end in self.dt]})
        decay = param("log_a_re", axes, {"constant": math.log(0.5)})
        turn = param("a_im", axes, {"values": [self._frequency(n) for n in range(self.state // 2)]})
        sample = _zoh if self.discretize == "zoh" else _bilinear
        keep, take = sample(b, b.op("exp", steps, name="dt"), b.op("exp", decay, name="decay"), turn)
        c_re, c_im = (param(f"c_{part}", axes, {"normal": math.sqrt(0.5)}) for part in ("re", "im"))
        weights: Complex[Any] = Complex(c_re, c_im)
        re, im = real_parts([weights * take])
        one = c_re.type.insert(2, axis("R", 1))
        readout = b.op("concat", b.broadcast(2.0 * re, one), b.broadcast(-2.0 * im, one), axis="R", name="readout")
        return keep, readout

    def _frequency(self, n: int) -> float:
        if self.init == "lin":
            return math.pi * n
        return self.state / math.pi * (self.state / (2 * n + 1) - 1.0)

    def _map(self, b: Builder, x: Value, name: str) -> Value:
        return project(b, x, f"w_{name}") + b.param(f"b_{name}", x.type.axes[-1:], "zeros")


def _zoh(b: Builder, dt: Value, decay: Value, turn: Value) -> tuple[Complex[Any], Complex[Any]]:
    """Return exp(dt A) and (exp(dt A) - 1) / A for A = -decay + i turn."""
    shrink, angle = -(dt * decay), b.op("mul", dt, turn, name="angle")
    size, cos = b.op("exp", shrink, name="size"), b.op("cos", angle, name="cos")
    im = b.op("mul", size, b.op("sin", angle), name="A_im")
    # exp(dt A) - 1 without the loss of digits where dt A is small
    half = b.op("sin", 0.5 * angle, name="half")
    rest: Complex[Any] = Complex(b.op("expm1", shrink) * cos - 2.0 * (half * half), im)
    norm = b.op("add", decay * decay, turn * turn, name="norm")
    return Complex(b.op("mul", size, cos, name="A_re"), im), rest * Complex(-decay / norm, -turn / norm)


def _bilinear(b: Builder, dt: Value, decay: Value, turn: Value) -> tuple[Complex[Any], Complex[Any]]:
    """Return (1 + dt A / 2) / (1 - dt A / 2) and dt / (1 - dt A / 2) for A = -decay + i turn."""
    p, q = b.op("mul", 0.5 * dt, decay, name="p"), b.op("mul", 0.5 * dt, turn, name="q")
    one = b.op("add", 1.0, p, name="one")
    norm = b.op("add", one * one, q * q, name="norm")
    re = b.op("div", 1.0 - p * p - q * q, norm, name="A_re")
    im = b.op("div", 2.0 * q, norm, name="A_im")
    return Complex(re, im), Complex(dt * (one / norm), dt * (q / norm))
