"""Where a trial looks: Optuna's TPE over all of an arm's paths at once, seeded by trial, never twice at one point.

The space of an arm is the same for each of its trials, so all of it is sampled jointly; TPE's own way of finding what
trials have in common would leave new paths to independent sampling without a word.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from random import Random
from typing import Any, Final

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from hrmsearch.study.spaces import Space, distribution, draw, size, stored, values

#: how often another point is asked for before one is searched for among the untried
TRIES: Final = 20
#: spaces up to so many points are listed to find an untried one
LISTED: Final = 10_000


class Sampler(BaseSampler):
    """Samples one trial. Depends on the study's seed, the arm, the trial's number and the trials that ended before."""

    def __init__(self, space: Mapping[str, Space], trials: int, seed: str) -> None:
        number = int.from_bytes(sha256(seed.encode()).digest()[:4])
        self._space = dict(space)
        self._rng = Random(number)
        # random before a third of the trials told something; more than ten starts teach little
        starts = min(10, max(2, trials // 3))
        self._tpe = TPESampler(seed=number, multivariate=True, n_startup_trials=starts)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the whole space."""
        return {path: distribution(space) for path, space in self._space.items() if size(space) > 1}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a point that no trial has tried; one that was only if there is no other."""
        tried = {point(other.params, search_space) for other in study.get_trials(deepcopy=False) if other.params}
        found: dict[str, Any] = {}
        for _ in range(TRIES):
            found = self._tpe.sample_relative(study, trial, search_space) or self._random(search_space)
            if point(found, search_space) not in tried:
                return found
        untried = [one for one in self._all(search_space) if point(one, search_space) not in tried]
        return self._rng.choice(untried) if untried else found

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a value of one path; only those of a single value come here."""
        return stored(draw(self._space[param_name], self._rng))

    def _random(self, paths: Mapping[str, Any]) -> dict[str, Any]:
        return {path: stored(draw(self._space[path], self._rng)) for path in paths}

    def _all(self, paths: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
        """Return every point of a small space, none of a large one."""
        total = 1.0
        for path in paths:
            total *= size(self._space[path])
        if total > LISTED:
            return []
        points: list[dict[str, Any]] = [{}]
        for path in paths:
            points = [{**one, path: stored(value)} for one in points for value in values(self._space[path])]
        return points

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Let TPE note what it wants to."""
        self._tpe.after_trial(study, trial, state, values)


def point(params: Mapping[str, Any], paths: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return a point as a value that can be compared."""
    return tuple(params.get(path) for path in paths)
