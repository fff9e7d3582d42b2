"""The nest: windows in the order a loader deals them -> groups -> spans of passes, and micro-batches of rows.

A group is what one span or more cover completely: one window per row, or k of them for `backprop: {windows: k}`. Its
windows have the same rows, so a group ends early where the number of rows changes, and at the end of an epoch.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from hrmsearch.errors import DataError
from hrmsearch.ir import Graph, Lifetime, Nest
from hrmsearch.runtime import Pass, Span
from hrmsearch.tasks.loaders import Batch, train_batch_rows

Group = Sequence[Batch]


def rows_of(batch: Batch) -> int:
    """Return the number of rows of a batch."""
    return len(next(iter(batch.arrays.values())))


def fitting(batches: Iterable[Batch], graph: Graph) -> Iterator[Batch]:
    """Yield batches with the arrays that a graph asks for: not every model tells puzzles apart."""
    wanted = graph.inputs
    for batch in batches:
        yield replace(batch, arrays={name: array for name, array in batch.arrays.items() if name in wanted})


def group_length(nest: Nest) -> int:
    """Return how many windows of each row a group holds, unless it ends early."""
    unit, length = nest.backprop
    return length if unit == "windows" else 1


def groups(batches: Iterable[Batch], length: int) -> Iterator[Group]:
    """Yield runs of up to `length` batches with equal numbers of rows."""
    group: list[Batch] = []
    for batch in batches:
        if group and (len(group) == length or rows_of(batch) != rows_of(group[0])):
            yield group
            group = []
        group.append(batch)
    if group:
        yield group


def micro_batches(group: Group, rows: int) -> list[Group]:
    """Split the rows of a group into micro-batches of `rows`, the last one perhaps shorter."""
    count = rows_of(group[0])
    return [[_cut(batch, slice(i, i + rows)) for batch in group] for i in range(0, count, rows)]


def _cut(batch: Batch, rows: slice) -> Batch:
    return Batch({name: array[rows] for name, array in batch.arrays.items()}, batch.reset, batch.windows[rows])


def settling(batch: Batch, nest: Nest) -> list[Pass]:
    """Return the passes that fill what is kept of a window that was never met."""
    return [replace(call, last=False) for call in passes(batch, nest.settle)]


def passes(batch: Batch, count: int) -> list[Pass]:
    """Return the passes over a window: the first restores what the loader says, the others what lives for one pass.

    The last one is marked, since some states commit only there.
    """
    resets = [batch.reset, *[Lifetime.PASS] * (count - 1)][:count]
    return [Pass(batch.arrays, int(reset), i == count - 1) for i, reset in enumerate(resets)]


def spans(group: Group, nest: Nest) -> list[Span]:
    """Return a group's passes cut into the stretches that gradient crosses, in order."""
    calls = [call for batch in group for call in passes(batch, nest.passes)]
    unit, length = nest.backprop
    size = length if unit == "passes" else len(calls)
    return [calls[i : i + size] for i in range(0, len(calls), size)]


def updates(group_size: int, nest: Nest) -> int:
    """Return how many optimiser steps a group of `group_size` windows takes."""
    unit, length = nest.backprop
    return 1 if nest.step == "window" or unit == "windows" else -(-group_size * nest.passes // length)


def updates_per_epoch(rows: Sequence[int], nest: Nest, batch: int, stream: int | None = None) -> int:
    """Return how many optimiser steps an epoch over sections of so many windows takes with `batch` rows at a time.

    stream: windows of each stream, where the sections have streams of their own. Every epoch takes the same number.
    Raises DataError where a group would need windows of several sections.
    """
    if nest.halt is not None:
        # rows take new samples as they halt; an epoch is as many steps as its samples make batches
        return -(-sum(rows) // batch)
    if len(rows) > 1 and group_length(nest) > 1:
        raise DataError("windows of several lengths cannot share a span; use nest.backprop in passes")
    # batches without tokens: a group depends on their rows only
    dealt = (
        Batch({"tokens": np.empty((count, 0), np.int32)}, Lifetime.WINDOW)
        for count in train_batch_rows(rows, nest.loader, batch, stream)
    )
    return sum(updates(len(group), nest) for group in groups(dealt, group_length(nest)))
