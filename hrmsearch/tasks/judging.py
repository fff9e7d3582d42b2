"""What a model is judged by: perplexity where it models a text, shares of right answers where it gives some.

All are of one split after one pass. Shares lie between 0 and 1:

    accuracy   right targets among all targets (micro)
    exact      windows whose targets are all right, among windows that have any
    macro      the mean over classes of the share of right ones among the targets of a class; a class that is predicted
               but never wanted counts as 0, one that is neither is left out (torchmetrics' MulticlassAccuracy)
    pass2      puzzles of which one of two answers is right, each as likely as copies of the puzzle vote for it
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hrmsearch.tasks.base import IGNORE, Ids


@dataclass(frozen=True, slots=True)
class Metric:
    """Which direction is better, and whether it is a share, which people read in percent."""

    better: Literal["less", "more"]
    share: bool = False


METRICS: Final[Mapping[str, Metric]] = {
    "loss": Metric("less"),
    "ppl": Metric("less"),
    "bpc": Metric("less"),
    "accuracy": Metric("more", share=True),
    "exact": Metric("more", share=True),
    "macro": Metric("more", share=True),
    "pass2": Metric("more", share=True),
}


def is_share(name: str) -> bool:
    """Return whether a metric is a share, between 0 and 1."""
    return name in METRICS and METRICS[name].share


def is_better(name: str, new: float, old: float) -> bool:
    """Return whether a value of a metric is better than another; an equal one is not."""
    return new < old if METRICS[name].better == "less" else new > old


def of_loss(loss: float) -> dict[str, float]:
    """Return what follows from a mean loss in nats per target: perplexity (inf where no float holds it) and bits."""
    return {"ppl": math.exp(loss) if loss < 700 else math.inf, "bpc": loss / math.log(2)}


class Tally:
    """Counts of right answers over the windows of a split."""

    def __init__(self, classes: int) -> None:
        self._wanted = np.zeros(classes, np.int64)
        self._given = np.zeros(classes, np.int64)
        self._right = np.zeros(classes, np.int64)
        self._windows = self._solved = 0

    def add(self, predicted: NDArray[Any], targets: Ids) -> None:
        """Count i32[B, T] predictions against i32[B, T] targets; ignored ones do not count."""
        counted = targets != IGNORE
        right = counted & (predicted == targets)
        classes = len(self._wanted)
        self._wanted += np.bincount(targets[counted], minlength=classes)
        self._given += np.bincount(predicted[counted], minlength=classes)
        self._right += np.bincount(targets[right], minlength=classes)
        asked = counted.any(axis=1)
        self._windows += int(asked.sum())
        self._solved += int((asked & (right == counted).all(axis=1)).sum())

    def values(self) -> dict[str, float]:
        """Return every share; 0 where nothing was asked."""
        seen = (self._wanted + self._given) > 0
        per_class = self._right[seen] / np.maximum(self._wanted[seen], 1)
        return {
            "accuracy": float(self._right.sum() / max(self._wanted.sum(), 1)),
            "exact": self._solved / max(self._windows, 1),
            "macro": float(per_class.mean()) if len(per_class) else 0.0,
        }


def chosen(names: Sequence[str], *sources: Mapping[str, float]) -> dict[str, float]:
    """Return the named metrics among the sources, in the order of the names; those that no source has are left out."""
    found = {name: value for source in sources for name, value in source.items()}
    return {name: found[name] for name in names if name in found}
