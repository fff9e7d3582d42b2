"""What a study came to: every trial, the finalist of each arm, and their comparison over fresh paired seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrmsearch.errors import RunError
from hrmsearch.files import strict, write
from hrmsearch.spec.load import dump, render
from hrmsearch.study.board import Board, Item
from hrmsearch.study.comparing import RunComparison, compare_runs
from hrmsearch.study.contract import Contract
from hrmsearch.study.leases import holder_of
from hrmsearch.study.outcomes import Outcome, outcome_of
from hrmsearch.study.paths import assignment
from hrmsearch.study.running import finalist_of, point_of
from hrmsearch.study.runs import RunArm, SeedRun
from hrmsearch.train import manifest
from hrmsearch.train.files import STUDY

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial as the storage has it.

    state: Optuna's word, in lower case. point: the values of its paths. holder: the host and process that took it last.
    """

    item: Item
    state: str
    point: Mapping[str, Any]
    values: Sequence[float]
    constraints: Mapping[str, float]
    outcome: Outcome | None
    seconds: float | None
    holder: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it ended."""
        return self.state not in ("waiting", "running")

    def record(self) -> dict[str, Any]:
        """Return the trial as JSON values, without the manifest of a finalist's seed."""
        outcome = self.outcome.model_dump(mode="json", exclude={"manifest"}) if self.outcome else None
        known = {"name": self.item.name, "arm": self.item.arm, "number": self.item.number, "state": self.state}
        seed = {} if self.item.seed is None else {"seed": self.item.seed}
        numbers = {"values": list(self.values), "constraints": dict(self.constraints), "seconds": self.seconds}
        return {**known, **seed, "point": dict(self.point), **numbers, "outcome": outcome}


@dataclass(frozen=True, slots=True)
class Finalist:
    """What valid chose in an arm, by the number of its trial; None for an arm as written, where there were no trials.

    front: trials that no other one beats in every objective.
    """

    arm: str
    number: int | None
    point: Mapping[str, Any]
    front: tuple[int, ...]
    spec: str


@dataclass(frozen=True, slots=True)
class StudyResults:
    """A study as far as it went. comparison: None, and `why` says so, where there is nothing to compare."""

    contract: Contract
    trials: Sequence[Trial]
    finalists: Mapping[str, Finalist]
    comparison: RunComparison | None
    why: str = ""

    def record(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        agreed = self.contract.model_dump(mode="json")
        finalists = {
            arm: {"trial": one.number, "point": dict(one.point), "front": list(one.front)}
            for arm, one in self.finalists.items()
        }
        comparison = self.comparison.record() if self.comparison else None
        trials = [trial.record() for trial in self.trials]
        return {**agreed, "trials": trials, "finalists": finalists, "comparison": comparison, "why": self.why}


def gather(board: Board) -> StudyResults:
    """Return what a study came to so far."""
    contract = board.contract
    trials = trials_of(board)
    found = {arm.name: _finalist(board, arm.name) for arm in contract.arms}
    finalists = {arm: one for arm, one in found.items() if one is not None}
    try:
        return StudyResults(contract, trials, finalists, _comparison(contract, trials))
    except RunError as error:
        return StudyResults(contract, trials, finalists, None, str(error))


def trials_of(board: Board) -> list[Trial]:
    """Return all trials of a study as they stand."""
    return [_trial(item, trial, board.contract) for item, trial in board.items()]


def _trial(item: Item, trial: "FrozenTrial", contract: Contract) -> Trial:
    arm = contract.arm(item.arm)
    sampled = item.kind == "search" and all(path in trial.params for path in arm.space)
    seconds = trial.duration.total_seconds() if trial.duration else None
    return Trial(
        item,
        trial.state.name.lower(),
        point_of(arm, trial) if sampled else {},
        list(trial.values or ()),
        trial.constraints,
        outcome_of(trial.user_attrs),
        seconds,
        holder_of(trial.user_attrs),
    )


def _finalist(board: Board, name: str) -> Finalist | None:
    point, best, contract = finalist_of(board, name), board.best(name), board.contract
    if point is None:
        return None
    spec = contract.candidate(contract.arm(name), point).model_copy(update={"seeds": contract.file.fresh_seeds})
    if best is None:
        return Finalist(name, None, point, (), render(spec))
    fit = [t for t in board.searches[name].best_trials if all(value <= 0 for value in t.constraints.values())]
    return Finalist(name, best.number, point, tuple(trial.number for trial in fit), render(spec))


def _comparison(contract: Contract, trials: Sequence[Trial]) -> RunComparison:
    """Return the comparison of the finalists; raises RunError where there is none to make."""
    arms: list[RunArm] = []
    for arm in contract.arms:
        finals = [t for t in trials if t.item.arm == arm.name and t.item.kind == "final" and t.outcome]
        runs = [SeedRun(_place(contract, t), t.outcome.manifest) for t in finals if t.outcome and t.outcome.manifest]
        over = sorted((run for run in runs if run.is_over), key=lambda run: run.seed)
        if over:
            arms.append(RunArm(arm.name, Path(contract.folder), tuple(over), ()))
    if contract.file.control not in [arm.name for arm in arms]:
        raise RunError(f"the control {contract.file.control} has no finalist that was trained")
    if len(arms) < 2:
        raise RunError(f"no arm but {contract.file.control} has a finalist that was trained")
    return compare_runs(arms, metric=_metric(contract, arms), control=contract.file.control)


def _metric(contract: Contract, arms: Sequence[RunArm]) -> str:
    """Return what finalists are compared by: the objective that chose them, on test where there is one."""
    finished = [run.manifest for arm in arms for run in arm.runs if run.manifest["status"] == manifest.FINISHED]
    split = "test" if all("test" in found["metrics"] for found in finished) else "valid"
    return f"{split}.{contract.file.leading}"


def _place(contract: Contract, trial: Trial) -> Path:
    assert trial.outcome is not None
    return Path(contract.folder) / trial.outcome.folder / "manifest.json"


def write_results(results: StudyResults, folder: Path) -> list[Path]:
    """Write `study.json` and a spec for each finalist that `hrmsearch run` takes; return their paths."""
    import json

    contract = results.contract
    for arm, one in results.finalists.items():
        seeds = ", ".join(map(str, contract.file.fresh_seeds))
        chosen = ", ".join(assignment(path, value) for path, value in one.point.items()) or "as written"
        head = (
            f"# study {contract.name}: trial {arm}-{one.number} ({chosen}), chosen by {contract.file.leading} on valid"
        )
        write(folder / f"best-{arm}.yaml", f"{head}\n# re-run there on seeds {seeds}\n{one.spec}", parents=True)
    record = json.dumps(strict(results.record()), indent=1, allow_nan=False) + "\n"
    write(folder / "study.json", record, parents=True)
    return [*(folder / f"best-{arm}.yaml" for arm in results.finalists), folder / "study.json"]


def write_begun(contract: Contract, folder: Path) -> None:
    """Write what a study is, before it runs: the file with every default, and each arm as it was matched."""
    file = contract.file.model_dump(mode="json", exclude_none=True)
    write(folder / STUDY, dump(file), parents=True)
    for arm in contract.arms:
        write(folder / "arms" / f"{arm.name}.yaml", render(contract.candidate(arm, {})), parents=True)
