"""The forms of `linear_scan` as functions for the head of an emitted file, and the gradient that all of them share.

Every form works on any layout. The axis of time is counted from the end, the same in all operands; a transition that
stays the same has length 1 there. A scan by matrices has their two axes first, where a product is a few multiply-adds
over everything else: with tiny matrices at the end, torch's own products are ten times slower on a CPU. None divides.
"""

from collections.abc import Mapping

MULTIPLY_ADD = '''
def multiply_add(b: Tensor, a: Tensor, h: Tensor) -> Tensor:
    """Return b + a h for matrices, whose rows and columns are the first two axes."""
    for column, row in zip(a.split(1, 1), h, strict=True):
        b = torch.addcmul(b, column, row)
    return b
'''

MULTIPLY = '''
def multiply(add, a: Tensor, h: Tensor) -> Tensor:
    """Return the product that `add` adds."""
    return add(a.new_zeros(()), a, h)
'''

BY_STEP = '''
def by_step(add, a: Tensor, b: Tensor, h: Tensor, dim: int) -> Tensor:
    """Return every h_t, one after another; a has as many steps as b, or one for all."""
    states = []
    for a_t, b_t in zip(a.unbind(dim) * (b.shape[dim] // a.shape[dim]), b.unbind(dim), strict=True):
        h = add(b_t, a_t, h)
        states.append(h)
    return torch.stack(states, dim)
'''

BY_CHUNK = '''
def by_chunk(add, a: Tensor, b: Tensor, h: Tensor, dim: int, length: int = 8) -> Tensor:
    """Return every h_t: all chunks side by side from zero, then what each hands on, then each from where it starts."""
    steps = b.shape[dim]
    if steps <= length:
        return by_step(add, a, b, h, dim)
    a, b = chunks(a, dim, length), chunks(b, dim, length)
    step, *steps_a = a.unbind(dim) * (length // a.shape[dim])
    end, *steps_b = b.unbind(dim)
    for a_t, b_t in zip(steps_a, steps_b, strict=True):
        step, end = multiply(add, a_t, step), add(b_t, a_t, end)
    ends = by_chunk(add, step, end, h, dim, length)
    starts = torch.cat((h.unsqueeze(dim), ends.narrow(dim, 0, ends.shape[dim] - 1)), dim)
    return by_step(add, a, b, starts, dim).flatten(dim - 1, dim).narrow(dim, 0, steps)
'''

CHUNKS = '''
def chunks(x: Tensor, dim: int, length: int) -> Tensor:
    """Cut an axis into chunks, the last one filled up with zeros; one entry stands for all and stays alone."""
    if x.shape[dim] == 1:
        return x.unsqueeze(dim)
    lacking = -x.shape[dim] % length
    if lacking:
        x = torch.cat((x, torch.zeros_like(x.narrow(dim, 0, lacking))), dim)
    return x.unflatten(dim, (-1, length))
'''

BY_FFT = '''
def by_fft(add, a: Tensor, b: Tensor, h: Tensor, dim: int) -> Tensor:
    """Return every h_t = b_t + sum over l > 0 of a^l b_(t - l), b_0 being the start: a convolution with a's powers."""
    steps, x = b.shape[dim], wide(b)
    powers = power = wide(a)
    while powers.shape[dim] < steps:
        powers = torch.cat((powers, multiply(add, power, powers)), dim)
        power = multiply(add, power, power)
    before = torch.cat((wide(h).unsqueeze(dim), x.narrow(dim, 0, steps - 1)), dim)
    # twice as long, so that the end does not come round to the beginning
    spectra = (torch.fft.rfft(y, 2 * steps, dim) for y in (powers.narrow(dim, 0, steps), before))
    past = torch.fft.irfft(multiply(add, *spectra), 2 * steps, dim).narrow(dim, 0, steps)
    return (x + past).to(b.dtype)
'''

