"""The schedule of a pass: which levels update at which tick, folded into repeats."""

from collections.abc import Sequence
from dataclasses import dataclass

Tick = tuple[str, ...]  # the levels that update, fastest first


@dataclass(frozen=True, slots=True)
class Repeat:
    """A run of ticks that occurs `n` times in a row."""

    n: int
    body: "tuple[Tick | Repeat, ...]"


Item = Tick | Repeat


def schedule(periods: dict[str, int], cycles: int) -> list[Tick]:
    """Return the ticks of a pass: at tick i = 1..cycles * P the levels whose period divides i update, fastest first."""
    order = sorted(periods, key=lambda level: periods[level])
    last = cycles * max(periods.values())
    return [tuple(level for level in order if i % periods[level] == 0) for i in range(1, last + 1)]


def fold(ticks: Sequence[Tick], lengths: Sequence[int]) -> tuple[Item, ...]:
    """Return the same ticks with neighbouring equal runs as repeats; `lengths` are the run lengths to try.

    Longer runs are tried first, so whole cycles fold before the ticks inside them.
    """
    items: list[Item] = []
    at = 0
    while at < len(ticks):
        length, n = _longest(ticks, at, lengths)
        run = ticks[at : at + length]
        if n > 1:
            items.append(Repeat(n, fold(run, [m for m in lengths if m < length])))
        else:
            items.append(run[0])
        at += length * n
    return tuple(items)


def _longest(ticks: Sequence[Tick], at: int, lengths: Sequence[int]) -> tuple[int, int]:
    for length in sorted(lengths, reverse=True):
        run, n = ticks[at : at + length], 1
        while len(run) == length and ticks[at + n * length : at + (n + 1) * length] == run:
            n += 1
        if n > 1:
            return length, n
    return 1, 1
