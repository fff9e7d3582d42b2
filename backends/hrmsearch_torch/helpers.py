"""Functions that stand at the head of an emitted file where its model needs them."""

from collections.abc import Mapping

from hrmsearch_torch.scan_helpers import SCAN_HELPERS

ROPE = '''
def rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each position's pairs (x_i, x_{i + K/2}) by the angles of its row in the tables."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin
'''

ROPE_ANGLES = '''
def rope_angles(positions: int, width: int, base: float) -> Tensor:
    """Rotary angles (positions, width) in float64: position * base^(-2i / width), for both halves."""
    frequencies = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.outer(torch.arange(positions, dtype=torch.float64), frequencies)
    return torch.cat((angles, angles), dim=-1)
'''

WIDE = '''
def wide(x: Tensor) -> Tensor:
    """Return x in at least float32."""
    return x if x.dtype == torch.float64 else x.float()
'''

CROSS_ENTROPY = '''
def cross_entropy(logits: Tensor, targets: Tensor, ignore: int = -100) -> Tensor:
    """Return -log softmax(logits)[target] at every position, zero where the target is ignored."""
    rows = logits.reshape(-1, logits.shape[-1])
    losses = F.cross_entropy(rows, targets.flatten().long(), ignore_index=ignore, reduction="none")
    return losses.view_as(targets)
'''

WIDE_MATMUL = '''
def wide_matmul(a: Tensor, b: Tensor) -> Tensor:
    """Return a @ b in the wider precision of the two, which autocast would lower."""
    dtype = torch.promote_types(a.dtype, b.dtype)
    with torch.autocast(a.device.type, enabled=False):
        return a.to(dtype) @ b.to(dtype)
'''

WIDE_EINSUM = '''
def wide_einsum(equation: str, *operands: Tensor) -> Tensor:
    """Return an einsum in the widest precision of its operands, which autocast would lower."""
    dtype = torch.float64 if any(x.dtype == torch.float64 for x in operands) else torch.float32
    with torch.autocast(operands[0].device.type, enabled=False):
        return torch.einsum(equation, *(x.to(dtype) for x in operands))
'''

#: on a GPU a step must not wait for a count, and a gathered one cannot be captured; few closed tokens are not worth it
ON_OPEN = '''
def on_open(settle: Callable[..., Tensor], is_open: Tensor, x: Tensor, *others: Tensor) -> Tensor:
    """Return settle(is_open, x, *others), which keeps x where is_open is false: on a CPU, run at open tokens only."""
    if x.device.type != "cpu":
        return settle(is_open, x, *others)
    rows = is_open.flatten().nonzero().squeeze(1)
    if len(rows) > 0.9 * is_open.numel():
        return settle(is_open, x, *others)
    found = [value.flatten(0, 1)[rows].unsqueeze(0) for value in (is_open, x, *others)]
    return x.flatten(0, 1).index_copy(0, rows, settle(*found).squeeze(0)).view_as(x)
'''

RESTORE = '''
def restore(start: Tensor, state: dict[str, Tensor] | None, path: str, reset: int | Tensor, lifetime: int) -> Tensor:
    """Return the carried state, with its start in the rows whose reset reaches its lifetime."""
    if state is None or (isinstance(reset, int) and reset >= lifetime):
        return start
    carried = state[path]
    if isinstance(reset, int):
        return carried
    rows = (reset >= lifetime).view(-1, *[1] * (carried.dim() - 1))
    return torch.where(rows, start, carried)
'''

TRUNC_NORMAL = '''
def trunc_normal(*shape: int, std: float) -> Tensor:
    """Draw normals cut at two deviations, scaled so that their own deviation is std."""
    scale = std / 0.87962566103423978
    return nn.init.trunc_normal_(torch.empty(shape), std=scale, a=-2 * scale, b=2 * scale)
'''

#: in the order in which they are printed; each calls earlier ones only
HELPERS: Mapping[str, str] = {
    "wide": WIDE,
    "wide_matmul": WIDE_MATMUL,
    "wide_einsum": WIDE_EINSUM,
    "rope_angles": ROPE_ANGLES,
    "rope": ROPE,
    "cross_entropy": CROSS_ENTROPY,
    **SCAN_HELPERS,
    "on_open": ON_OPEN,
    "restore": RESTORE,
    "trunc_normal": TRUNC_NORMAL,
}
