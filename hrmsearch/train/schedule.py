"""The learning rate over a run."""

import math

from hrmsearch.spec.model import Schedule


def learning_rate(schedule: Schedule, peak: float, step: int, total: int) -> float:
    """Return the rate of a step, which counts from 1 to `total`.

    It rises linearly, so that step `warmup` is the first at `peak`; then it stays, or falls along half a cosine that
    reaches `floor` times the peak at the last step.
    """
    if step < schedule.warmup:
        return peak * step / schedule.warmup
    if schedule.kind == "constant":
        return peak
    progress = (step - schedule.warmup) / max(1, total - schedule.warmup)
    share = 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
    return peak * (schedule.floor + (1.0 - schedule.floor) * share)
