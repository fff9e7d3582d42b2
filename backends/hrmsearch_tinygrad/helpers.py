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


def wide(x: Tensor) -> Tensor:
    """Return x in at least float32."""
    return x if x.dtype == dtypes.float64 else x.float()


def sigmoid(x: Tensor) -> Tensor:
    """Return 1 / (1 + exp(-x)); below -80 that of -80, because tinygrad's gradient is no number where exp overflows."""
    return x.maximum(-80.0).sigmoid()


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


def rms_norm(x: Tensor, eps: float) -> Tensor:
    """Return x / sqrt(mean(x^2) + eps) over the last axis, computed in at least float32."""
    h = wide(x)
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


def unbind(x: Tensor, dim: int) -> list[Tensor]:
    """Return the slices of a tensor along an axis."""
    return [part.squeeze(dim) for part in x.split(1, dim)]


def restore(start: Tensor, state: dict[str, Tensor] | None, path: str, reset: int | Tensor, lifetime: int) -> Tensor:
    """Return the carried state, with its start in the rows whose reset reaches its lifetime."""
    if state is None or (isinstance(reset, int) and reset >= lifetime):
        return start
    carried = state[path]
    if isinstance(reset, int):
        return carried
    rows = (reset >= lifetime).reshape(-1, *[1] * (carried.ndim - 1))
    return rows.where(start, carried)


def trunc_normal(*shape: int, std: float) -> Tensor:
    """Draw normals cut at two deviations, scaled so that their own deviation is std; of 8 draws the last that fits."""
    cut = Tensor.zeros(*shape)
    for draw in unbind(Tensor.randn(8, *shape), 0):
        cut = (draw.abs() < 2.0).where(draw, cut)
    return cut * (std / 0.87962566103423978)


#: sources by name; a function comes after those that it calls
HELPERS: Final[Mapping[str, str]] = {
    function.__name__: inspect.getsource(function)
    for function in (
        wide, sigmoid, silu, expm1, log1p, rms_norm, rope_angles, rope_cos, rope_sin, rope, attention, unbind, restore,
        trunc_normal,
    )
}  # fmt: skip
