"""Rows that halt, dealt wrong: what restarts, who goes on, and which sample a row has."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np

from hrmsearch.blocks.puzzle import Puzzle
from hrmsearch.ir import Builder, Lifetime, Value
from hrmsearch.runtime import Array, Pass
from hrmsearch.testing.check import examine, prepare
from hrmsearch.testing.invariants import Subject, invariants
from hrmsearch.train import halting
from hrmsearch.train.halting import RollingBatch
from hrmsearch.train.job import task_of
from hrmsearch.train.samples import Samples
from tests.property.test_halting import halting as spec_that_halts
from tests.soundness.checking import EXAMPLES, Record

STEPS = 8


@dataclass(frozen=True, slots=True)
class HaltingBug:
    """A way to break what deals samples to rows that halt; caught: the invariants that must notice.

    target, part, wrong: what stands where. It is in force from before the model is lowered.
    """

    name: str
    how: str
    caught: tuple[str, ...]
    target: Any
    part: str
    wrong: Callable[..., Any]

    def planted(self) -> AbstractContextManager[Any]:
        """Break it until the context ends."""
        return patch.object(self.target, self.part, self.wrong)

    def __str__(self) -> str:
        return self.name


def subject() -> Subject:
    """Return a model whose rows halt, ready for the invariants."""
    return prepare(spec_that_halts(), "torch")


def noticed(model: Subject, name: str) -> str:
    """Return how an invariant fails, "" where it holds."""
    outcome = examine(model, invariants()[name], EXAMPLES, seed=0)
    assert outcome.verdict != "not applicable", outcome.reason
    return outcome.reason


def recorded(model: Subject) -> Record:
    """Return what a rolling batch of the task's samples gives, step by step."""
    model.weigh(0)
    graph, executable = model.graph, model.executable
    samples = Samples(task_of(spec_that_halts()).load(), 0, graph.inputs)
    batch, carry, found = RollingBatch(graph.nest, 3, samples.take, 0), executable.init_carry(3, 5), Record()
    for step in range(STEPS):
        outputs, carry = executable.forward(batch.next(), carry)
        batch.heed(outputs, step)
        found |= {(step, name): array for name, array in outputs.items()}
        found |= {(step, path): array for path, array in executable.carry_to_numpy(carry).items()}
    return found


# -- what goes wrong ---------------------------------------------------------------------------------------------------

_next: Callable[..., Pass] = RollingBatch.next
_take: Callable[..., dict[str, Array]] = Samples.take
_build: Callable[..., Value] = Puzzle.build


def _unrestored(batch: Any) -> Pass:
    call = _next(batch)
    return Pass(call.inputs, np.full_like(call.reset, Lifetime.PASS))


def _all_restored(batch: Any) -> Pass:
    call = _next(batch)
    return Pass(call.inputs, np.full_like(call.reset, np.max(call.reset)))


def _neighbours_puzzle(batch: Any) -> Pass:
    call = _next(batch)
    return Pass({**call.inputs, "puzzle": np.roll(call.inputs["puzzle"], 1)}, call.reset)


def _counts_on(batch: Any) -> Pass:
    before = batch.passes.copy()
    call = _next(batch)
    batch.passes = np.minimum(before + 1, batch._most)
    return call


def _wants_only(outputs: Mapping[str, Array], passes: Array, most: int, least: Any = 0) -> Array:
    return halting.wants(outputs) & (passes >= np.minimum(least, most))


def _at_once(outputs: Mapping[str, Array], passes: Array, most: int, least: Any = 0) -> Array:
    return np.ones(len(passes), np.bool_)


def _first_again(samples: Any, count: int) -> dict[str, Array]:
    found = _take(samples, count)
    samples._taken = max(samples._taken - 1, 0)
    return found


def _one_lost(samples: Any, count: int) -> dict[str, Array]:
    return {name: array[1:] for name, array in _take(samples, count + 1).items()}


def _averaged(part: Any, b: Builder, keys: Value) -> Value:
    found = _build(part, b, keys)
    return b.broadcast(b.mean(found, "B"), found.type)


BUGS: Sequence[HaltingBug] = (
    HaltingBug(
        "halted-row-goes-on",
        "a row that halted takes its next sample with the states of the last one",
        ("halted-rows-restart",),
        RollingBatch,
        "next",
        _unrestored,
    ),
    HaltingBug(
        "neighbours-restart",
        "one row that halted restores the whole batch",
        ("running-rows",),
        RollingBatch,
        "next",
        _all_restored,
    ),
    HaltingBug(
        "passes-without-end", "a row goes on for as long as it likes", ("halting-bound",), halting, "halts", _wants_only
    ),
    HaltingBug("halts-at-once", "every row halts after its first pass", ("halting-bound",), halting, "halts", _at_once),
    HaltingBug(
        "passes-counted-on",
        "a row's count of passes goes on from sample to sample",
        ("halting-bound",),
        RollingBatch,
        "next",
        _counts_on,
    ),
    HaltingBug(
        "sample-repeated", "the last sample is dealt again", ("rolling-samples",), Samples, "take", _first_again
    ),
    HaltingBug(
        "sample-lost", "a sample is passed over at every restart", ("rolling-samples",), Samples, "take", _one_lost
    ),
    HaltingBug(
        "puzzle-of-a-neighbour",
        "a row has its neighbour's puzzle number",
        ("rolling-samples",),
        RollingBatch,
        "next",
        _neighbours_puzzle,
    ),
    HaltingBug(
        "entries-mixed", "every row reads the mean of all rows' entries", ("own-entry",), Puzzle, "build", _averaged
    ),
)
