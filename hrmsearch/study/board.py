"""A study in its storage: an Optuna study per arm, one for the finalists, and a queue of tickets in each.

All trials of a study are there from the beginning, as tickets that wait; workers take them, and none is ever added. So
two workers can neither run one trial nor one too many, whatever the storage. Names in the storage are `<study>` for the
finalists and `<study>/<arm>` for the search in an arm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from hrmsearch.errors import RunError
from hrmsearch.study.contract import Contract

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, TrialState

#: attributes that hold the contract, and that all tickets are there
CONTRACT: Final = "contract"
READY: Final = "ready"
#: an attribute of a trial: what came of it
OUTCOME: Final = "outcome"

Kind = Literal["search", "final"]


@dataclass(frozen=True, slots=True)
class Item:
    """A trial to be run: a point of an arm's search, or one seed of its finalist. seed: of a final only.

    ident: what the storage knows it by. attempt: how many workers died over it.
    """

    kind: Kind
    arm: str
    number: int
    ident: int
    seed: int | None = None
    attempt: int = 0

    @property
    def name(self) -> str:
        """What people and folders call it: `hrm-3`, or `hrm-seed-2` of a finalist."""
        return f"{self.arm}-{self.number}" if self.seed is None else f"{self.arm}-seed-{self.seed}"


class Board:
    """The studies of one contract in one storage."""

    def __init__(self, storage: "BaseStorage", contract: Contract) -> None:
        self.storage = storage
        self.contract = contract

    @cached_property
    def finals(self) -> "Study":
        """The study whose trials are seeds of finalists."""
        return _load(self.storage, self.contract.name)

    @cached_property
    def searches(self) -> Mapping[str, "Study"]:
        """The search of each arm."""
        return {arm.name: _load(self.storage, search_name(self.contract.name, arm.name)) for arm in self.contract.arms}

    def study(self, item: Item) -> "Study":
        """Return the study that an item's trial is in."""
        return self.finals if item.kind == "final" else self.searches[item.arm]

    def items(self, *states: "TrialState") -> list[tuple[Item, "FrozenTrial"]]:
        """Return all trials, or those in some states: those of the search first, each arm's in order."""
        wanted = states or None
        found = [
            (_item("search", name, trial), trial)
            for name, study in self.searches.items()
            for trial in study.get_trials(deepcopy=False, states=wanted)
        ]
        finals = self.finals.get_trials(deepcopy=False, states=wanted)
        return found + [(_item("final", trial.user_attrs["arm"], trial), trial) for trial in finals]

    def pop(self, item: Item) -> bool:
        """Take a ticket; return whether this process got it."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        try:
            return self.storage.set_trial_state_values(item.ident, state=TrialState.RUNNING)
        except UpdateFinishedTrialError:
            return False

    def searched(self, arm: str) -> bool:
        """Return whether every trial of an arm's search has ended."""
        return all(trial.state.is_finished() for trial in self.searches[arm].get_trials(deepcopy=False))

    def is_finished(self) -> bool:
        """Return whether every trial has ended."""
        from optuna.trial import TrialState

        return not self.items(TrialState.WAITING, TrialState.RUNNING)

    def best(self, arm: str) -> "FrozenTrial | None":
        """Return the trial that valid chose in an arm: complete, and within every constraint; None without any."""
        from optuna.trial import TrialState

        trials = self.searches[arm].get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        fit = [trial for trial in trials if all(value <= 0 for value in trial.constraints.values())]
        sign = 1.0 if next(iter(self.contract.file.objectives.values())) == "min" else -1.0
        return min(fit, key=lambda trial: (sign * trial.values[0], trial.number), default=None)


def search_name(study: str, arm: str) -> str:
    """Return the name of an arm's search in the storage."""
    return f"{study}/{arm}"


