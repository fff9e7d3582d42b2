"""Numbers that a row carries from token to token: small recurrences over wide[B], which windows of any length go on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hrmsearch.ir import Axis, Builder, DType, Type, Value

Numbers = dict[str, Value]
Step = Callable[[Numbers, Numbers], tuple[Numbers, Numbers]]


@dataclass(frozen=True, slots=True)
class Held:
    """A number that is carried: where it starts, the range it promises to stay in, and its axes beside the row's."""

    start: float = 0.0
    within: tuple[float, float] | None = None
    axes: tuple[Axis, ...] = ()

    def type(self, x: Value) -> Type:
        """Return the type of the state, for a stream like `x`."""
        return Type(DType.WIDE, (x.type.axes[0], *self.axes))


def along_tokens(
    b: Builder, held: Mapping[str, Value], given: Mapping[str, Value], step: Step
) -> tuple[Numbers, Numbers]:
    """Run `step` from token to token: (held, token) -> (held, told); return what it tells of each token, and the end.

    given: values with the axis T second, or T alone.
    """
    names: list[str] = []

    def body(*values: Value) -> list[Value]:
        before = dict(zip(held, values, strict=False))
        after, told = step(before, dict(zip(given, values[len(held) :], strict=True)))
        names[:] = told
        return [*(after[name] for name in held), *told.values()]

    results = b.scan("T", list(held.values()), list(given.values()), body, at=1)
    left = dict(zip(held, results, strict=False))
    return dict(zip(names, results[len(held) :], strict=True)), left


def per_token(x: Value) -> Type:
    """Return the type of a number per token of a stream, wide[B, T]."""
    return Type(DType.WIDE, x.type.axes[:2])


def either(b: Builder, mask: Value) -> Value:
    """Return a mask as numbers: 1.0 where it holds, else 0.0."""
    return b.cast(mask, DType.WIDE)


def holds(b: Builder, number: Value) -> Value:
    """Return where a number that is 0.0 or 1.0 is 1.0."""
    return b.op("less", 0.5, number)


def both(b: Builder, first: Value | None, second: Value | None) -> Value | None:
    """Return where both masks hold; one that is missing holds everywhere."""
    if first is None or second is None:
        return second if first is None else first
    return b.op("and", first, second)
