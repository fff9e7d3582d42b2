"""Functions that stand at the head of an emitted file where its model needs them, printed as they stand here."""

# tinygrad's own annotations are partial
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import functools
import inspect
import math
from collections.abc import Mapping
from typing import Final

from tinygrad.dtype import DType, dtypes
from tinygrad.tensor import Tensor

from hrmsearch_tinygrad.scans import SCAN_HELPERS, unbind


def wide(x: Tensor) -> Tensor:
    """Return x in at least float32."""
    return x if x.dtype == dtypes.float64 else x.float()


def sigmoid(x: Tensor) -> Tensor:
    """Return y = 1 / (1 + exp(-x)) with the gradient y (1 - y): tinygrad's own is no number where exp overflows."""
    y = x.detach().sigmoid()
    return y + (x - x.detach()) * (y * (1.0 - y)).detach()


def silu(x: Tensor) -> Tensor:
    """Return x * sigmoid(x)."""
    return x * sigmoid(x)


def expm1(x: Tensor) -> Tensor:
    """Return exp(x) - 1, by its series near 0, where the difference would lose digits."""
    near, series = x.clamp(-0.5, 0.5), x.const_like(0.0)
    for n in range(15, 0, -1):
        series = (series + 1.0) * near / n
    return (x.abs() < 0.5).where(series, x.exp() - 1.0)


def log1p(x: Tensor) -> Tensor:
    """Return log(1 + x), by a series in x / (2 + x) near 0, where the sum would lose digits."""
    near = x.clamp(-0.5, 0.5)
    ratio, series = near / (near + 2.0), x.const_like(0.0)
    for n in range(33, 0, -2):
        series = series * ratio * ratio + 2.0 / n
    return (x.abs() < 0.5).where(series * ratio, (1.0 + x).log())


def atan(x: Tensor) -> Tensor:
    """Return the arc tangent, by its series after the angle was halved twice, with the gradient 1 / (1 + x^2)."""
    at = x.detach()
    # beyond 1 it is that of 1 / x, so that no square overflows
    beyond, size = at.abs() > 1.0, at.abs()
    part = beyond.where(1.0 / size.maximum(1.0), size)
    for _ in range(2):
        part = part / (1.0 + (1.0 + part.square()).sqrt())
    square, series = part.square(), x.const_like(1.0 / 19)
    for n in range(17, 0, -2):
        series = 1.0 / n - series * square
    angle = 4.0 * part * series
    y = at.sign() * beyond.where(math.pi / 2 - angle, angle)
    return y + (x - at) / (1.0 + at.square())


def erf(x: Tensor) -> Tensor:
    """Return the error function in double precision, from rational functions (Cody 1969, Math. Comp. 23)."""

    def horner(at: Tensor, *coefficients: float) -> Tensor:
        value = at.const_like(coefficients[0])
        for coefficient in coefficients[1:]:
            value = value * at + coefficient
        return value

    near, far = x.clamp(-0.5, 0.5), x.abs().maximum(0.46875)
    square = near.square()
    up = horner(square, 0.185777706184603153, 3.16112374387056560, 113.864154151050156, 377.485237685302021,
                3209.37758913846947)  # fmt: skip
    down = horner(square, 1.0, 23.6012909523441209, 244.024637934444173, 1282.61652607737228, 2844.23683343917062)
    over = horner(far, 2.15311535474403846e-8, 0.564188496988670089, 8.88314979438837594, 66.1191906371416295,
                  298.635138197400131, 881.952221241769090, 1712.04761263407058, 2051.07837782607147,
                  1230.33935479799725)  # fmt: skip
    under = horner(far, 1.0, 15.7449261107098347, 117.693950891312499, 537.181101862009858, 1621.38957456669019,
                   3290.79923573345963, 4362.61909014324716, 3439.36767414372164, 1230.33935480374942)  # fmt: skip
    tail = 1.0 - (-far.square()).exp() * over / under
    return (x.abs() < 0.46875).where(near * up / down, x.sign() * tail)


