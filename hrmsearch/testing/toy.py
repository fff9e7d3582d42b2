"""A task of random tokens with a vocabulary as small as a test wants."""

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from hrmsearch.ir import generator
from hrmsearch.tasks.base import Split, Task, TaskData


class Toy(Task):
    """Tokens in which each one is the sum of the two before it, modulo the vocabulary, with noise.

    kinds: how many puzzles there are; windows take turns in belonging to them, which tells nothing of their tokens.

    Learnable in a few steps, and every split is drawn from `seed`, so no file is needed.
    """

    kind: Literal["toy"] = "toy"
    window: PositiveInt = 4
    loader: Literal["shuffled", "contiguous"] = "shuffled"
    classes: PositiveInt = Field(default=5, ge=2)
    windows: PositiveInt = 6
    noise: float = Field(default=0.1, ge=0.0, le=1.0)
    kinds: NonNegativeInt = 0
    seed: int = 0

    @property
    def puzzles(self) -> int:
        """What `kinds` says."""
        return self.kinds

    @property
    def vocabulary(self) -> int:
        """Number of classes."""
        return self.classes

    @property
    def causal(self) -> bool:
        """Tokens are predicted from those before them."""
        return True

    def load(self) -> TaskData:
        """Draw the three splits."""
        splits: Mapping[str, Split] = {name: self._draw(name) for name in ("train", "valid", "test")}
        # drawn from these fields alone, so they identify the data
        task = self.model_dump(mode="json", exclude={"loader"})
        digest = sha256(json.dumps(task, sort_keys=True).encode()).hexdigest()
        provenance = {"corpus": "toy", "task": task, "sha256": digest}
        return TaskData(splits, provenance, f"toy task of {self.classes} classes")

    def _draw(self, name: str) -> Split:
        rng = generator(self.seed, "toy", name)
        ids = [0, 1]
        for _ in range(self.windows * self.window - 1):
            follows = (ids[-1] + ids[-2]) % self.classes
            ids.append(int(rng.integers(self.classes)) if rng.random() < self.noise else follows)
        split = Split.of_text(np.array(ids, np.int32), self.window, f"toy {name}")
        if not self.kinds:
            return split
        return replace(split, puzzles=np.arange(len(split), dtype=np.int32) % self.kinds)
