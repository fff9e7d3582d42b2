"""What an invariant is, how it fails, and how arrays are compared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hrmsearch.runtime import Array
from hrmsearch.testing.invariants.draws import Draws
from hrmsearch.testing.invariants.subject import Subject

#: a reason why a claim says nothing about a model, or "" where it applies
Rule = Callable[[Subject], str]
Test = Callable[[Subject, Draws], None]


class Violation(AssertionError):
    """An invariant does not hold; says in words what differs, where and by how much."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """A claim about every model that its rule lets through.

    test: raises Violation where the claim is false for a subject under some draws. code: the diagnostic that predicts a
    failure, if one does; a spec that accepts it accepts the failure.
    """

    name: str
    claim: str
    unless: Rule
    test: Test
    code: str = ""

    def __call__(self, subject: Subject, draws: Draws) -> None:
        """Test the claim on one example."""
        self.test(subject, draws)


def invariant(name: str, claim: str, unless: Rule, code: str = "") -> Callable[[Test], Invariant]:
    """Turn a test into an invariant; `unless` returns why a model is exempt."""
    return lambda test: Invariant(name, claim, unless, test, code)


def always(subject: Subject) -> str:
    """Exempt nothing."""
    del subject
    return ""


def stateless(subject: Subject) -> str:
    """Exempt models that carry nothing."""
    return "" if subject.graph.states else "no state is carried"


def same(what: str, got: Array, wanted: Array, axes: Sequence[str] = (), within: float = 0.0) -> None:
    """Raise a Violation unless two arrays are equal; NaN equals NaN.

    axes: names of the axes, for the message. within: the difference allowed, as a share of the largest entry (at
    least 1); 0 asks for equal bits.
    """
    if got.shape != wanted.shape:
        raise Violation(f"{what}: shape {list(got.shape)}, not {list(wanted.shape)}")
    if not got.size or np.array_equal(got, wanted, equal_nan=got.dtype.kind == "f"):
        return
    with np.errstate(invalid="ignore"):
        gap = np.abs(np.asarray(got, np.float64) - np.asarray(wanted, np.float64))
        largest = float(np.max(np.abs(wanted), initial=1.0))
    gap = np.where(np.isnan(gap), np.where(np.isnan(got) & np.isnan(wanted), 0.0, np.inf), gap)
    if float(gap.max()) > within * largest or within == 0.0:
        raise Violation(f"{what}: largest difference {gap.max():.3g}, {_position(gap, axes)}")


def near(
    what: str, got: Mapping[str, Array], subject: Subject, run: Callable[[], Mapping[str, Array]], least: float = 0.0
) -> None:
    """Raise a Violation unless arrays are what `run` gives, to rounding and what the model makes of rounding.

    least: a share of the largest entry that may be missed in any case.
    """
    wanted, shaken = run(), subject.shaken(run)
    for name, array in got.items():
        largest = float(np.max(np.abs(wanted[name]), initial=1.0))
        with np.errstate(invalid="ignore"):  # a reading may overflow where the stream does not
            amplified = float(np.nan_to_num(np.abs(shaken[name] - wanted[name])).max(initial=0.0))
        same(f"{what}{name}", array, wanted[name], within=max(least, subject.rounding, 10 * amplified / largest))


def same_rows(
    what: str, got: Mapping[str, Array], wanted: Mapping[str, Array], rows: Sequence[int], within: float
) -> None:
    """Raise a Violation unless arrays of equal names agree in some rows; `within` as for `same`."""
    for name, array in got.items():
        for row in rows:
            same(f"{what}, {name}, row {row}", array[row], wanted[name][row], within=within)


def _position(gap: Array, axes: Sequence[str]) -> str:
    at = np.unravel_index(int(np.argmax(gap)), gap.shape)
    names = axes if len(axes) == gap.ndim else [f"axis {i}" for i in range(gap.ndim)]
    return "at " + (", ".join(f"{name} {int(i)}" for name, i in zip(names, at, strict=True)) or "the only entry")
