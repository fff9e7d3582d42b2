"""A window may be cut anywhere where recurrences are all that mixes it, and one token at a time is such a cut."""

from itertools import accumulate

import numpy as np

from hrmsearch.ir import Lifetime
from hrmsearch.runtime import Array, Carry, Pass
from hrmsearch.testing.invariants.base import invariant, same
from hrmsearch.testing.invariants.draws import Draws
from hrmsearch.testing.invariants.recurrence import why_not_recurrent
from hrmsearch.testing.invariants.subject import Case, Subject

# a whole window may be computed by another form (chunks, a transform) than one token at a time
_FORMS = 1e-9


@invariant(
    "step-chunk-whole",
    "One token at a time, in chunks or whole: a window gives the same logits and leaves the same states, to 1e-9.",
    unless=lambda subject: why_not_recurrent(subject.graph),
)
def step_chunk_whole(subject: Subject, draws: Draws) -> None:
    """Cut a window at drawn places and run the pieces one after another."""
    case = subject.case(draws, tokens=2)
    window, carry = case.windows(2)[1], case.stream(case.windows(1))[1]
    cuts = draws.integers("cut_after", 0, 1, case.tokens - 1)
    ends = [i + 1 for i, cut in enumerate(cuts) if cut] + [case.tokens]
    starts = [0, *ends[:-1]]
    (whole,), wanted = case.run([Pass(window, int(Lifetime.WINDOW))], carry)
    pieces: list[Array] = []
    after = carry
    for start, end in zip(starts, ends, strict=True):
        part = {name: array[:, start:end] for name, array in window.items()}
        reset = Lifetime.WINDOW if start == 0 else _between(subject)
        (outputs,), after = case.run([Pass(part, int(reset))], _cut(case, after, end - start))
        pieces.append(outputs["logits"])
    lengths = [end - start for start, end in zip(starts, ends, strict=True)]
    assert list(accumulate(lengths))[-1] == case.tokens
    within = max(_FORMS, subject.rounding)
    what = f"in pieces of {lengths} tokens"
    same(f"{what}, logits", np.concatenate(pieces, axis=1), whole["logits"], ("row", "token", "class"), within)
    left, right = case.numpy(after), case.numpy(wanted)
    for path in _lasting(subject):
        same(f"{what}, the state {path}", left[path], right[path], within=within)


def _lasting(subject: Subject) -> list[str]:
    """Return the states that have no token axis: those hand on what a window leaves."""
    return [path for path, op in subject.graph.states.items() if "T" not in op.result.type.names]


def _between(subject: Subject) -> Lifetime:
    """Return the reset between pieces: states with a token axis begin anew with each, the others go on."""
    return Lifetime.WINDOW if len(_lasting(subject)) < len(subject.graph.states) else Lifetime.NONE


def _cut(case: Case, carry: Carry, tokens: int) -> Carry:
    """Return a carry for a piece of so many tokens; states with a token axis are zeros, for the reset to restore."""
    executable = case.subject.executable
    zeros, held = executable.carry_to_numpy(executable.init_carry(case.rows, tokens)), case.numpy(carry)
    kept = _lasting(case.subject)
    return executable.carry_from_numpy({path: held[path] if path in kept else array for path, array in zeros.items()})
