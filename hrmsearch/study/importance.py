"""How much each searched path matters: PED-ANOVA (Watanabe, Bansal and Hutter 2023, arXiv:2304.10255) by Optuna."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

#: with fewer trials, chance decides which path looks important
FEWEST: Final = 8
# A range whose ends lie this many times apart was searched on a logarithmic scale, or should have been.
_FAR_APART: Final = 10.0

Point = Mapping[str, Any]


def importance(trials: Sequence[tuple[Point, float]]) -> dict[str, float]:
    """Return the share of each path in what sets the better trials apart; shares sum to 1.

    trials: points of the same paths with their values, less being better. Empty with fewer than FEWEST trials, or where
    all values or all points are the same.
    """
    paths = {path: [point[path] for point, _ in trials] for path in trials[0][0]} if trials else {}
    varied = {path: _distribution(values) for path, values in paths.items() if len({*map(repr, values)}) > 1}
    if len(trials) < FEWEST or not varied or len({value for _, value in trials}) == 1:
        return {}
    from optuna import create_study, logging
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    logging.set_verbosity(logging.WARNING)
    study = create_study(direction="minimize")
    for point, value in trials:
        study.add_trial(create_trial(params={p: point[p] for p in varied}, distributions=varied, value=value))
    return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


def _distribution(values: Sequence[Any]) -> "BaseDistribution":
    """Return the range of numbers, or the choices of anything else."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return CategoricalDistribution(list(dict.fromkeys(values)))
    low, high = min(values), max(values)
    return FloatDistribution(low, high, log=low > 0 and high / low >= _FAR_APART)
