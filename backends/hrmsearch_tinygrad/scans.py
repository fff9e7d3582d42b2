"""The forms of `linear_scan` as functions for the head of an emitted file, printed as they stand here.

Every form works on any layout. The axis of time is counted from the end, the same in all operands; a transition that
stays the same has length 1 there. A scan by matrices has their two axes first, and multiplies column by column: a
product written as a sum would be a kernel of its own, and unrolled it joins the one around it. None divides.

tinygrad makes one kernel of whatever may be one, and takes longer over a deep one than over several: `contiguous` cuts
them. A forward and its gradient over 256 steps compile in 9 s by `by_scan` (26 kernels), in 23 s by `by_chunk` (16);
`by_step` has kernels of its own for every eight steps, so that it is for a few steps only.
"""

# tinygrad's own annotations are partial, and leave open that sizes are numbers
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportArgumentType=false

import inspect
from collections.abc import Callable, Mapping
from typing import Final

from tinygrad.tensor import Tensor


def unbind(x: Tensor, dim: int) -> list[Tensor]:
    """Return the slices of a tensor along an axis."""
    return [part.squeeze(dim) for part in x.split(1, dim)]


def entries(x: Tensor, dim: int, start: int, stop: int) -> Tensor:
    """Return `x[start:stop]` along an axis counted from the end."""
    return x.shrink((*[None] * (x.ndim + dim), (start, stop), *[None] * (-dim - 1)))


def later(x: Tensor, dim: int, steps: int) -> Tensor:
    """Return x as it was so many steps ago along an axis counted from the end; one entry stands for all."""
    if x.shape[dim] == 1:
        return x
    return x.pad((*[None] * (x.ndim + dim), (steps, -steps), *[None] * (-dim - 1)))


def scale_add(b: Tensor | float, a: Tensor, h: Tensor) -> Tensor:
    """Return b + a h, elementwise."""
    return a * h + b


def multiply_add(b: Tensor | float, a: Tensor, h: Tensor) -> Tensor:
    """Return b + a h for matrices, whose rows and columns are the first two axes."""
    first, *others = (a[:, i : i + 1] * h[i : i + 1] for i in range(a.shape[1]))
    return sum(others, first + b)


def by_step(add: Callable[..., Tensor], a: Tensor, b: Tensor, h: Tensor, dim: int) -> Tensor:
    """Return every h_t, one after another; a has as many steps as b, or one for all."""
    states: list[Tensor] = []
    transitions = unbind(a, dim) * (b.shape[dim] // a.shape[dim])
    for a_t, b_t in zip(transitions, unbind(b, dim), strict=True):
        h = add(b_t, a_t, h)
        # a kernel that computes many steps takes long to compile, and in the end too long for a compiler
        h = h.contiguous() if len(states) % 8 == 7 else h
        states.append(h)
    return Tensor.stack(*states, dim=dim)


def chunks(x: Tensor, dim: int, length: int) -> Tensor:
    """Cut an axis into chunks, the last one filled up with zeros; one entry stands for all and stays alone."""
    if x.shape[dim] == 1:
        return x.unsqueeze(dim)
    lacking = -x.shape[dim] % length
    return x.pad((*[None] * (x.ndim + dim), (0, lacking), *[None] * (-dim - 1))).unflatten(dim, (-1, length))


def by_chunk(add: Callable[..., Tensor], a: Tensor, b: Tensor, h: Tensor, dim: int, length: int = 8) -> Tensor:
    """Return every h_t: all chunks side by side from zero, then what each hands on, then each from where it starts."""
    steps = b.shape[dim]
    if steps <= length:
        return by_step(add, a, b, h, dim)
    a, b = chunks(a, dim, length), chunks(b, dim, length)
    step, *steps_a = unbind(a, dim) * (length // a.shape[dim])
    end, *steps_b = unbind(b, dim)
    for a_t, b_t in zip(steps_a, steps_b, strict=True):
        step, end = add(0.0, a_t, step), add(b_t, a_t, end)
    ends = by_chunk(add, step.contiguous(), end.contiguous(), h, dim, length).contiguous()
    starts = h.unsqueeze(dim).cat(entries(ends, dim, 0, ends.shape[dim] - 1), dim=dim)
    return entries(by_step(add, a, b, starts, dim).flatten(dim - 1, dim), dim, 0, steps)


def by_scan(add: Callable[..., Tensor], a: Tensor, b: Tensor, h: Tensor, dim: int) -> Tensor:
    """Return every h_t in rounds: after k of them a step has what the 2^k steps up to it make together."""
    steps, span = b.shape[dim], 1
    start = add(0.0, entries(a, dim, 0, 1), h.unsqueeze(dim))
    b = b + start.pad((*[None] * (start.ndim + dim), (0, steps - 1), *[None] * (-dim - 1)))
    while span < steps:
        b, a = add(b, a, later(b, dim, span)).contiguous(), add(0.0, a, later(a, dim, span)).contiguous()
        span *= 2
    return b


def linear_scan(form: Callable[..., Tensor], a: Tensor, b: Tensor, start: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return every h_t = a_t * h_(t-1) + b_t along an axis counted from the end, from h_0 = start, and the last one."""
    states = form(scale_add, a, b, start, dim)
    return states, entries(states, dim, states.shape[dim] - 1, states.shape[dim]).squeeze(dim)


def moved(x: Tensor, axis: int, to: int) -> Tensor:
    """Return a tensor with an axis moved to another place."""
    order = [i for i in range(x.ndim) if i != axis % x.ndim]
    order.insert(to % x.ndim, axis % x.ndim)
    return x.permute(order)


def matrix_scan(
    form: Callable[..., Tensor], a: Tensor, b: Tensor, start: Tensor, dim: int, row: int
) -> tuple[Tensor, Tensor]:
    """Return every h_t = a_t h_(t-1) + b_t and the last one, for matrices a (row, column, ...) and rows of b at `row`.

    Axes are counted from the end, `dim` as if the rows were moved to the front.
    """
    inner = row + (row < dim)  # where the start, which has no time, has its rows
    states = form(multiply_add, a, moved(b, row, 0).unsqueeze(1), moved(start, inner, 0).unsqueeze(1), dim).squeeze(1)
    last = entries(states, dim, states.shape[dim] - 1, states.shape[dim]).squeeze(dim)
    return moved(states, 0, row), moved(last, 0, inner)


#: sources by name; a function comes after those that it calls
SCAN_HELPERS: Final[Mapping[str, str]] = {
    function.__name__: inspect.getsource(function)
    for function in (
        unbind, entries, later, scale_add, multiply_add, by_step, chunks, by_chunk, by_scan, linear_scan, moved,
        matrix_scan,
    )
}  # fmt: skip
#: the forms that tinygrad has, each with its function; it has no FFT
FORMS: Final[Mapping[str, str]] = {"step": "by_step", "chunk": "by_chunk", "scan": "by_scan"}
#: what a scan without a form gets
DEFAULT: Final = "scan"
