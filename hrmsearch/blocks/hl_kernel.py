"""The H/L kernel: the linear reading of a two-timescale HRM, run inside every token."""

import math
from collections.abc import Mapping
from typing import Any, Literal, Self, cast

from pydantic import Field, PositiveFloat, model_validator

from hrmsearch.algebra import (
    Affine,
    Complex,
    Level,
    Maths,
    Rule,
    Schedule,
    Weights,
    convex,
    graphs,
    rates,
    real_block,
    real_parts,
)
from hrmsearch.blocks.base import State, project
from hrmsearch.blocks.recurrent import Form, Recurrent, scan_form, spread, transition
from hrmsearch.ir import Builder, DType, Type, Value, axis
from hrmsearch.spec.problems import FieldProblem

# the initial length of a gated token: softplus of this is 1
_ONE = math.log(math.expm1(1.0))


class HLKernel(Recurrent):
    """A linear state (z_H, z_L) per channel that ticks `cycles` x `period` times in every token.

    With u = x W_in held during the token, for each channel:

        L tick   z_L <- a_L z_L + d z_H + c_L u       d = (1 - |a_L|) tanh(k_L), c_L = 1 - |a_L|
        H tick   z_H <- a_H z_H + b z_L + c_H u       b = (1 - |a_H|) tanh(k_H), c_H = 1 - |a_H|

    `period` L ticks, the last with an H tick, are a cycle; a level outside `inject` has c = 0. H reads the new z_L
    (`sequential`) or the old one (`simultaneous`). All is one affine map s_t = A s_(t-1) + B u_t, composed exactly.
    A level keeps a at its tick by its rate r, the tick's share of its time constant tau: `zoh` a = exp(-r), `bilinear`
    a = (1 - r/2) / (1 + r/2). `timescale` is tau_L of the first and last channel in tokens, log-spaced between; tau_H
    starts P times as long. `complex` channels turn too, a exp(i r q), and their k has a phase.
    gated: a token lasts softplus(x W_step + w) instead of 1, so every token has its own A and B (selective).
    Then y = (C_H z_H + C_L z_L + D u) silu(x W_gate) W_o, the real part for complex channels.
    form: how the recurrence is computed; `auto` leaves it to the compiler.

    Rows of |A| sum to at most 1 for all parameters, so nothing grows (see `algebra.stable`).
    Sources: the levels, Wang et al. 2025, arXiv:2506.21734 (HRM); time constants and discretisation, Gu et al. 2022,
    arXiv:2206.11893 (S4D); a step per token, Gu and Dao 2023, arXiv:2312.00752 (Mamba). The map and its bound are ours.
    """

    kind: Literal["hl_kernel"] = "hl_kernel"
    period: int = Field(default=4, ge=1, le=4096)
    cycles: int = Field(default=1, ge=1, le=4096)
    order: Literal["sequential", "simultaneous"] = "sequential"
    inject: tuple[Literal["L", "H"], ...] = Field(default=("L",), min_length=1)
    gated: bool = False
    discretize: Rule = "zoh"
    channels: Literal["real", "complex"] = "real"
    timescale: tuple[PositiveFloat, PositiveFloat] = (1.0, 64.0)
    form: Form = "auto"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if len(set(self.inject)) != len(self.inject):
            raise FieldProblem("a level occurs twice", "inject")
        if self.timescale[0] > self.timescale[1]:
            raise FieldProblem("the first must be at most the second", "timescale")
        if self.gated and self.form == "fft":
            raise FieldProblem("a gated kernel differs from token to token, so it has no fft form; say auto", "form")
        return self

    @property
    def schedule(self) -> Schedule:
        """When the levels tick within a token."""
        return Schedule(self.period, self.cycles, self.order, self.inject)

    def levels(self, maths: Maths[Any], weights: Mapping[str, Any], step: Any = None) -> tuple[Level[Any], Level[Any]]:
        """Return L and H over any ring, from the parameters by name.

        step: the length of a token, 1 unless the kernel is gated.
        """
        names = ("log_tau", "coupling", "turn", "phase")
        low, high = (Weights(*(weights.get(f"{name}_{level}") for name in names)) for level in ("L", "H"))
        fast, slow = rates(self.schedule, low.log_tau, high.log_tau, maths, step)
        return convex(low, fast, maths, self.discretize), convex(high, slow, maths, self.discretize)

    def init_state(self, b: Builder, x: Value) -> Mapping[str, tuple[Value, Type]]:
        """Return z[B, D, N] at zero: z_H and z_L, for complex channels their real parts, then their imaginary ones."""
        rows, channels = x.type.axes[0], x.type.axes[-1]
        size = 4 if self.channels == "complex" else 2
        return {"z": (b.full(0.0, Type(DType.WIDE)), Type(DType.WIDE, (rows, channels, axis("N", size))))}

    def step(self, b: Builder, x: Value, state: State, write: Value | None = None) -> tuple[Value, dict[str, Value]]:
        """Return the mixed stream and z after its last token."""
        u, token = b.cast(project(b, x, "w_in"), DType.WIDE), self._token(b, x)
        over = u.type if self.gated else u.type.with_axes(u.type.axes[-1:])
        drive = self._drive(b, token, over, u, write)
        a = transition(b, real_block(token.matrix), over if write is None else u.type, ("N", "M"), write)
        form = scan_form(self.form, write)
        states, last = b.linear_scan(a, drive, state["z"], mix=("N", "M"), form=form)
        states.name = "states"
        return self._output(b, x, u, states), {"z": last}

    def _token(self, b: Builder, x: Value) -> Affine[Any]:
        """Return the map of a token; entries [D], or [B, T, D] where gated."""
        channels = x.type.axes[-1]
        weights = {name: b.cast(b.param(name, (channels,), rule), DType.WIDE) for name, rule in self._rules().items()}
        step = self._length(b, x) if self.gated else None
        low, high = self.levels(graphs(b), weights, step)
        _name({"a_L": low.keep, "d": low.read, "c_L": low.gain, "a_H": high.keep, "b": high.read, "c_H": high.gain})
        token = self.schedule.token(low, high)
        (hh, hl), (lh, ll) = token.matrix
        _name({"A_HH": hh, "A_HL": hl, "A_LH": lh, "A_LL": ll, "B_H": token.vector[0], "B_L": token.vector[1]})
        return token

    def _rules(self) -> dict[str, Any]:
        """Return the initial rules of what the levels learn, by name."""
        rules: dict[str, Any] = {
            f"log_tau_{level}": {"linspace": [math.log(stretch * tau) for tau in self.timescale]}
            for level, stretch in (("L", 1), ("H", self.period))
        }
        both: dict[str, Any] = {"coupling": {"uniform": [0.0, 1.0]}}
        if self.channels == "complex":
            both |= {"turn": {"uniform": [0.0, math.pi]}, "phase": "zeros"}
        return rules | {f"{name}_{level}": rule for name, rule in both.items() for level in ("L", "H")}

    def _length(self, b: Builder, x: Value) -> Value:
        """Return how long each token lasts in each channel."""
        bias = b.param("step", x.type.axes[-1:], {"constant": _ONE})
        return b.op("softplus", b.cast(project(b, x, "w_step") + bias, DType.WIDE))

    def _drive(self, b: Builder, token: Affine[Any], over: Type, u: Value, write: Value | None) -> Value:
        """Return B u, (B, T, D, N), and zero at tokens that are not written."""
        entries, one = real_parts(token.vector), over.with_axes([*over.axes, axis("N", 1)])
        vector = b.concat("N", *(spread(b, entry, one) for entry in entries))
        held = u.type.with_axes([*u.type.axes, axis("N", len(entries))])
        drive = b.op("mul", b.broadcast(u, held), vector, name="drive")
        return drive if write is None else b.where(write, drive, 0.0)

    def _output(self, b: Builder, x: Value, u: Value, states: Value) -> Value:
        channels, parts = states.type.axes[-2:]
        readout = b.param("readout", (channels, parts), {"normal": states.type.width("N") ** -0.5})
        skip = b.param("skip", (channels,), "ones")
        y = b.einsum("B T D N, D N -> B T D", states, b.cast(readout, DType.WIDE))
        y = b.cast(y + u * b.cast(skip, DType.WIDE), x.type.dtype)
        return project(b, y * b.op("silu", project(b, x, "w_gate")), "w_o")


def _name(entries: Mapping[str, Any]) -> None:
    """Give entries their names in the equations, which readers of the graph and of emitted source will see."""
    for name, entry in entries.items():
        if isinstance(entry, Complex):
            number = cast("Complex[Any]", entry)
            _name({f"{name}_re": number.re, f"{name}_im": number.im})
        elif isinstance(entry, Value) and not entry.name:
            entry.name = name
