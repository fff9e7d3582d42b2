"""Rows are alone: nothing that happens to one shows in another."""

from collections.abc import Mapping, Sequence

import numpy as np

from hrmsearch.ir import Lifetime
from hrmsearch.runtime import Array, Carry, Pass
from hrmsearch.testing.invariants.base import always, invariant, near, same, same_rows, stateless
from hrmsearch.testing.invariants.draws import Draws
from hrmsearch.testing.invariants.subject import Case, Subject


@invariant(
    "reset-rows",
    "A row reset by a mask is, bit for bit, that row where all rows are reset, and a fresh one where all is restored.",
    unless=stateless,
)
def reset_rows(subject: Subject, draws: Draws) -> None:
    """Reset rows by a mask in the middle of a stream, and compare each with a uniform reset of its level.

    The pass is its window's last, so that what `last_pass` states propose shows too; `commits` has the other ones.
    """
    case = subject.case(draws, rows=2)
    *before, window = case.windows(1 + draws.integer("windows_before", 1, 2))
    _, carry = case.stream(before)
    levels = draws.integers("levels", 0, int(Lifetime.SAMPLE), case.rows)
    got = _pass(case, Pass(window, np.array(levels, np.int8)), carry)
    within = subject.displaced
    longest = max(Lifetime.of(op.attrs["lifetime"]) for op in subject.graph.states.values())
    for level in sorted(set(levels)):
        rows = [row for row, its in enumerate(levels) if its == level]
        uniform = _pass(case, Pass(window, level), carry)
        same_rows(f"reset {levels} by rows is not reset {level} of all rows", got, uniform, rows, within)
        if level >= longest:
            fresh = _pass(case, Pass(window, int(Lifetime.STREAM)), case.fresh())
            same_rows(f"reset {levels} by rows in mid-stream is not a fresh start", got, fresh, rows, within)


def _pass(case: Case, call: Pass, carry: Carry) -> dict[str, Array]:
    """Return the outputs that have rows, and the carry, of one pass."""
    (outputs,), after = case.run([call], carry)
    return case.subject.with_rows(outputs) | {f"state {path}": a for path, a in case.numpy(after).items()}


@invariant(
    "row-independence",
    "Changing the data of other rows leaves a row's outputs and states, bit for bit, as they were.",
    unless=always,
    code="HS104",
)
def row_independence(subject: Subject, draws: Draws) -> None:
    """Change every input of all rows but one; the row keeps its place in every product, so its bits may not move."""
    case = subject.case(draws, rows=2)
    row = draws.integer("row", 0, case.rows - 1)
    windows = case.windows(draws.integer("windows", 1, 2))
    others = Case(subject, case.seed + 1, case.rows, case.tokens).windows(len(windows))
    for window, other in zip(windows, others, strict=True):
        for name, array in other.items():
            array[row] = window[name][row]
    wanted, got = _flat(case, windows), _flat(case, others)
    for name, array in got.items():
        what = f"other rows changed, and so did row {row} of {name}"
        same(what, array[row], wanted[name][row], within=subject.displaced)


@invariant(
    "row-order",
    "Permuting the rows permutes outputs and states, to rounding.",
    unless=always,
)
def row_order(subject: Subject, draws: Draws) -> None:
    """Permute rows; a matrix product may round a row differently at another place, so bits are not compared."""
    case = subject.case(draws, rows=2)
    order = draws.permutation("order", case.rows)
    windows = case.windows(draws.integer("windows", 1, 2))
    permuted = [{name: array[order] for name, array in window.items()} for window in windows]
    got = _flat(case, permuted)

    def in_order() -> dict[str, Array]:
        return {name: array[order] for name, array in _flat(case, windows).items()}

    near(f"rows in the order {order}: ", got, subject, in_order)


def _flat(case: Case, windows: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Return what a stream gave and left, by a name that says where."""
    outputs, carry = case.stream(windows)
    found = {f"the state {path}": array for path, array in case.numpy(carry).items()}
    for i, window in enumerate(outputs):
        for j, given in enumerate(window):
            rows = case.subject.with_rows(given)
            found |= {f"{name} in pass {j + 1} of window {i + 1}": array for name, array in rows.items()}
    return found