BY_SCAN = '''
def by_scan(add, a: Tensor, b: Tensor, h: Tensor, dim: int) -> Tensor:
    """Return every h_t: merge steps in pairs, find every second h_t from those, the others from their neighbours."""
    steps = b.shape[dim]
    if steps == 1:
        return add(b, a, h.unsqueeze(dim))
    half = steps // 2
    (a_odd, a_even), (b_odd, b_even) = every_second(a, dim), every_second(b, dim)
    paired = a_odd.narrow(dim, 0, min(half, a_odd.shape[dim])), b_odd.narrow(dim, 0, half)
    even = by_scan(add, multiply(add, a_even, paired[0]), add(b_even, a_even, paired[1]), h, dim)
    odd = add(b_odd, a_odd, torch.cat((h.unsqueeze(dim), even), dim).narrow(dim, 0, steps - half))
    both = torch.stack((odd.narrow(dim, 0, half), even), dim).flatten(dim - 1, dim)
    return torch.cat((both, odd.narrow(dim, half, steps - 2 * half)), dim) if steps > 2 * half else both
'''

EVERY_SECOND = '''
def every_second(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return the first, third, ... and the second, fourth, ... entries; one entry stands for all."""
    if x.shape[dim] == 1:
        return x, x
    x = x.movedim(dim, 0)
    return x[::2].movedim(0, dim), x[1::2].movedim(0, dim)
'''

LINEAR_SCAN_GRADIENT = '''
class LinearScan(torch.autograd.Function):
    """Every h_t = a_t h_(t-1) + b_t; gradient comes back by the same scan, from the last step to the first."""

    @staticmethod
    def forward(form, add, a: Tensor, b: Tensor, start: Tensor, dim: int) -> Tensor:
        return form(add, a, b, start, dim)

    @staticmethod
    def setup_context(ctx, inputs, output: Tensor) -> None:
        ctx.form, ctx.add, a, _, start, ctx.dim = inputs
        ctx.save_for_backward(a, start, output)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (a, start, states), dim = ctx.saved_tensors, ctx.dim
        before = torch.cat((start.unsqueeze(dim), states.narrow(dim, 0, states.shape[dim] - 1)), dim)
        if ctx.add is not torch.addcmul:
            a, before = a.transpose(0, 1), before.transpose(0, 1)
        later, back = a.flip(dim).roll(1, dim), grads[0].contiguous().flip(dim)
        grad_b = LinearScan.apply(ctx.form, ctx.add, later, back, torch.zeros_like(start), dim).flip(dim)
        grad_a = (grad_b * before).sum_to_size(ctx.saved_tensors[0].shape) if ctx.needs_input_grad[2] else None
        grad_start = multiply(ctx.add, a.select(dim, 0), grad_b.select(dim, 0))
        return None, None, grad_a, grad_b, grad_start, None
'''

LINEAR_SCAN = '''
def linear_scan(form, a: Tensor, b: Tensor, start: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return every h_t = a_t * h_(t-1) + b_t along an axis counted from the end, from h_0 = start, and the last one."""
    states = LinearScan.apply(form, torch.addcmul, a, b, start, dim)
    return states, states.select(dim, -1)
'''

MATRIX_SCAN = '''
def matrix_scan(form, a: Tensor, b: Tensor, start: Tensor, dim: int, row: int) -> tuple[Tensor, Tensor]:
    """Return every h_t = a_t h_(t-1) + b_t and the last one, for matrices a (row, column, ...) and rows of b at `row`.

    Axes are counted from the end, `dim` as if the rows were moved to the front.
    """
    inner = row + (row < dim)  # where the start, which has no time, has its rows
    columns, h = (x.movedim(at, 0).contiguous().unsqueeze(1) for x, at in ((b, row), (start, inner)))
    states = LinearScan.apply(form, multiply_add, a.contiguous(), columns, h, dim).squeeze(1)
    return states.movedim(0, row), states.select(dim, -1).movedim(0, inner)
'''

#: in the order in which they are printed; each needs some of those before it
SCAN_HELPERS: Mapping[str, str] = {
    "multiply_add": MULTIPLY_ADD,
    "multiply": MULTIPLY,
    "by_step": BY_STEP,
    "chunks": CHUNKS,
    "by_chunk": BY_CHUNK,
    "by_fft": BY_FFT,
    "every_second": EVERY_SECOND,
    "by_scan": BY_SCAN,
    "LinearScan": LINEAR_SCAN_GRADIENT,
    "linear_scan": LINEAR_SCAN,
    "matrix_scan": MATRIX_SCAN,
}
