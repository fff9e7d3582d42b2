"""What a comparison may claim, as plain sentences for a terminal or a Markdown file."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from hrmsearch.study.permutation import smallest_p
from hrmsearch.study.statistics import Comparison, Difference


@dataclass(frozen=True, slots=True)
class Measure:
    """What is compared, in words: `test bpc`; share: whether it is one, whose differences read as percentage points."""

    name: str
    share: bool = False

    def number(self, of: Difference) -> Callable[[float], str]:
        """Return how numbers of a difference are written: to two digits of what it is uncertain by."""
        factor = 100.0 if self.share else 1.0
        low, high = of.interval or (0.0, 0.0)
        places = _places(factor * ((high - low) / 2 or abs(of.mean or 0.0)))
        return lambda value: f"{factor * value:.{places}f}"

    @property
    def unit(self) -> str:
        """What follows a number: a space and its unit, or nothing."""
        return " points" if self.share else ""


def sentences(comparison: Comparison, measure: Measure) -> list[str]:
    """Return what may be said of each arm but the control, in their order."""
    return [sentence(one, comparison, measure) for one in comparison.differences]


def markdown(comparison: Comparison, measure: Measure) -> str:
    """Return the sentences as a Markdown list, ending in a line break."""
    return "".join(f"- {text}\n" for text in sentences(comparison, measure))


def sentence(one: Difference, comparison: Comparison, measure: Measure) -> str:
    """Return what may be said of an arm: the claim with its evidence, or what is missing for one."""
    if one.verdict is None:
        return _nothing(one, comparison, measure)
    if one.verdict == "no difference shown":
        return _no_difference(one, comparison, measure)
    return " ".join(filter(None, [_claim(one, comparison, measure), _permutation(one)]))


def probability(p: float) -> str:
    """Return a p as people read it: `= 0.012`, `< 0.001`."""
    return "< 0.001" if p < 0.0005 else f"= {p:.3f}"


def interval(one: Difference, measure: Measure) -> str:
    """Return the interval with its confidence: `95 % interval -0.041 to 0.021`; empty without one."""
    if one.interval is None or one.level is None:
        return ""
    low, high = map(measure.number(one), one.interval)
    return f"{confidence(one)} interval {low} to {high}{measure.unit}"


def confidence(one: Difference) -> str:
    """Return the confidence of an interval: `97.5 %`; empty without one."""
    return "" if one.level is None else f"{100 * (1 - one.level):.3g} %"


def _claim(one: Difference, comparison: Comparison, measure: Measure) -> str:
    assert one.p_adjusted is not None
    return (
        f"{one.arm} is {one.verdict} than {comparison.control}: {_differs(one, measure)} ({interval(one, measure)}), "
        f"{_evidence(one)}."
    )


def _no_difference(one: Difference, comparison: Comparison, measure: Measure) -> str:
    start = f"No difference between {one.arm} and {comparison.control} is shown: "
    if not one.sd:
        return f"{start}{measure.name} is the same in all {one.seeds} paired seeds."
    return f"{start}{_differs(one, measure)} ({interval(one, measure)}), {_evidence(one)}. {_plan(one, measure)}"


def _nothing(one: Difference, comparison: Comparison, measure: Measure) -> str:
    seen = f"; {_differs(one, measure)}" if one.mean else ""
    return f"No verdict on {one.arm} against {comparison.control}: {one.reason}{seen}."


def _differs(one: Difference, measure: Measure) -> str:
    assert one.mean is not None
    word = "lower" if one.mean < 0 else "higher"
    return f"{measure.name} is {measure.number(one)(abs(one.mean))}{measure.unit} {word}"


def _evidence(one: Difference) -> str:
    assert one.p_adjusted is not None
    family = f" after Holm's rule over {one.comparisons} arms" if one.comparisons > 1 else ""
    return f"p {probability(one.p_adjusted)}{family}, {one.seeds} paired seeds"


def _plan(one: Difference, measure: Measure) -> str:
    """Say what so many seeds could have shown, and how many it would take."""
    assert one.detectable is not None
    could = f"In four of five studies {one.seeds} seeds show a difference of {measure.number(one)(one.detectable)}"
    takes = "more than a million" if one.seeds_needed is None else f"{one.seeds_needed:,}"
    return f"{could}{measure.unit}; one as small as this takes {takes} seeds."


def _permutation(one: Difference) -> str:
    if one.permutation_p_adjusted is None:
        return ""
    p = f"(p {probability(one.permutation_p_adjusted)})"
    if one.permutation_agrees:
        return f"The sign-flip test agrees {p}."
    if smallest_p(one.seeds) * one.comparisons > one.alpha:
        return f"The sign-flip test {p} cannot decide: that takes more seeds with {one.comparisons} arms."
    return f"The sign-flip test does not agree {p}: the claim holds only if differences are nearly normal."


def _places(size: float) -> int:
    """Return the decimals that show two digits of a number of this size."""
    return min(max(1 - math.floor(math.log10(size)), 0), 9) if size > 0 else 0
