"""The spec as typed data: what a YAML file may say, with the defaults a user expects.

Slots that are open to new kinds (`core`, `memory`, `task`, ...) hold any registered part of their family.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, PrivateAttr, model_validator

from hrmsearch.errors import Place, Problem, SpecError
from hrmsearch.spec.fields import Init, OrNone, exactly_one
from hrmsearch.spec.node import Path
from hrmsearch.spec.phases import Phase
from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Choice, Part, kinds
from hrmsearch.spec.source import Source


def _default(family: str, kind: str, **fields: Any) -> Any:
    """Declare a slot whose default is a kind that registers later than this module loads."""
    return Field(default_factory=lambda: kinds(family)[kind].model_validate({"kind": kind, **fields}))


class Defaults(Part):
    """Block fields that every block takes unless it says otherwise."""

    norm: Annotated[Any, Choice("norm", "rms")] = _default("norm", "rms")
    ffn: Annotated[Any, Choice("ffn", "swiglu")] = _default("ffn", "swiglu")
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)


class Model(Part):
    """The architecture: embedding, memories by place, a core that ticks, and heads."""

    dim: int = Field(ge=1, le=65536)
    init: Init = "lecun_normal"
    defaults: Defaults = Field(default_factory=Defaults)
    embed: Annotated[Any, Choice("embed", "token")] = _default("embed", "token")
    memory: tuple[Annotated[Any, Choice("memory")], ...] = ()
    core: Annotated[Any, Choice("core")]
    head: Annotated[Any, Choice("head", "lm")]
    q_head: Annotated[Annotated[Any, Choice("q_head", "pooled")] | None, OrNone()] = None


class Backprop(Part):
    """How far gradient reaches: k passes of one window, or all passes of k windows."""

    passes: PositiveInt | None = None
    windows: PositiveInt | None = None

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        exactly_one(self)
        return self


class Halting(Part):
    """Rows of a batch stop one by one, after `passes` passes at the latest, and take the next windows.

    In training a row stops where its q-head's `halt` exceeds `continue`, or 0 if there is no `continue`; with
    probability `explore` it has to take a random number of passes first, drawn anew after each. target: what `continue`
    is trained towards, the larger of the values that a second forward, without gradient, gives for the next pass; with
    a single pass, after which nobody goes on, it is not trained, as in the published code. eval: rows are scored after
    so many passes (`max`), or as they stop (`halt`).
    Source: Wang et al. 2025, arXiv:2506.21734 (HRM), sec. 2; without `continue` as in arXiv:2510.04871 (TRM).
    """

    kind: Literal["act"] = "act"
    explore: float = Field(default=0.0, ge=0.0, le=1.0)
    target: Annotated[Literal["second_forward"] | None, OrNone()] = None
    eval: Literal["max", "halt"] = "max"


class NestSpec(Part):
    """How often a window is refined, and when the optimiser steps.

    passes: how often, or at most, where rows halt. step: `span` steps after every span; `window` sums the losses of all
    passes of a window first. settle: passes without gradient or score over a window that is met for the first time, as
    every one that is scored; they fill what a memory keeps by sample.
    """

    passes: PositiveInt = 1
    halt: Annotated[Halting | None, OrNone()] = None
    backprop: Backprop = Field(default_factory=lambda: Backprop(passes=1))
    step: Literal["span", "window"] = "span"
    # an absent one leaves the resolved spec, and so its hash, as it was
    settle: NonNegativeInt | None = None

    @property
    def bootstraps(self) -> bool:
        """Whether `continue` is trained by what the next pass says."""
        return self.halt is not None and self.halt.target is not None and self.passes > 1

    @model_validator(mode="after")
    def _whole_spans(self) -> Self:
        span = self.backprop.passes
        if span is not None and self.passes % span:
            raise FieldProblem(f"{self.passes} passes do not divide into spans of {span}", "backprop", "passes")
        if self.backprop.windows is not None and self.backprop.windows > 1 and self.step == "window":
            raise FieldProblem("a span of several windows steps once per span; say 'span'", "step")
        if self.halt is not None and (self.backprop.passes != 1 or self.step != "span"):
            where = ("step",) if self.backprop.passes == 1 else ("backprop",)
            raise FieldProblem(
                "rows that halt one by one step after every pass: backprop: {passes: 1}, step: span", *where
            )
        return self


class Schedule(Part):
    """The learning rate over steps: linear warm-up, then constant or a cosine down to `floor` times the rate."""

    kind: Literal["constant", "cosine"] = "constant"
    warmup: NonNegativeInt = 0
    floor: float = Field(default=0.0, ge=0.0, le=1.0)


class Telemetry(Part):
    """What a model tells of itself while it trains.

    of: readings by name, such as `energy` or `norm`; a name also stands for all that begin with it: `energy` for
    `energy_L`. docs/telemetry.md has a table of all. every: optimiser steps from one line of `metrics.jsonl` to the
    next. Readings change nothing that is learned, and those that are not named here are not computed.
    """

    of: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    every: PositiveInt = 1


class Train(Part):
    """How a model is trained.

    patience: epochs without a better validation loss before stopping, looked at after validations. eval_interval:
    epochs from one validation to the next, 1 if left out; the last epoch of a phase is validated anyway. accumulate:
    micro-batches per optimiser step.
    ema: decay of the averaged parameters that are evaluated and kept. checkpoint: seconds between checkpoints; every
    validation writes one besides. diverged: a loss beyond this many times the first one stops a run.
    precision: what a pass computes in; under bfloat16 parameters, carries, losses and the states of memories stay in
    float32. telemetry: what the model tells of itself meanwhile; nothing by default. phases: stretches of training
    with losses and parameters of their own. The last one chooses the best epoch, and patience is its alone.
    """

    optimizer: Annotated[Any, Choice("optimizer", "adamw")] = _default("optimizer", "adamw")
    schedule: Schedule = Field(default_factory=Schedule)
    clip: Annotated[PositiveFloat | None, OrNone()] = 1.0
    batch: PositiveInt = 16
    accumulate: PositiveInt = 1
    ema: Annotated[Annotated[float, Field(gt=0.0, lt=1.0)] | None, OrNone()] = None
    precision: Literal["float32", "float64", "bfloat16"] = "float32"
    epochs: PositiveInt = 30
    patience: Annotated[PositiveInt | None, OrNone()] = None
    checkpoint: NonNegativeFloat = 60.0
    diverged: PositiveFloat = 1e3
    # absent ones leave the resolved spec, and so its hash, as it was
    eval_interval: PositiveInt | None = None
    telemetry: Telemetry | None = None
    phases: tuple[Phase, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _phases_differ(self) -> Self:
        names = [phase.name for phase in self.phases or ()]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise FieldProblem(f"two phases are called {name!r}", "phases", i, "name")
        return self

    def epochs_of(self, phase: int) -> int:
        """Return how many epochs a phase takes at most; without phases the run is one."""
        return (self.phases[phase].epochs if self.phases else None) or self.epochs

    def begins(self, phase: int) -> int:
        """Return the epoch with which a phase begins, from 0."""
        return sum(map(self.epochs_of, range(phase)))

    def phase_at(self, epoch: int) -> int:
        """Return the phase that an epoch belongs to, both from 0; the last phase has no end."""
        return max(phase for phase in range(len(self.phases or (None,))) if self.begins(phase) <= epoch)

    def validates(self, epoch: int) -> bool:
        """Return whether an epoch, counted from 1, ends with validation; the last one of every phase does."""
        phase = self.phase_at(epoch - 1)
        done = epoch - self.begins(phase)
        return done == self.epochs_of(phase) or done % (self.eval_interval or 1) == 0

    @property
    def all_epochs(self) -> int:
        """Epochs of all phases."""
        return self.begins(len(self.phases or (None,)))

    def optimizer_of(self, phase: int) -> Any:
        """Return the optimiser of a phase."""
        return (self.phases[phase].optimizer if self.phases else None) or self.optimizer


Code = Annotated[str, Field(pattern=r"^HS\d{3}$")]
Reason = Annotated[str, Field(min_length=1)]


class Spec(Part):
    """One runnable model: architecture, nest, loss, task and training.

    accept: diagnostics that may stand, each with the reason; they are still printed and recorded.
    """

    spec: Literal[1]
    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=100)
    about: str = ""
    model: Model
    nest: NestSpec = Field(default_factory=NestSpec)
    loss: Annotated[Any, Choice("loss", "cross_entropy")] = _default("loss", "cross_entropy")
    task: Annotated[Any, Choice("task")]
    train: Train = Field(default_factory=Train)
    seeds: tuple[NonNegativeInt, ...] = Field(default=(0,), min_length=1)
    accept: dict[Code, Reason] = Field(default_factory=dict[str, str])

    _source: Source | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise FieldProblem("a seed occurs twice", "seeds")
        return self

    def with_source(self, source: Source) -> Self:
        """Return the spec that knows the text it came from."""
        spec = self.model_copy()
        spec._source = source
        return spec

    @property
    def file(self) -> str:
        """The file the spec came from, or its name."""
        return self._source.file if self._source else self.name

    @property
    def source(self) -> Source | None:
        """The text the spec came from, with its overrides; None for one made in Python."""
        return self._source

    def place(self, field: str) -> Place:
        """Return where a field such as `model.memory[0].heads` stands, or its nearest ancestor that is written."""
        if self._source is None:
            return Place(self.name, 1, 1)
        return self._source.place(steps(field))

    def problem(self, field: str, message: str) -> SpecError:
        """Return the error that says what is wrong with a field."""
        place = self.place(field)
        return SpecError([Problem(place, field, message, self._source.excerpt(place) if self._source else "")])


def steps(field: str) -> Path:
    """Return the steps of a dotted path: `memory[0].heads` -> ("memory", 0, "heads")."""
    words = field.replace("[", ".").replace("]", "").split(".")
    return tuple(int(word) if word.isdigit() else word for word in words if word)