def gelu(x: Tensor) -> Tensor:
    """Return x times the normal distribution at x."""
    return 0.5 * x * (1.0 + erf(x * math.sqrt(0.5)))


def rms_norm(x: Tensor, eps: float) -> Tensor:
    """Return x / sqrt(mean(x^2) + eps) over the last axis, computed in at least float32."""
    h = wide(x)
    return (h * (h.square().mean(-1, keepdim=True) + eps).rsqrt()).cast(x.dtype)


def layer_norm(x: Tensor, eps: float) -> Tensor:
    """Return (x - mean) / sqrt(variance + eps) over the last axis, computed in at least float32."""
    h = wide(x)
    h = h - h.mean(-1, keepdim=True)
    return (h * (h.square().mean(-1, keepdim=True) + eps).rsqrt()).cast(x.dtype)


def rope_angles(positions: int, width: int, base: float) -> list[list[float]]:
    """Rotary angles (positions, width) in double precision: position * base^(-2i / width), for both halves."""
    frequencies = [base ** (-2 * i / width) for i in range(width // 2)]
    return [[position * frequency for frequency in frequencies] * 2 for position in range(positions)]


@functools.cache
def rope_cos(positions: int, width: int, base: float, dtype: DType) -> Tensor:
    """Cosines (positions, width) of the rotary angles."""
    rows = rope_angles(positions, width, base)
    return Tensor([[math.cos(angle) for angle in row] for row in rows], dtype=dtype).realize()


@functools.cache
def rope_sin(positions: int, width: int, base: float, dtype: DType) -> Tensor:
    """Sines (positions, width) of the rotary angles."""
    rows = rope_angles(positions, width, base)
    return Tensor([[math.sin(angle) for angle in row] for row in rows], dtype=dtype).realize()


def rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each position's pairs (x_i, x_{i + K/2}) by the angles of its row in the tables."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + (-second).cat(first, dim=-1) * sin


def attention(q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool = False) -> Tensor:
    """Return softmax(scale * q k) v, over the keys up to each query's own where it is causal."""
    scores = q @ k.transpose(-2, -1) * scale
    if causal:
        seen = Tensor.ones(*scores.shape[-2:], dtype=dtypes.bool, buffer=False).tril()
        scores = seen.where(scores, -float("inf"))
    return scores.softmax(-1) @ v


def restore(start: Tensor, state: dict[str, Tensor] | None, path: str, reset: int | Tensor, lifetime: int) -> Tensor:
    """Return the carried state, with its start in the rows whose reset reaches its lifetime."""
    if state is None or (isinstance(reset, int) and reset >= lifetime):
        return start
    carried = state[path]
    if isinstance(reset, int):
        return carried
    rows = (reset >= lifetime).reshape(-1, *[1] * (carried.ndim - 1))
    return rows.where(start, carried)


def tiled(row: list[float], *sizes: int) -> Tensor:
    """Return the same entries along the last axis in every row."""
    return Tensor(row).expand(*sizes, -1).contiguous()


def trunc_normal(*shape: int, std: float) -> Tensor:
    """Draw normals cut at two deviations, scaled so that their own deviation is std; of 8 draws the last that fits."""
    cut = Tensor.zeros(*shape)
    for draw in unbind(Tensor.randn(8, *shape), 0):
        cut = (draw.abs() < 2.0).where(draw, cut)
    return cut * (std / 0.87962566103423978)


_FUNCTIONS = (
    wide, sigmoid, silu, expm1, log1p, atan, erf, gelu, rms_norm, layer_norm, rope_angles, rope_cos, rope_sin, rope,
    attention, restore, tiled, trunc_normal,
)  # fmt: skip

#: sources by name; a function comes after those that it calls
HELPERS: Final[Mapping[str, str]] = {
    **SCAN_HELPERS,
    **{function.__name__: inspect.getsource(function) for function in _FUNCTIONS},
}
