"""The random state of one executable, apart from tinygrad's own."""

# tinygrad's own annotations are partial
# pyright: reportUnknownMemberType=false, reportPrivateUsage=false

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import numpy as np
from tinygrad.dtype import dtypes
from tinygrad.helpers import Context
from tinygrad.tensor import Tensor

from hrmsearch.errors import RunError
from hrmsearch.ir.init import generator
from hrmsearch_tinygrad.arrays import Array, put, tensor, to_numpy


@contextmanager
def drawing_from(keys: dict[str, Tensor], counters: dict[str, Tensor]) -> Generator[None]:
    """Let tinygrad draw from these keys and counters, by device; its own are left alone."""
    before = Tensor._device_seeds, Tensor._device_rng_counters
    Tensor._device_seeds, Tensor._device_rng_counters = keys, counters
    try:
        yield
    finally:
        Tensor._device_seeds, Tensor._device_rng_counters = before


class Randomness:
    """What a model with dropout draws from: tinygrad's counter-based generator, its key and its counter."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._state = {name: tensor(np.zeros(2, np.uint32), dtypes.uint32) for name in ("key", "counter")}

    def seed(self, seed: int) -> None:
        """Start from a seed."""
        key = generator(seed, "dropout").integers(2**32, size=2, dtype=np.uint32)
        put(self._state, {"key": key, "counter": np.zeros(2, np.uint32)})

    def snapshot(self) -> dict[str, Array]:
        """Return the state as one array, `tinygrad`: the key, then the counter."""
        state = to_numpy(self._state)
        return {"tinygrad": np.concatenate([state["key"], state["counter"]])}

    def restore(self, states: Mapping[str, Array]) -> None:
        """Continue from a saved state.

        Raises RunError where it is missing: another backend draws other numbers.
        """
        if "tinygrad" not in states:
            raise RunError("the snapshot lacks the random state of tinygrad")
        key, counter = np.split(states["tinygrad"].astype(np.uint32), 2)
        put(self._state, {"key": key, "counter": counter})

    @contextmanager
    def training(self) -> Generator[None]:
        """Turn dropout on and let it draw from this state."""
        keys, counters = ({self._device: self._state[name]} for name in ("key", "counter"))
        with drawing_from(keys, counters), Context(TRAINING=1):
            yield
