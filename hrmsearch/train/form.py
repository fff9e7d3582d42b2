"""What a manifest has to hold, so that whoever reads one meets every key with a value of its type."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, ValidationError

from hrmsearch.spec import problems
from hrmsearch.spec.node import spell

#: what a manifest's status may be; a run that was stopped is still `running`
RUNNING: Final = "running"
FINISHED: Final = "finished"
DIVERGED: Final = "diverged"

#: levels of JSON; a spec nests about ten, and every level takes a few calls of those who write it as YAML
_DEEPEST: Final = 64

#: what is wrong with a key, by pydantic's error type
_KEYS: Final = {"missing": "is missing", "extra_forbidden": "is no key of a manifest"}


def broken(manifest: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a manifest first, as `params: should be an integer`; None of a whole one."""
    if _is_deeper(manifest, _DEEPEST):
        return "nested too deeply"
    model = _Finished if manifest.get("status") == FINISHED else _Manifest
    try:
        model.model_validate(manifest)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    else:
        return None
    right = problems.expected(first)
    said = f"should be {right}" if right else _KEYS.get(first["type"]) or problems.standalone(first)
    return f"{spell(first['loc'])}: {said}"


def _is_deeper(value: Any, most: int) -> bool:
    """Return whether a JSON value has more than so many levels; never called deeper than that itself."""
    if not isinstance(value, dict | list):
        return False
    inner: Iterable[Any] = (
        cast("dict[str, Any]", value).values() if isinstance(value, dict) else cast("list[Any]", value)
    )
    return most == 0 or any(_is_deeper(one, most - 1) for one in inner)


class _Form(BaseModel):
    """A JSON object that has these keys; it may have others, as one of a later version does."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class _SpecTask(_Form):
    kind: str
    window: PositiveInt


class _SpecTrain(_Form):
    epochs: PositiveInt


class _Spec(_Form):
    """What is read of a spec without loading it."""

    about: str | None = None
    task: _SpecTask
    train: _SpecTrain


class _Data(_Form):
    corpus: str
    sha256: str


class _Budget(_Form):
    params: NonNegativeInt
    flops_per_token: NonNegativeFloat
    state_bytes: NonNegativeInt
    activation_bytes: NonNegativeInt


class _Diagnostic(_Form):
    code: str
    name: str
    severity: str
    file: str
    line: int
    column: int
    field: str
    message: str
    path: list[str]
    suggestion: str
    notes: list[str]
    accepted: str | None


class _Manifest(_Form):
    """What every run's has; without `kernels` it is of a version that had no such option."""

    status: Literal["running", "finished", "diverged"]
    name: str
    seed: NonNegativeInt
    spec_hash: str
    spec: _Spec
    command: list[str]
    data: _Data
    versions: dict[str, str]
    platform: dict[str, str | int | None]
    backend: str
    device: str
    precision: str
    optimize: bool
    kernels: bool = True
    threads: NonNegativeInt
    params: NonNegativeInt
    budget: _Budget
    diagnostics: list[_Diagnostic]


class _Score(_Form):
    """Scores after a pass, more of them by name; an infinite perplexity is null."""

    __pydantic_extra__: dict[str, float | None] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]
    number: PositiveInt = Field(alias="pass")
    loss: float


_Scores = Annotated[list[_Score], Field(min_length=1)]


class _Metrics(_Form):
    """Counts, and scores by split and pass; only `valid` is in every task."""

    __pydantic_extra__: dict[str, _Scores] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]
    best_epoch: PositiveInt
    epochs: PositiveInt
    steps: NonNegativeInt
    valid: _Scores


class _Control(_Form, extra="forbid"):
    name: str
    about: str
    metrics: dict[str, dict[str, float]]


class _Finished(_Manifest):
    """What a finished run's has besides."""

    metrics: _Metrics
    controls: list[_Control]
    halted: list[NonNegativeInt] = Field(default_factory=list[int])
    seconds_per_epoch: NonNegativeFloat
