"""N-gram controls: what counting alone achieves on the targets a model is scored on.

Interpolated Witten-Bell smoothing (Witten and Bell 1991, "The zero-frequency problem", method C, in the recursive form
that Chen and Goodman 1998 give it), through all shorter orders down to the uniform distribution:

    p_k(c | h) = (count(h c) + types(h) p_{k-1}(c | h')) / (count(h) + types(h)),    p_0 = 1 / C,

where h holds k - 1 symbols, h' drops the oldest of them, and an h never seen in training leaves p_{k-1}. Our choices:
counts run through the whole training text across windows, and in scoring h never reaches before its window, because
the models it is compared with do not either.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrmsearch.tasks.base import Control, Ids, Split

#: the longest grams that controls have
ORDERS: Final = 5
_NAMES = {1: "unigram", 2: "bigram", 3: "trigram"}
#: a gram is one signed integer of 64 bits
_BITS: Final = 63


def most_orders(size: int) -> int:
    """Return the longest grams that can be counted over an alphabet of this size, at most ORDERS."""
    return min(ORDERS, int(_BITS / math.log2(size))) if size > 1 else ORDERS


def controls(train: Ids, splits: Mapping[str, Split], size: int, orders: int = ORDERS) -> list[Control]:
    """Return Witten-Bell controls of orders 1 to `orders`, trained on i32[n] ids and scored on each split.

    Metrics are `loss` in nats, `ppl`, and `bpc` in bits, all per target. `size` is the alphabet's. Raises ValueError
    for longer grams than `most_orders` allows.
    """
    if size**orders > 2**_BITS:
        raise ValueError(
            f"orders: grams of {orders} over {size} symbols exceed {_BITS} bits; at most {most_orders(size)}"
        )
    losses = {name: _losses(train, split, size, orders) for name, split in splits.items()}
    return [
        Control(
            _NAMES.get(order, f"{order}-gram"),
            f"interpolated Witten-Bell, order {order}, over {size} symbols",
            {name: _metrics(values[order - 1]) for name, values in losses.items()},
        )
        for order in range(1, orders + 1)
    ]


def _metrics(loss: float) -> dict[str, float]:
    return {"loss": loss, "ppl": float(np.exp(loss)), "bpc": float(loss / np.log(2))}


def _losses(train: Ids, split: Split, size: int, orders: int) -> Sequence[float]:
    text = np.concatenate([split.tokens, split.targets[:, -1:]], axis=1)
    probability = np.full(split.targets.shape, 1 / size)
    losses: list[float] = []
    for order in range(1, orders + 1):
        # Target t stands at text[t + 1], so a gram of `order` symbols ends there from t = order - 2 on.
        first = max(order - 2, 0)
        grams = _codes(text, order, size)[:, 1 if order == 1 else 0 :]
        probability[:, first:] = _mix(probability[:, first:], grams, _codes(train, order, size), size)
        losses.append(float(-np.log(probability).mean()))
    return losses


def _mix(
    lower: NDArray[np.float64], grams: NDArray[np.int64], train: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    seen, counts = np.unique(train, return_counts=True)
    contexts, starts = np.unique(seen // size, return_index=True)
    types = np.diff(np.append(starts, len(seen)))
    totals = np.add.reduceat(counts, starts) if len(starts) else counts
    kinds = _look_up(contexts, types, grams // size)
    weight = _look_up(contexts, totals, grams // size) + kinds
    mixed = (_look_up(seen, counts, grams) + kinds * lower) / np.maximum(weight, 1)
    return np.where(weight > 0, mixed, lower)


def _codes(ids: Ids, order: int, size: int) -> NDArray[np.int64]:
    """Return one integer per run of `order` symbols on the last axis: its digits in base `size`, the oldest first."""
    count = max(ids.shape[-1] - order + 1, 0)
    codes = np.zeros((*ids.shape[:-1], count), np.int64)
    for offset in range(order):
        codes = codes * size + ids[..., offset : offset + count]
    return codes


def _look_up(keys: NDArray[np.int64], values: NDArray[np.intp], wanted: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the value of each wanted key, 0 where it is not among the sorted keys."""
    if not len(keys):
        return np.zeros(wanted.shape, np.intp)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)
