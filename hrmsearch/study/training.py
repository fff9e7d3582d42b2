"""Trains one candidate: analyses first, then limits, then epochs with rungs; what stops it is an outcome, no error."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hrmsearch.errors import DivergedError, SpecError, UnsoundError
from hrmsearch.spec.model import Spec
from hrmsearch.study.board import Item
from hrmsearch.study.files import BUDGETS, Constraint, Pruning
from hrmsearch.study.matching import Unmatched
from hrmsearch.study.outcomes import Outcome
from hrmsearch.train import EpochDone, Score, Silent, Workshop, run_seed
from hrmsearch.train.files import RunFolder
from hrmsearch.train.interrupting import Wish
from hrmsearch.train.job import Job, Plan
from hrmsearch.train.manifest import read
from hrmsearch.train.metrics import read as read_metrics

#: is told the metrics on valid after an epoch, counted from 1, and returns whether the trial ends there
Rung = Callable[[int, Mapping[str, float]], bool]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is to be trained. make: returns the spec, or raises why there is none. limits: kept before it may train.

    prune: the rungs on which `rung` is asked. is_final: whether the outcome holds the run's manifest.
    """

    make: Callable[[], Spec]
    seed: int
    folder: Path
    limits: tuple[Constraint, ...] = ()
    prune: Pruning | None = None
    rung: Rung = lambda epoch, valid: False
    is_final: bool = False


class Work(Protocol):
    """What is done with a candidate; a study trains it, a benchmark may do something else."""

    def __call__(self, item: Item, candidate: Candidate) -> Outcome:
        """Return what came of it."""
        ...


class Trains:
    """Trains candidates in one process, which shares data, graphs and executables between them."""

    def __init__(self, shop: Workshop, wish: Wish) -> None:
        self._shop = shop
        self._wish = wish

    def __call__(self, item: Item, candidate: Candidate) -> Outcome:
        """Return what came of a candidate; raises Interrupted where a signal asked to stop."""
        try:
            plan = self._shop.plan(candidate.make())
        except (SpecError, Unmatched) as error:
            return Outcome(what="unbuildable", why=str(error))
        except UnsoundError as error:
            return Outcome(what="unsound", why=str(error))
        sizes = {"params": float(plan.params), **{name: float(getattr(plan.cost, name)) for name in BUDGETS[1:]}}
        over = [limit for limit in candidate.limits if sizes[limit.what] > limit.limit]
        if over:
            why = "; ".join(f"{one.what} is {sizes[one.what]:,.0f}, more than {one.limit:,.0f}" for one in over)
            return Outcome(what="over_budget", why=why, sizes=sizes)
        return self._trained(plan, candidate, sizes)

    def _trained(self, plan: Plan, candidate: Candidate, sizes: Mapping[str, float]) -> Outcome:
        folder = RunFolder(candidate.folder)
        rungs = _Asking(candidate, plan.spec.train.all_epochs)
        try:
            rungs.catch_up(folder)
            result = run_seed(Job(plan, candidate.seed, folder), self._shop, rungs, self._wish)
        except DivergedError as error:
            ended = Outcome(what="diverged", why=str(error), sizes=dict(sizes))
        except _Pruned as at:
            folder.remove_checkpoint()
            return Outcome(what="pruned", valid=dict(at.valid), epochs=at.epoch, sizes=dict(sizes))
        else:
            valid = _metrics(result.valid[-1])
            ended = Outcome(what="trained", valid=valid, epochs=result.epochs, sizes=dict(sizes))
        return ended.model_copy(update={"manifest": read(folder.manifest)}) if candidate.is_final else ended


def _metrics(score: Score) -> dict[str, float | None]:
    record = score.record()
    return {name: record[name] for name in ("loss", *score.metrics)}


class _Pruned(Exception):
    """Ends a run on a rung, from inside its watcher."""

    def __init__(self, epoch: int, valid: Mapping[str, float | None]) -> None:
        super().__init__(epoch)
        self.epoch = epoch
        self.valid = valid


class _Asking(Silent):
    """Asks at every rung whether the run goes on."""

    def __init__(self, candidate: Candidate, epochs: int) -> None:
        self._rungs = candidate.prune.rungs(epochs) if candidate.prune else []
        self._ask = candidate.rung
        self._epochs = epochs

    def epoch(self, event: EpochDone) -> None:
        """Ask after an epoch that is a rung, or was the first to be validated after one."""
        if event.valid:
            self._reach(event.epoch, event.valid[-1])

    def catch_up(self, folder: RunFolder) -> None:
        """Ask for the rungs that a run passed before it was broken off: it may have died on the way to asking."""
        if not folder.metrics.exists():
            return
        last: dict[int, dict[str, Any]] = {}
        for line in read_metrics(folder.metrics):
            if line["split"] == "valid":
                last[line["epoch"]] = line
        for epoch, line in last.items():
            more = {name: value for name, value in line.items() if name not in ("step", "epoch", "split")}
            self._reach(epoch, Score.of(more))

    def _reach(self, epoch: int, score: Score) -> None:
        # after its last epoch a run has nothing left to save
        while self._rungs and self._rungs[0] <= epoch < self._epochs:
            if self._ask(self._rungs.pop(0), {"loss": score.loss, **score.metrics}):
                raise _Pruned(epoch, _metrics(score))
