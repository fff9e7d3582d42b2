"""Levels move on their ticks only, and states on their commits only."""

from collections.abc import Sequence

import numpy as np

from hrmsearch.ir import Lifetime
from hrmsearch.lowering import lower
from hrmsearch.runtime import Array, Executable, Pass
from hrmsearch.testing.invariants.base import invariant, near, same, stateless
from hrmsearch.testing.invariants.draws import Draws
from hrmsearch.testing.invariants.subject import Case, Outputs, Subject


def _untraced(subject: Subject) -> str:
    if subject.spec is None or subject.compile is None:
        return "an executable alone does not say how it was lowered, so it cannot be traced"
    return "" if _periods(subject) else "the core has no levels with periods"


def _periods(subject: Subject) -> dict[str, int]:
    """Return the levels' periods, fastest first; none where the core has no such thing."""
    levels = getattr(subject.spec.model.core, "levels", {}) if subject.spec else {}
    periods = {name: level.period for name, level in levels.items() if hasattr(level, "period")}
    return dict(sorted(periods.items(), key=lambda item: item[1]))


def _traced(subject: Subject) -> Executable:
    spec = subject.spec
    assert spec is not None
    traced = subject.keep("traced", lambda: lower(spec, trace=True))
    traced.set_params(subject.weights)
    return traced


def _two_passes(subject: Subject, draws: Draws) -> tuple[Case, list[Outputs], Executable]:
    """Return the traced outputs of a fresh pass and of one that goes on from it."""
    case = subject.case(draws)
    traced = _traced(subject)
    first, second = case.windows(2)
    one, carry = traced.forward(Pass(first, int(Lifetime.STREAM), last=False), case.fresh())
    two, _ = traced.forward(Pass(second, int(Lifetime.PASS)), carry)
    return case, [one, two], traced


@invariant("ticks", "A level changes at its own ticks only.", unless=_untraced)
def ticks(subject: Subject, draws: Draws) -> None:
    """Compare every level between neighbouring ticks of a fresh and of a carried pass."""
    _, passes, _ = _two_passes(subject, draws)
    for i, outputs in enumerate(passes):
        count = sum(name.startswith("trace.") for name in outputs) // len(_periods(subject))
        for level, period in _periods(subject).items():
            for tick in range(2, count + 1):
                if tick % period:
                    what = f"pass {i + 1}: level {level} of period {period} moved at tick {tick}"
                    now, before = (outputs[f"trace.{t}.{level}"] for t in (tick, tick - 1))
                    same(what, now, before, ("row", "token", "channel"))


@invariant(
    "traced-pass", "A traced pass gives what the pass gives whose ticks are folded, to rounding.", unless=_untraced
)
def traced_pass(subject: Subject, draws: Draws) -> None:
    """Compare the outputs of both: folding ticks into repeats, and freeing some of gradient, changes no value."""
    case, passes, _ = _two_passes(subject, draws)
    first, second = case.windows(2)
    calls = [Pass(first, int(Lifetime.STREAM), last=False), Pass(second, int(Lifetime.PASS))]
    names = subject.graph.outputs.keys()

    def folded() -> dict[str, Array]:
        return _by_pass(case.run(calls, case.fresh())[0])

    got = _by_pass([{name: outputs[name] for name in names} for outputs in passes])
    near("traced, ", got, subject, folded)


def _by_pass(passes: Sequence[Outputs]) -> dict[str, Array]:
    return {f"{name} of pass {i + 1}": a for i, outputs in enumerate(passes) for name, a in outputs.items()}


@invariant(
    "commits",
    "A pass that is not a row's last leaves every `last_pass` state as the pass began, and changes nothing else by it.",
    unless=stateless,
)
def commits(subject: Subject, draws: Draws) -> None:
    """Run one pass of a stream as the last and as another one, with rows restored by a mask.

    A `last_pass` state stays where it is not restored, and is its start where it is. Outputs and `every_pass` states
    do not know which pass is the last.
    """
    case = subject.case(draws)
    *before, window = case.windows(1 + draws.integer("windows_before", 1, 2))
    _, carry = case.stream(before)
    levels = np.array(draws.integers("levels", 0, int(Lifetime.SAMPLE), case.rows), np.int8)
    (given,), kept = case.run([Pass(window, levels, last=False)], carry)
    (as_last,), taken = case.run([Pass(window, levels)], carry)
    _, fresh = case.run([Pass(window, int(Lifetime.STREAM), last=False)], case.fresh())
    for name, array in given.items():
        same(f"{name} knows whether its pass is the last", array, as_last[name])
    old, start, now, then = (case.numpy(c) for c in (carry, fresh, kept, taken))
    for path, op in subject.graph.states.items():
        if op.attrs["commit"] == "every_pass":
            same(f"the state {path} commits every pass, but knows which is the last", now[path], then[path])
            continue
        for row, level in enumerate(levels):
            restored = level >= Lifetime.of(op.attrs["lifetime"])
            wanted = start if restored else old
            what = "is not its start after a reset" if restored else "moved"
            same(
                f"the state {path} {what} in a pass that is not the last, row {row}", now[path][row], wanted[path][row]
            )
