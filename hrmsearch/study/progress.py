"""How far a study is: trials by arm, best values, and how long it may still take."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hrmsearch.study.contract import Contract
from hrmsearch.study.results import Trial


@dataclass(frozen=True, slots=True)
class ArmProgress:
    """One arm: trials by what came of them, and the best value of the first objective.

    running: names of trials under way. seeds: of its finalist that ended.
    """

    arm: str
    ended: Mapping[str, int]
    waiting: int
    running: tuple[str, ...]
    best: float | None
    seeds: int

    @property
    def done(self) -> int:
        """How many trials of its search ended."""
        return sum(self.ended.values())


@dataclass(frozen=True, slots=True)
class Progress:
    """A study. left: seconds that it may still take with so many workers; None before anything tells."""

    arms: Sequence[ArmProgress]
    done: int
    total: int
    left: float | None

    @property
    def is_finished(self) -> bool:
        """Whether every trial ended."""
        return self.done == self.total


def progress(contract: Contract, trials: Sequence[Trial], workers: int = 1) -> Progress:
    """Return how far a study is; workers: how many share what is left."""
    done = [trial for trial in trials if trial.state not in ("waiting", "running")]
    arms = [
        _arm(contract, arm.name, [trial for trial in trials if trial.item.arm == arm.name]) for arm in contract.arms
    ]
    return Progress(arms, len(done), len(trials), _left(trials, workers))


def _arm(contract: Contract, name: str, trials: Sequence[Trial]) -> ArmProgress:
    search = [trial for trial in trials if trial.item.kind == "search"]
    ended = Counter(
        trial.outcome.what for trial in search if trial.outcome and trial.state not in ("waiting", "running")
    )
    values = [t.values[0] for t in search if t.state == "complete" and all(v <= 0 for v in t.constraints.values())]
    less = next(iter(contract.file.objectives.values())) == "min"
    return ArmProgress(
        name,
        dict(ended),
        sum(trial.state == "waiting" for trial in search),
        tuple(trial.item.name for trial in trials if trial.state == "running"),
        (min(values) if less else max(values)) if values else None,
        sum(trial.item.kind == "final" and trial.is_over for trial in trials),
    )


def _left(trials: Sequence[Trial], workers: int) -> float | None:
    """Return seconds that are left: each trial as long as those of its arm and kind took on average."""
    total = 0.0
    taken = [trial for trial in trials if trial.seconds is not None]
    if not taken:
        return None
    overall = sum(trial.seconds or 0.0 for trial in taken) / len(taken)
    for trial in trials:
        if not trial.is_over:
            alike = [t.seconds or 0.0 for t in taken if (t.item.arm, t.item.kind) == (trial.item.arm, trial.item.kind)]
            total += sum(alike) / len(alike) if alike else overall
    return total / max(1, workers)
