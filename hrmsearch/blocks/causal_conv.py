"""A short causal convolution that goes on from the tokens before: the local mixing ahead of a recurrent mixer."""

from hrmsearch.ir import Axis, Builder, DType, Op, Size, Type, Value, axis


def conv_state(x: Value, width: int, channels: Axis) -> Type:
    """Return the type of what a convolution of `width` tokens remembers of a stream like x: the last width-1 inputs."""
    return Type(DType.COMPUTE, (x.type.axes[0], Axis("J", Size(width - 1)), channels))


def causal_conv(b: Builder, x: Value, past: Value, write: Value | None = None) -> tuple[Value, Value]:
    """Return x, (B, T, D), through a causal convolution of each channel, and the past that the next call begins with.

    y_t = bias + sum_j weight_j x_(t-J+j) over the J inputs before t and x_t itself; `past` holds those before the first
    token. Where `write` (bool[B, T] or bool[T]) is false, later tokens do not see the token.
    """
    channels, before = x.type.axes[-1], past.type.width("J")
    bound = (before + 1) ** -0.5  # torch's own for a convolution with one input channel per output
    weight = b.param("conv_weight", (axis("J", before + 1), channels), {"uniform": [-bound, bound]})
    bias = b.param("conv_bias", (channels,), {"uniform": [-bound, bound]})
    if write is not None:
        return _token_by_token(b, x, past, weight, bias, write)
    y, after = b.append(Op("causal_conv", (x, past, weight, bias), place=b.place)).results
    return y, after


def _token_by_token(b: Builder, x: Value, past: Value, weight: Value, bias: Value, write: Value) -> tuple[Value, Value]:
    """Which inputs a token sees depends on what was written, so the past moves with every token."""
    rows, _, channels = x.type.names

    def body(past: Value, x_t: Value, write_t: Value) -> list[Value]:
        now = b.broadcast(x_t, past.type.replace("J", axis("J", 1)))
        seen = b.concat("J", past, now)
        y = b.einsum(f"{rows} J {channels}, J {channels} -> {rows} {channels}", seen, weight) + bias
        return [b.where(write_t, b.slice(seen, "J", 1, past.type.size("J")), past), y]

    past, y = b.scan("T", [past], [x, write], body, at=1)
    return y, past
