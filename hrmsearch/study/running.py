"""From a ticket to what came of it: a point is sampled, its candidate is worked on, and the storage is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hrmsearch.spec.model import Spec
from hrmsearch.study.board import OUTCOME, Board, Item
from hrmsearch.study.contract import ArmPlan
from hrmsearch.study.outcomes import Outcome, outcome_of
from hrmsearch.study.rungs import Rungs
from hrmsearch.study.spaces import Range, Space, restored, stored
from hrmsearch.study.training import Candidate, Work
from hrmsearch.train.files import TRIALS

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial

#: workers that may die over one trial before it counts as lost
MOST_ATTEMPTS: Final = 3


class Runner:
    """Runs the trials of a board. folder: where runs go on this host."""

    def __init__(self, board: Board, work: Work, folder: Path) -> None:
        self._board = board
        self._contract = board.contract
        self._work = work
        self._folder = folder

    def run(self, item: Item) -> Outcome:
        """Run a trial that this process holds, and tell the storage what came of it."""
        return self._search(item) if item.kind == "search" else self._final(item)

    # -- a point of an arm's search ----------------------------------------------------------------------------------

    def _search(self, item: Item) -> Outcome:
        from optuna import Trial

        from hrmsearch.study.sampling import Sampler

        arm, study, file = self._contract.arm(item.arm), self._board.searches[item.arm], self._contract.file
        study.sampler = Sampler(arm.space, file.trials, f"{file.seed}/{item.name}")
        trial = Trial(study, item.ident)
        values = {path: _suggested(trial, path, space) for path, space in arm.space.items()}
        found = self._lost(item) or self._same(item, trial.params) or self._tried(item, arm, trial, values)
        self._constrain(trial, found)
        self._tell(item, found, [_objective(found, name) for name in file.objectives])
        return found

    def _same(self, item: Item, params: Mapping[str, Any]) -> Outcome | None:
        """Return the outcome of an earlier trial of the same point, which this one would only repeat."""
        for other in self._board.searches[item.arm].get_trials(deepcopy=False):
            known = outcome_of(other.user_attrs) if other.state.is_finished() and other.params == params else None
            if known is not None and known.what != "lost":
                return known.model_copy(update={"same_as": other.number if known.same_as is None else known.same_as})
        return None

    def _tried(self, item: Item, arm: ArmPlan, trial: "Trial", values: Mapping[str, Any]) -> Outcome:
        file = self._contract.file
        rungs = Rungs(self._board.searches[item.arm], trial, file)

        def make() -> Spec:
            return self._contract.candidate(arm, values)

        folder = Path(TRIALS) / item.name
        candidate = Candidate(make, file.seed, self._folder / folder, tuple(file.limits), file.prune, rungs.ends)
        return self._work(item, candidate).model_copy(update={"folder": str(folder)})

    def _constrain(self, trial: "Trial", found: Outcome) -> None:
        """Record limits and soundness as Optuna's constraints: at most 0 is feasible."""
        limits = self._contract.file.limits if found.sizes else []
        violations = {limit.what: found.sizes[limit.what] / limit.limit - 1.0 for limit in limits}
        violations["sound"] = 1.0 if found.what in ("unsound", "unbuildable") else 0.0
        known = self._board.storage.get_trial(trial._trial_id).constraints  # pyright: ignore[reportPrivateUsage]
        for name, value in violations.items():
            if name not in known:
                trial.set_constraint(name, value)

    # -- a seed of a finalist ----------------------------------------------------------------------------------------

    def _final(self, item: Item) -> Outcome:
        from optuna import Trial

        trial, point = Trial(self._board.finals, item.ident), finalist_of(self._board, item.arm)
        trial.suggest_categorical("arm", [arm.name for arm in self._contract.arms])
        trial.suggest_categorical("seed", list(self._contract.file.fresh_seeds))
        found = self._lost(item)
        if found is None:
            nothing = Outcome(what="none", why="no trial of the arm came to an end")
            found = nothing if point is None else self._rerun(item, point)
        self._tell(item, found, [_objective(found, next(iter(self._contract.file.objectives)))])
        return found

    def _rerun(self, item: Item, values: Mapping[str, Any]) -> Outcome:
        arm, file = self._contract.arm(item.arm), self._contract.file
        assert item.seed is not None
        folder = Path("finalists") / item.arm / f"seed-{item.seed}"

        def make() -> Spec:
            return self._contract.candidate(arm, values)

        candidate = Candidate(make, item.seed, self._folder / folder, tuple(file.limits), is_final=True)
        return self._work(item, candidate).model_copy(update={"folder": str(folder)})

    # -- both --------------------------------------------------------------------------------------------------------

    def _lost(self, item: Item) -> Outcome | None:
        if item.attempt < MOST_ATTEMPTS:
            return None
        return Outcome(what="lost", why=f"{item.attempt} workers died while they ran it")

    def _tell(self, item: Item, found: Outcome, values: list[float | None]) -> None:
        """Write what came of a trial, and end it; one that another process ended first stays as it is."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        ended = {"lost": TrialState.FAIL, "none": TrialState.FAIL}.get(found.what, TrialState.PRUNED)
        known = [value for value in values if value is not None]
        try:
            self._board.storage.set_trial_user_attr(item.ident, OUTCOME, found.model_dump(mode="json"))
            if found.what == "trained" and len(known) == len(values):
                self._board.study(item).tell(item.number, known)
            else:
                self._board.study(item).tell(item.number, state=ended)
        except (UpdateFinishedTrialError, ValueError) as error:
            if not self._board.storage.get_trial(item.ident).state.is_finished():
                raise error


def finalist_of(board: Board, name: str) -> Mapping[str, Any] | None:
    """Return the point of an arm that valid chose, or the arm as written where there was nothing to try; else None."""
    if not board.contract.file.trials:
        return {}
    best = board.best(name)
    return None if best is None else point_of(board.contract.arm(name), best)


def point_of(arm: ArmPlan, trial: "FrozenTrial") -> dict[str, Any]:
    """Return the values that a trial gave to an arm's paths."""
    return {path: restored(space, trial.params[path]) for path, space in arm.space.items()}


def _suggested(trial: "Trial", path: str, space: Space) -> Any:
    """Return the value of a path in a trial: the one it has already, or one that the sampler gives it now."""
    if not isinstance(space, Range):
        return restored(space, trial.suggest_categorical(path, [stored(choice) for choice in space]))
    low, high = space.ends
    if space.is_whole:
        return trial.suggest_int(path, int(low), int(high), step=space.step, log=space.is_logarithmic)
    return trial.suggest_float(path, low, high, log=space.is_logarithmic)


def _objective(found: Outcome, name: str) -> float | None:
    """Return an objective's value; infinity where the metric has no finite one, None where there is none."""
    if found.what != "trained":
        return None
    if not name.startswith("valid."):
        return found.sizes[name]
    value = found.valid[name.removeprefix("valid.")]
    return float("inf") if value is None else value
