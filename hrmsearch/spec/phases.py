"""Phases: stretches of training, one after another, each with a loss and with parameters of its own."""

from typing import Annotated, Any

from pydantic import Field, PositiveInt

from hrmsearch.spec.registry import Choice, Part

PhaseName = Annotated[str, Field(pattern=r"^[A-Za-z]\w*$", max_length=40)]


class Phase(Part):
    """A stretch of training; what it leaves out is as for the whole run.

    epochs, optimizer: by default those of `train`. loss: what is made small, by default the loss of the spec, which
    scores in every phase. train: parameters by path, each with all below it (`core.L`); the others stand still. A phase
    begins with the parameters that the one before it ended with, and with a fresh optimiser, schedule and average.
    """

    name: PhaseName
    epochs: PositiveInt | None = None
    loss: Annotated[Any, Choice("loss")] | None = None
    train: tuple[str, ...] | None = Field(default=None, min_length=1)
    optimizer: Annotated[Any, Choice("optimizer")] | None = None
