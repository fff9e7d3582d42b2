"""Optimiser steps: a group of windows goes through its spans, in micro-batches whose gradients add up."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hrmsearch.ir import TELEMETRY, Lifetime
from hrmsearch.runtime import Array, Carry, Executable, Pass, Span
from hrmsearch.train.kept import Kept
from hrmsearch.train.nest import Group, micro_batches, rows_of, spans


@dataclass(frozen=True, slots=True)
class Update:
    """An optimiser step: the loss of the last pass before it, and the gradient's norm before clipping."""

    loss: float
    grad_norm: float
    lr: float


#: is told every pass's loss as soon as it is known, with the pass's number in the window, from 1
Check = Callable[[float, int], None]


class Stepper:
    """Moves an executable's parameters, group by group, and hands each micro-batch's carry from group to group.

    With `accumulate: a` a batch of a * rows is computed `rows` rows at a time: for each span every micro-batch adds its
    gradient, weighted by its share of the rows, before the one update, so the step is that of the whole batch (exactly
    so for a loss that is a mean over as many targets in every row). rate: the learning rate of the next step. kept:
    what is kept of each window from one visit to the next.
    """

    def __init__(self, executable: Executable, rows: int, rate: Callable[[], float], check: Check) -> None:
        self._executable = executable
        self._nest = executable.graph.nest
        self._rows = rows
        self._rate = rate
        self._check = check
        self._carries: list[Carry] = []
        self._carried_rows: list[int] = []
        self._told: list[Mapping[str, Array]] = []
        self._first = 1
        self.kept = Kept(executable.graph)

    def readings(self) -> dict[int, dict[str, float]]:
        """Return what the model told in the last span, by the number of the pass, as means over its rows."""
        passes, parts = self._nest.passes, len(self._carries)
        count = len(self._told) // parts
        return {(self._first + i - 1) % passes + 1: _means(self._told[i::count]) for i in range(count)}

    def take(self, executable: Executable) -> None:
        """Go on with another executable of the same states, such as that of the next phase."""
        kept = self.carries()
        self._executable, self._nest = executable, executable.graph.nest
        self._carries = [executable.carry_from_numpy(arrays) for arrays in kept]

    def step(self, group: Group, updated: Callable[[Update], None]) -> list[float]:
        """Train on a group and return its losses by pass, averaged over rows and windows; hears of every update."""
        parts = micro_batches(group, self._rows)
        rows = [rows_of(part[0]) for part in parts]
        self._enter(group, rows)
        self._bring(parts)
        weights = [count / sum(rows) for count in rows]
        losses: list[float] = []
        columns = list(zip(*(spans(part, self._nest) for part in parts), strict=True))
        for i, column in enumerate(columns):
            due = self._nest.step == "span" or i == len(columns) - 1
            found, norm = self._span(column, weights, len(losses), due)
            losses += found
            if norm is not None:
                updated(Update(found[-1], *norm))
        if self.kept:
            for part, carry in zip(parts, self._carries, strict=True):
                self.kept.leave(self._executable, part[0].windows, carry)
        windows, passes = len(group), self._nest.passes
        return [sum(losses[i::passes]) / windows for i in range(passes)]

    def _bring(self, parts: Sequence[Group]) -> None:
        """Put what is kept of the windows at hand into the carries."""
        if self.kept:
            pairs = zip(parts, self._carries, strict=True)
            self._carries = [self.kept.enter(self._executable, part[0], carry) for part, carry in pairs]

    def roll(self, call: Pass, updated: Callable[[Update], None]) -> tuple[float, dict[str, Array]]:
        """Take one pass of every row and step; return the loss and the outputs asked for. Hears of the update."""
        count = len(np.asarray(call.reset))
        cuts = [slice(i, i + self._rows) for i in range(0, count, self._rows)]
        parts = [[Pass({n: a[cut] for n, a in call.inputs.items()}, np.asarray(call.reset)[cut])] for cut in cuts]
        rows = [len(np.asarray(part[0].reset)) for part in parts]
        if rows != self._carried_rows:
            self._begin(rows, next(iter(call.inputs.values())).shape[1])
        (loss,), norm = self._span(parts, [n / count for n in rows], 0, due=True)
        assert norm is not None
        updated(Update(loss, *norm))
        return loss, {name: np.concatenate([part[name] for part in self._told]) for name in self._told[0]}

    def _begin(self, rows: list[int], tokens: int) -> None:
        self._carries = [self._executable.init_carry(count, tokens) for count in rows]
        self._carried_rows = rows

    def _enter(self, group: Group, rows: list[int]) -> None:
        """Keep the carry of rows that go on; rows that start afresh, or are as many as none before, get a new one."""
        if group[0].reset >= Lifetime.STREAM or rows != self._carried_rows:
            self._begin(rows, next(iter(group[0].arrays.values())).shape[1])

    def _span(
        self, parts: Sequence[Span], weights: Sequence[float], done: int, due: bool
    ) -> tuple[list[float], tuple[float, float] | None]:
        """Run one span of every micro-batch; return its losses and, with an update, the norm and the rate."""
        self._first = done + 1
        if due and len(parts) == 1 and self._nest.step == "span":
            rate = self._rate()
            result, norm = self._executable.train_step(parts[0], self._carries[0], rate)
            self._carries[0], self._told = result.carry, [*result.told]
            self._judge(result.losses, done)
            return result.losses, (norm, rate)
        total = [0.0] * len(parts[0])
        self._told = []
        for i, (span, weight) in enumerate(zip(parts, weights, strict=True)):
            result = self._executable.backward(span, self._carries[i], weight)
            self._carries[i] = result.carry
            self._told += result.told
            total = [t + weight * loss for t, loss in zip(total, result.losses, strict=True)]
        self._judge(total, done)
        if not due:
            return total, None
        rate = self._rate()
        return total, (self._executable.update(rate), rate)

    def _judge(self, losses: Sequence[float], done: int) -> None:
        for i, loss in enumerate(losses, start=done):
            self._check(loss, i % self._nest.passes + 1)

    def carries(self) -> list[dict[str, Array]]:
        """Return the carry of every micro-batch, to be kept."""
        return [self._executable.carry_to_numpy(carry) for carry in self._carries]

    def restore(self, carries: Sequence[Mapping[str, Array]], rows: Sequence[int]) -> None:
        """Continue with carries that were kept, of micro-batches of so many rows."""
        self._carries = [self._executable.carry_from_numpy(arrays) for arrays in carries]
        self._carried_rows = list(rows)

    @property
    def carried_rows(self) -> list[int]:
        """Rows of each micro-batch whose carry is kept."""
        return list(self._carried_rows)

    def forget(self) -> None:
        """Drop every carry: an epoch ended."""
        self._carries, self._carried_rows = [], []


def _means(told: Sequence[Mapping[str, Array]]) -> dict[str, float]:
    """Return the mean over all rows of what micro-batches told of one pass."""
    names = [name for name in told[0] if name.startswith(TELEMETRY)]
    return {name: float(np.concatenate([part[name] for part in told]).mean(dtype=np.float64)) for name in names}
