"""Training with rows that halt: the rolling batch, its samples, and what halting rows came to."""

from collections.abc import Callable, Mapping

import numpy as np

from hrmsearch.runtime import Array
from hrmsearch.train.halting import RollingBatch
from hrmsearch.train.job import Job
from hrmsearch.train.samples import Samples
from hrmsearch.train.stepping import Stepper, Update


class Rolling:
    """Steps a rolling batch; every step is one pass of every row and one update."""

    def __init__(self, job: Job, stepper: Stepper) -> None:
        plan = job.plan
        self._stepper = stepper
        self._samples = Samples(plan.data, job.seed, plan.graph.inputs)
        self._batch = RollingBatch(plan.graph.nest, plan.batch, self._samples.take, job.seed)

    def step(self, number: int, updated: Callable[[Update], None]) -> tuple[float, list[int], int]:
        """Take a step, by its number; return the loss, how many rows halt now after each pass, and how many are right.

        Hears of the update.
        """
        call = self._batch.next()
        loss, told = self._stepper.roll(call, updated)
        self._batch.heed(told, number)
        right = told["right"][self._batch.halted] > 0.5
        return loss, self._batch.counts.tolist(), int(np.count_nonzero(right))

    def snapshot(self) -> dict[str, Array]:
        """Return the rows and where their samples come from next."""
        return {**self._batch.snapshot(), "samples": self._samples.snapshot()}

    def restore(self, snapshot: Mapping[str, Array]) -> None:
        """Go on from a snapshot."""
        self._samples.restore(snapshot["samples"])
        self._batch.restore(snapshot)
