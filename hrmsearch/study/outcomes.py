"""What came of a trial, as its attribute in the storage holds it."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field

from hrmsearch.spec.registry import Part
from hrmsearch.study.board import OUTCOME

#: trained: to its end. pruned: ended on a rung. unsound, unbuildable, over_budget: never trained. diverged: stopped by
#: NaN or a runaway loss. lost: every worker that ran it died. none: an arm without a finalist
What = Literal["trained", "pruned", "unsound", "unbuildable", "over_budget", "diverged", "lost", "none"]
#: what was never trained
UNTRAINED: Final = ("unsound", "unbuildable", "over_budget")


class Outcome(Part):
    """What came of a trial.

    why: a sentence or a diagnostic, where it was not trained to its end. sizes: params, flops_per_token, state_bytes.
    valid: metrics after the last pass, of the epoch that valid chose; None is infinite. folder: the run's, below the
    study's. same_as: the number of an earlier trial of the same point, whose outcome this is. manifest: the run's, of a
    finalist's seed, so that the storage alone tells what a study came to.
    """

    what: What
    why: str = ""
    sizes: dict[str, float] = Field(default_factory=dict[str, float])
    valid: dict[str, float | None] = Field(default_factory=dict[str, float | None])
    epochs: int = 0
    folder: str = ""
    same_as: int | None = None
    manifest: dict[str, Any] = Field(default_factory=dict[str, Any])


def outcome_of(attributes: Mapping[str, Any]) -> Outcome | None:
    """Return the outcome among a trial's attributes; None of one that has none yet."""
    found = attributes.get(OUTCOME)
    return None if found is None else Outcome.model_validate(found)
