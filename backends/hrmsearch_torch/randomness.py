"""The random state of one executable, apart from the process's own."""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import torch

from hrmsearch.errors import RunError
from hrmsearch.ir.init import generator


class Randomness:
    """What a model with dropout draws from. states: torch's, and the device's own."""

    def __init__(self, model: torch.nn.Module, device: torch.device) -> None:
        self._model = model
        self._device = device
        self.states: dict[str, torch.Tensor] = {}

    def seed(self, seed: int) -> None:
        """Start from a seed."""
        before = self._taken()
        torch.manual_seed(int(generator(seed, "dropout").integers(2**62)))
        self.states = self._taken()
        self._put(before)

    def restore(self, states: Mapping[str, torch.Tensor]) -> None:
        """Continue from saved states.

        Raises RunError where the device's is missing.
        """
        if not states.keys() >= self.states.keys():
            raise RunError(f"the snapshot lacks the random state of {self._device.type}")
        self.states = {name: states[name] for name in self.states}

    @contextmanager
    def training(self) -> Generator[None]:
        """Put the model in training mode and let it draw from these states; the process's own are left alone."""
        before = self._taken()
        self._put(self.states)
        self._model.train()
        try:
            yield
        finally:
            self._model.eval()
            self.states = self._taken()
            self._put(before)

    def _taken(self) -> dict[str, torch.Tensor]:
        states = {"torch": torch.get_rng_state()}
        return states | {"cuda": torch.cuda.get_rng_state(self._device)} if self._device.type == "cuda" else states

    def _put(self, states: Mapping[str, torch.Tensor]) -> None:
        torch.set_rng_state(states["torch"])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"], self._device)
