"""Loaders: the order in which windows reach a model, and what its state forgets before each batch.

`shuffled` deals the windows in a new order each epoch. `contiguous` reads B streams side by side: row b of a batch
continues row b of the batch before it, which is what state of lifetime `stream` needs. Where a split says how many
windows its streams have, a row reads whole streams and forgets between them; otherwise the split is one long text, cut
into as many streams as there are rows. Ours, not the literature's: an order is a pure function of (seed, epoch), so a
run resumes from two integers, and both loaders score the same targets.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hrmsearch.errors import DataError
from hrmsearch.ir.types import Lifetime
from hrmsearch.tasks.base import Ids, Split
from hrmsearch.tasks.words import Words

# the section and the windows of each batch
Plan = list[tuple[int, NDArray[np.intp]]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Named arrays with a row axis first, and the lifetime to restore in every row before their first pass.

    windows: which window of its section each row is; none where nobody asks.
    """

    arrays: dict[str, Ids]
    reset: Lifetime
    windows: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))


def train_batches(
    sections: Sequence[Split], loader: str, batch: int, seed: int, epoch: int, start: int = 0
) -> Iterator[Batch]:
    """Yield the batches of one epoch, from the batch with index `start` on.

    A batch holds windows of one section; `shuffled` mixes the batches of several. Raises DataError for an unknown
    loader, fewer windows than contiguous rows, several contiguous sections, or a start outside the epoch.
    """
    rows = [len(section) for section in sections]
    return _deal(sections, _plan(loader, rows, batch, seed, epoch, sections[0].stream), start)


def train_batch_rows(rows: Sequence[int], loader: str, batch: int, stream: int | None = None) -> list[int]:
    """Return the rows of each batch of an epoch over sections of so many windows; in no order, where it is shuffled.

    stream: windows of each stream, where the sections have streams of their own.
    """
    return [len(windows) for _, windows in _plan(loader, rows, batch, 0, 0, stream)]


def eval_batches(split: Split, loader: str, batch: int) -> Iterator[Batch]:
    """Yield every window once: `batch` rows at a time, or one row where a `contiguous` split is a single stream.

    In document order, but for streams that are read side by side.
    """
    _check(loader, batch)
    if loader == "contiguous" and split.stream is not None:
        return _deal([split], _side_by_side(len(split), split.stream, batch), 0)
    return _deal([split], _in_turn(0, np.arange(len(split)), 1 if loader == "contiguous" else batch), 0)


def order(seed: int, epoch: int, count: int, *key: str | int) -> NDArray[np.intp]:
    """Return the permutation of `count` windows that `seed` deals in `epoch`; a key tells several of them apart."""
    return Words(seed, "order", epoch, *key).order(count)


def _shuffled(rows: Sequence[int], batch: int, seed: int, epoch: int, stream: int | None) -> Plan:
    del stream
    dealt = [_in_turn(i, order(seed, epoch, n, *([i] if i else [])), batch) for i, n in enumerate(rows)]
    if len(dealt) == 1:
        return dealt[0]
    mixed = [entry for section in dealt for entry in section]
    return [mixed[i] for i in order(seed, epoch, len(mixed), "batches")]


def _contiguous(rows: Sequence[int], batch: int, seed: int, epoch: int, stream: int | None) -> Plan:
    del seed, epoch  # a document has one order
    if len(rows) > 1:
        raise DataError("windows of several lengths are no stream; use the loader 'shuffled'")
    (count,) = rows
    if stream is not None:
        return _side_by_side(count, stream, batch)
    if count < batch:
        raise DataError(
            f"the text has {count} windows, fewer than the {batch} rows of a batch: "
            "use a smaller train.batch, a shorter task.window or more text"
        )
    length = count // batch
    streams = np.arange(batch * length).reshape(batch, length)
    return [(0, windows) for windows in streams.T]


def _side_by_side(count: int, stream: int, batch: int) -> Plan:
    """Return the windows of `batch` streams at a time, the last ones perhaps fewer."""
    streams = np.arange(count).reshape(-1, stream)
    return [(0, windows) for i in range(0, len(streams), batch) for windows in streams[i : i + batch].T]


_PLANS: dict[str, Callable[[Sequence[int], int, int, int, int | None], Plan]] = {
    "shuffled": _shuffled,
    "contiguous": _contiguous,
}


def _plan(loader: str, rows: Sequence[int], batch: int, seed: int, epoch: int, stream: int | None) -> Plan:
    _check(loader, batch)
    return _PLANS[loader](rows, batch, seed, epoch, stream)


def _check(loader: str, batch: int) -> None:
    if loader not in _PLANS:
        raise DataError(f"there is no loader {loader!r}; one of: {', '.join(_PLANS)}")
    if batch < 1:
        raise DataError(f"a batch of {batch} rows is impossible; use at least 1")


def _in_turn(section: int, windows: NDArray[np.intp], rows: int) -> Plan:
    return [(section, windows[i : i + rows]) for i in range(0, len(windows), rows)]


def _deal(sections: Sequence[Split], plan: Plan, start: int) -> Iterator[Batch]:
    if not 0 <= start <= len(plan):
        raise DataError(f"batch {start} does not exist: the epoch has {len(plan)} batches")
    return (_batch(sections, plan, index) for index in range(start, len(plan)))


def _batch(sections: Sequence[Split], plan: Plan, index: int) -> Batch:
    section, windows = plan[index]
    before, last = plan[index - 1] if index else (section, windows[:0])
    split = sections[section]
    begins = split.stream is not None and windows[0] % split.stream == 0
    # State has one row per batch row, so another number of rows cannot take it over.
    continues = before == section and len(last) == len(windows) and not begins
    return Batch(split.rows(windows), Lifetime.WINDOW if continues else Lifetime.STREAM, windows)