def _item(kind: Kind, arm: str, trial: "FrozenTrial") -> Item:
    # Optuna numbers trials in a study, and its storages take another number, which it gives to no one else
    ident = trial._trial_id  # pyright: ignore[reportPrivateUsage]
    return Item(kind, arm, trial.number, ident, trial.user_attrs.get("seed"))


def _load(storage: "BaseStorage", name: str) -> "Study":
    import optuna

    return optuna.load_study(study_name=name, storage=storage)


# -- beginning ---------------------------------------------------------------------------------------------------------


def create(storage: "BaseStorage", contract: Contract, *, resume: bool) -> Board:
    """Return the board of a study, made where there is none; with `resume`, of the one that is there.

    Raises RunError for a study that is there already, or is another one than the contract says.
    """
    known = names(storage)
    if contract.name in known and not resume:
        raise RunError(f"study {contract.name}: is in the storage already; go on with it by --resume, or rename it")
    if contract.name in known:
        _check_same(_contract(storage, contract.name), contract)
    board = Board(storage, contract)
    finals = _make(storage, contract.name, [next(iter(contract.file.objectives.values()))])
    finals.set_user_attr(CONTRACT, contract.model_dump_json())
    if READY not in finals.user_attrs:
        _fill(board)
        finals.set_user_attr(READY, True)
    return board


def join(storage: "BaseStorage", name: str) -> Board | None:
    """Return the board of a study by name, once all of it is there; None before. Raises RunError for an unknown one."""
    known = names(storage)
    if name not in known:
        studies = ", ".join(sorted(known)) or "none"
        raise RunError(f"study {name}: is not in the storage, which holds {studies}")
    board = Board(storage, _contract(storage, name))
    return board if READY in board.finals.user_attrs else None


def names(storage: "BaseStorage") -> list[str]:
    """Return the names of the studies in a storage that were begun here."""
    import optuna

    found = optuna.get_all_study_summaries(storage, include_best_trial=False)
    return [one.study_name for one in found if CONTRACT in one.user_attrs]


def _contract(storage: "BaseStorage", name: str) -> Contract:
    return Contract.read(_load(storage, name).user_attrs[CONTRACT])


def _check_same(found: Contract, wanted: Contract) -> None:
    """Raise RunError unless a study in the storage is the one that is wanted; where it runs may differ."""
    was, now = (_flat(one) for one in (found, wanted))
    what = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    if not what:
        return
    raise RunError(
        f"study {wanted.name}: the one in the storage differs in {', '.join(what)}; "
        "put that back, or give this one another name by --set study=..."
    )


def _flat(one: Contract) -> dict[str, Any]:
    """Return what a study is by name: the entries of its file, its arms, and what runs it."""
    tree = one.model_dump(mode="json", exclude={"folder"})
    arms = {f"arm {arm['name']}": arm for arm in tree.pop("arms")}
    return {**tree.pop("file"), **arms, **tree}


def _make(storage: "BaseStorage", name: str, directions: Sequence[str]) -> "Study":
    import optuna
    from optuna.study import StudyDirection

    ways = [StudyDirection.MINIMIZE if direction == "min" else StudyDirection.MAXIMIZE for direction in directions]
    return optuna.create_study(storage=storage, study_name=name, directions=ways, load_if_exists=True)


def _fill(board: Board) -> None:
    """Add the tickets that are not there yet: an arm's first trial is the arm as written, where that was searched."""
    file = board.contract.file
    for arm in board.contract.arms:
        search = _make(board.storage, search_name(file.study, arm.name), list(file.objectives.values()))
        for number in range(len(search.get_trials(deepcopy=False)), file.trials):
            search.enqueue_trial(arm.written() if number == 0 else {})
    # a seed of every arm before the next seed: most of what is broken off are whole pairs
    finals = [{"arm": arm.name, "seed": seed} for seed in file.fresh_seeds for arm in board.contract.arms]
    for final in finals[len(board.finals.get_trials(deepcopy=False)) :]:
        board.finals.enqueue_trial(final, user_attrs=final)
