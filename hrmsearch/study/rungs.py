"""Who goes on at a rung: Optuna's successive halving with one objective; with several, ours on the first one.

Both are asynchronous: a trial is held against those that reached the rung before it, and the first of all goes on.
Source: Li et al. 2020, arXiv:1810.05934, algorithm 2.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from hrmsearch.study.files import StudyFile

if TYPE_CHECKING:
    from optuna import Study, Trial

#: the attribute of a trial that holds its value on a rung, where Optuna keeps none
VALUE: Final = "rung"


class Rungs:
    """The rungs of one trial."""

    def __init__(self, study: "Study", trial: "Trial", file: StudyFile) -> None:
        self._study = study
        self._trial = trial
        self._file = file

    def ends(self, epoch: int, valid: Mapping[str, float]) -> bool:
        """Take what a trial reached on valid after an epoch that is a rung; return whether the trial ends there.

        A rung that was passed before the trial was broken off stays passed.
        """
        value = valid[self._file.leading]
        if len(self._file.objectives) == 1:
            return self._ends_with_one(epoch, value)
        key = f"{VALUE}:{epoch}"
        if key in self._trial.user_attrs:
            return False
        others = [t.user_attrs[key] for t in self._study.get_trials(deepcopy=False) if key in t.user_attrs]
        self._trial.set_user_attr(key, value)
        assert self._file.prune is not None
        less = next(iter(self._file.objectives.values())) == "min"
        return not goes_on(value, others, self._file.prune.factor, less=less)

    def _ends_with_one(self, epoch: int, value: float) -> bool:
        from optuna.pruners import SuccessiveHalvingPruner

        assert self._file.prune is not None
        known = next(t for t in self._study.get_trials(deepcopy=False) if t.number == self._trial.number)
        if epoch in known.intermediate_values:
            return False
        self._study.pruner = SuccessiveHalvingPruner(
            min_resource=self._file.prune.first, reduction_factor=self._file.prune.factor
        )
        self._trial.report(value, epoch)
        return self._trial.should_prune()


def goes_on(value: float, others: list[float], factor: int, *, less: bool) -> bool:
    """Return whether a value is among the best 1/factor of all on its rung, of which one at least goes on."""
    better = sum(other < value if less else other > value for other in others)
    return better < max(1, (len(others) + 1) // factor)
