"""Random words: the only source of randomness in data, the same bits in every release of NumPy and on every machine.

NumPy keeps the raw words of a Philox generator as they are, but not what `Generator` makes of them, so draws are made
here: integers by remainder (the bias is below n / 2^64), permutations by sorting words.
"""

from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

Words64 = NDArray[np.uint64]
Integers = NDArray[np.int64]


class Words:
    """A stream of 64-bit words that a key names; every draw takes the next ones."""

    def __init__(self, *key: str | int) -> None:
        digest = sha256("/".join(map(str, key)).encode()).digest()
        self._bits = np.random.Philox(key=int.from_bytes(digest[:16], "little"))

    def raw(self, *shape: int) -> Words64:
        """Return words."""
        return self._bits.random_raw(int(np.prod(shape))).reshape(shape)

    def below(self, n: int, *shape: int) -> Integers:
        """Return integers, each uniform in 0..n-1."""
        return (self.raw(*shape) % np.uint64(n)).astype(np.int64)

    def uniform(self, *shape: int) -> NDArray[np.float64]:
        """Return numbers uniform in (0, 1): odd multiples of 2^-53."""
        return ((self.raw(*shape) >> np.uint64(12)).astype(np.float64) * 2.0 + 1.0) * 2.0**-53

    def order(self, *shape: int) -> NDArray[np.intp]:
        """Return permutations of the last axis."""
        return np.argsort(self.raw(*shape), axis=-1, kind="stable")

    def distinct(self, n: int, rows: int, k: int) -> Integers:
        """Return [rows, k] integers in 0..n-1, no two of a row equal, in random order.

        The first k steps of Fisher and Yates' shuffle of 0..n-1; of the n places only those that were written are kept.
        """
        places, values = np.empty((rows, k), np.int64), np.empty((rows, k), np.int64)
        found = np.empty((rows, k), np.int64)
        for i in range(k):
            other = i + self.below(n - i, rows)
            found[:, i] = _value(other, places[:, :i], values[:, :i])
            values[:, i] = _value(np.full(rows, i), places[:, :i], values[:, :i])
            places[:, i] = other
        return found

    def weighted(self, weights: NDArray[np.float64], rows: int, k: int) -> NDArray[np.intp]:
        """Return [rows, k] distinct indices drawn one after another by weight, without replacement.

        An exponential race (Efraimidis and Spirakis 2006): the first k of arrival times -log(u) / weight.
        """
        times = -np.log(self.uniform(rows, len(weights))) / weights
        return np.argsort(times, axis=1, kind="stable")[:, :k]


def _value(place: Integers, places: Integers, values: Integers) -> Integers:
    """Return what stands at a place: what was last written there, else its own number."""
    if not places.shape[1]:
        return place
    hits = (places == place[:, None])[:, ::-1]
    last = places.shape[1] - 1 - hits.argmax(axis=1)
    return np.where(hits.any(axis=1), values[np.arange(len(place)), last], place)
