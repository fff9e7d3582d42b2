"""Rows that halt one by one: what the rolling batch deals, who halts, and what a restart may touch.

Rows halt by drawn votes, not by the model's q-head, so that every pattern of restarts is met whatever the weights.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hrmsearch.ir import Lifetime
from hrmsearch.runtime import Array, Carry, Pass
from hrmsearch.tasks.base import Ids, Split, TaskData
from hrmsearch.testing.inputs import random_inputs
from hrmsearch.testing.invariants.base import Violation, invariant, same, same_rows
from hrmsearch.testing.invariants.draws import Draws
from hrmsearch.testing.invariants.subject import Case, Subject
from hrmsearch.train.halting import Q_HALT, Flags, RollingBatch
from hrmsearch.train.samples import Samples

#: the name under which a sample carries its number
_NUMBER = "number"


@dataclass(frozen=True, slots=True)
class _Numbered(Split):
    """Samples that each carry their number."""

    def rows(self, which: Any) -> dict[str, Ids]:
        """Return some of the samples and their numbers."""
        # the zero-argument form does not find a class that slots made anew
        return {**Split.rows(self, which), _NUMBER: np.arange(len(self), dtype=np.int32)[which]}


@dataclass(frozen=True, slots=True)
class _Turn:
    """One pass of every row: which were fresh, the numbers of their samples, passes so far, votes, who halts."""

    call: Pass
    fresh: Flags
    numbers: Array
    passes: Array
    votes: Array
    halted: Flags


@dataclass(frozen=True, slots=True)
class _Rolled:
    """A rolling batch of a few turns over a few samples."""

    case: Case
    most: int
    samples: Split
    turns: list[_Turn]


def _unhalting(subject: Subject) -> str:
    return "" if subject.graph.nest.halt else "rows do not halt one by one"


def _rolled(subject: Subject, draws: Draws) -> _Rolled:
    """Draw samples and votes, and let a rolling batch deal."""
    case = subject.case(draws, rows=2)
    count, steps = draws.integer("samples", 1, 7), draws.integer("steps", 2, 6)
    votes = np.array(draws.integers("votes", 0, 1, steps * case.rows)).reshape(steps, case.rows)
    nest = replace(subject.graph.nest, passes=subject.passes)
    made = random_inputs(
        subject.graph, {"B": count, "T": case.tokens}, lambda name: np.random.default_rng([case.seed, len(name)])
    )
    split = _Numbered(made["tokens"], made["targets"], made.get("puzzle"))
    taken = Samples(TaskData({"train": split}, {}, ""), case.seed, {*subject.graph.inputs, _NUMBER})
    batch, turns = RollingBatch(nest, case.rows, taken.take, case.seed), list[_Turn]()
    for step, vote in enumerate(votes):
        fresh = batch.halted.copy()
        call = batch.next()
        inputs = dict(call.inputs)
        numbers, passes = inputs.pop(_NUMBER), batch.passes.copy()
        batch.heed({Q_HALT: vote - 0.5}, step)
        turns.append(_Turn(replace(call, inputs=inputs), fresh, numbers, passes, vote, batch.halted.copy()))
    return _Rolled(case, nest.passes, split, turns)


@invariant(
    "rolling-samples",
    "A round deals every sample once before the next begins, and a row keeps its own, whole, until it halts.",
    unless=_unhalting,
)
def rolling_samples(subject: Subject, draws: Draws) -> None:
    """Follow the numbers of samples through rows, and compare what a row holds with the sample of its number."""
    rolled = _rolled(subject, draws)
    dealt: list[int] = []
    for i, turn in enumerate(rolled.turns):
        dealt += turn.numbers[turn.fresh].tolist()
        for row in np.flatnonzero(~turn.fresh):
            kept = rolled.turns[i - 1].numbers[row]
            if turn.numbers[row] != kept:
                raise Violation(f"turn {i + 1}: row {row} went on, but from sample {kept} to {turn.numbers[row]}")
        for name, array in rolled.samples.rows(turn.numbers).items():
            if name in turn.call.inputs:
                same(f"turn {i + 1}: {name} of the samples {turn.numbers}", turn.call.inputs[name], array)
    size = len(rolled.samples)
    for start in range(0, len(dealt), size):
        one = dealt[start : start + size]
        if len(set(one)) < len(one):
            raise Violation(f"a round of {size} samples deals {one}: one twice, another never")


@invariant(
    "halting-bound",
    "A row halts after the most passes at the latest, before that only if it wants to, and its count begins anew.",
    unless=_unhalting,
)
def halting_bound(subject: Subject, draws: Draws) -> None:
    """Count passes by the changes of samples, and compare with what the batch believes."""
    rolled = _rolled(subject, draws)
    counted = np.zeros(rolled.case.rows, np.int64)
    before = np.ones(rolled.case.rows, np.bool_)
    for i, turn in enumerate(rolled.turns):
        counted = np.where(before, 1, counted + 1)
        same(f"turn {i + 1}: the rows that restart, after those that halted", turn.fresh, before)
        same(f"turn {i + 1}: passes taken", turn.passes, counted)
        for row in range(rolled.case.rows):
            if counted[row] >= rolled.most and not turn.halted[row]:
                raise Violation(f"turn {i + 1}: row {row} goes on after {counted[row]} of {rolled.most} passes")
            if turn.halted[row] and counted[row] < rolled.most and not turn.votes[row]:
                raise Violation(f"turn {i + 1}: row {row} halts unasked after {counted[row]} of {rolled.most} passes")
        before = turn.halted


def _compared(subject: Subject, draws: Draws, *, halted: bool) -> None:
    """Compare every pass with one in which all rows restart, or none does, in the rows that do as it does."""
    rolled = _rolled(subject, draws)
    case, carry = rolled.case, rolled.case.fresh()
    level, word = (Lifetime.WINDOW, "restarts") if halted else (Lifetime.PASS, "goes on")
    for i, turn in enumerate(rolled.turns):
        got, after = _pass(case, turn.call, carry)
        rows = np.flatnonzero(turn.fresh == halted).tolist()
        # what outlives a window is not restored by a restart
        start = case.fresh() if halted and not subject.states("stream") else carry
        uniform, _ = _pass(case, replace(turn.call, reset=int(level)), start)
        what = f"turn {i + 1}: a row that {word} is not as if every row did"
        same_rows(what, got, uniform, rows, subject.displaced)
        carry = after


def _pass(case: Case, call: Pass, carry: Carry) -> tuple[dict[str, Array], Carry]:
    """Return the outputs that have rows and the states after one pass, and the carry."""
    (outputs,), after = case.run([call], carry)
    states = {f"the state {path}": array for path, array in case.numpy(after).items()}
    return case.subject.with_rows(outputs) | states, after


@invariant(
    "halted-rows-restart",
    "A row that halted begins its next sample, bit for bit, as in a batch in which every row is fresh.",
    unless=_unhalting,
)
def halted_rows_restart(subject: Subject, draws: Draws) -> None:
    """Compare rows that restart with a fresh batch of the same samples."""
    _compared(subject, draws, halted=True)


@invariant(
    "running-rows",
    "A row that goes on is, bit for bit, untouched by its neighbours' restarts.",
    unless=_unhalting,
)
def running_rows(subject: Subject, draws: Draws) -> None:
    """Compare rows that go on with a pass in which no row restarts."""
    _compared(subject, draws, halted=False)


def _unkeyed(subject: Subject) -> str:
    return "" if _tables(subject) else "no table is looked up by key"


def _tables(subject: Subject) -> dict[str, str]:
    """Return the input with the keys of each table, by the table's path."""
    found = subject.executable.graph.params
    return {path: str(op.attrs["keyed"]) for path, op in found.items() if "keyed" in op.attrs}


@invariant(
    "own-entry",
    "A row reads the entry of its own key only: changing another one leaves it, bit for bit, as it was.",
    unless=_unkeyed,
)
def own_entry(subject: Subject, draws: Draws) -> None:
    """Change one entry of every table; rows with other keys may not move."""
    case = subject.case(draws, rows=2)
    (window,) = case.windows(1)
    before, _ = _pass(case, Pass(window, int(Lifetime.STREAM)), case.fresh())
    for number, (path, name) in enumerate(_tables(subject).items()):
        table = subject.weights[path]
        key = draws.integer(f"entry_{number}" if number else "entry", 0, len(table) - 1)
        changed = table.copy()
        changed[key] += 1.0
        subject.executable.set_params({**subject.weights, path: changed})
        try:
            after, _ = _pass(case, Pass(window, int(Lifetime.STREAM)), case.fresh())
        finally:
            subject.executable.set_params(subject.weights)
        others = np.flatnonzero(window[name] != key).tolist()
        what = f"the entry {key} of {path} changed, and so did a row of another {name}"
        same_rows(what, after, before, others, subject.displaced)
