"""A parametrisation of levels that cannot grow: whatever its parameters, a level's row is convex.

A level keeps a share of itself and takes the rest from what it reads:

    z <- a z + (1 - |a|) (tanh(k) (the other z) + x),    |a| + |(1 - |a|) tanh(k)| <= 1

so rows of absolute values sum to at most 1. That bound is closed under composition: no product of ticks, whichever the
schedule and however gates vary from token to token, has a spectral radius above 1. (Gains that are free of one another
have no such bound, and cycles of them do grow.)

a comes from a rate r, the tick's length over the level's time constant, of z' = (-z + ...) / tau: `zoh` a = exp(-r),
`bilinear` a = (1 - r/2) / (1 + r/2). With zoh, and with bilinear up to r = 2, the formula above is the discretised
equation itself, for the other z and x are constant during a tick. A complex channel turns by r q at each of its ticks,
under either rule: a <- a exp(i r q), a pole at (-1 + i q) / tau; its coupling has a phase too.
Discretisation: Gu et al. 2022, arXiv:2206.11893 (S4D). Convex rows: ours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, cast

import numpy as np

from hrmsearch.algebra import library
from hrmsearch.algebra.ring import Complex, R
from hrmsearch.algebra.schedule import Level, Schedule

if TYPE_CHECKING:
    from hrmsearch.ir import Builder, Value

Rule = Literal["zoh", "bilinear"]


@dataclass(frozen=True)
class Maths(Generic[R]):
    """The elementary functions of a ring, elementwise; `size` is the absolute value."""

    exp: Callable[[R], R]
    expm1: Callable[[R], R]
    tanh: Callable[[R], R]
    cos: Callable[[R], R]
    sin: Callable[[R], R]
    size: Callable[[R], R]


ARRAYS: Maths[Any] = Maths(np.exp, np.expm1, np.tanh, np.cos, np.sin, np.abs)


def formulas() -> Maths[Any]:
    """Return the functions of sympy expressions."""
    sympy = library.sympy()

    return Maths(sympy.exp, lambda x: sympy.exp(x) - 1, sympy.tanh, sympy.cos, sympy.sin, sympy.Abs)


def graphs(b: "Builder") -> "Maths[Value]":
    """Return the functions of IR values under construction."""

    def function(kind: str) -> "Callable[[Value], Value]":
        return lambda x: b.op(kind, x)

    return Maths(*map(function, ("exp", "expm1", "tanh", "cos", "sin", "abs")))


@dataclass(frozen=True)
class Weights(Generic[R]):
    """What a level learns, all unbounded: log tau (tau in tokens), k, and in a complex channel q and the phase of k."""

    log_tau: R
    coupling: R
    turn: R | None = None
    phase: R | None = None


def rates(schedule: Schedule, low: R, high: R, maths: Maths[R], step: R | None = None) -> tuple[R, R]:
    """Return how far L and H decay in a tick, from their log tau in tokens.

    A tick of L lasts 1 / (N_c P) tokens, one of H 1 / N_c; step: the length of this token, where that varies.
    """

    def rate(log_tau: R, ticks: int) -> R:
        per_token: Any = maths.exp(-log_tau)
        decay = per_token if ticks == 1 else per_token / ticks
        return decay if step is None else step * decay

    return rate(low, schedule.ticks), rate(high, schedule.cycles)


def convex(weights: Weights[R], rate: R, maths: Maths[R], rule: Rule) -> Level[Any]:
    """Return the level at a rate; its entries are `Complex` where the channel turns."""
    a, share = kept(rate, maths, rule)
    read: Any = share * maths.tanh(weights.coupling)
    if weights.turn is None or weights.phase is None:
        return Level(a, read, share)
    return Level(_polar(a, rate * weights.turn, maths), _polar(read, weights.phase, maths), Complex(share, 0))


def kept(rate: R, maths: Maths[R], rule: Rule) -> tuple[Any, Any]:
    """Return a, what a tick leaves of a state, and the share 1 - |a|, exact where a is close to 1 by zoh."""
    if rule == "zoh":
        return maths.exp(-rate), -maths.expm1(-rate)
    half: Any = cast("Any", rate) / 2
    a = (1 - half) / (1 + half)
    return a, 1 - cast("Any", maths.size(a))


def _polar(size: R, angle: R, maths: Maths[R]) -> Complex[R]:
    return Complex(size * maths.cos(angle), size * maths.sin(angle))
