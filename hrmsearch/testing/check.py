"""Checks a model: the static analyses of its graph, then every invariant on the compiled model."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, cast

from hrmsearch.analyses import Diagnostic, validate
from hrmsearch.errors import BackendError
from hrmsearch.ir import Graph
from hrmsearch.lowering import lower
from hrmsearch.runtime import Executable, Options, backend_names, load_backend, prepared
from hrmsearch.spec.model import Spec
from hrmsearch.testing.invariants import Drawn, Invariant, Replayed, ReplayError, Subject, Violation, invariants

#: the backends that check a model unless one is named: the first that can be used here
PREFERRED = ("torch", "reference")
EXAMPLES = 25
ENLARGE = 3.0
# finite differences take four evaluations per parameter entry
_BY_DIFFERENCES = ("reference",)
_FEW = 250
# every new shape is compiled for seconds
_BY_SHAPE = ("tinygrad",)

Verdict = Literal["held", "failed", "not applicable"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one invariant.

    reason: why it does not apply, or what differs in the smallest counterexample found. values: the draws of that
    counterexample. replay: what `replay` and `hrmsearch check --replay` take to run it again. accepted: the reason for
    which the spec accepts the diagnostic that predicts this failure. examples: how many were run, shrinking included.
    """

    name: str
    claim: str
    verdict: Verdict
    reason: str = ""
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    replay: str = ""
    accepted: str | None = None
    examples: int = 0
    seconds: float = 0.0

    @property
    def stops(self) -> bool:
        """Whether this is a failure that the spec does not accept."""
        return self.verdict == "failed" and self.accepted is None

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as plain data."""
        head = {"name": self.name, "claim": self.claim, "verdict": self.verdict, "reason": self.reason}
        tail = {"accepted": self.accepted, "examples": self.examples, "seconds": round(self.seconds, 3)}
        return {**head, "values": dict(self.values), "replay": self.replay, **tail}

    def __str__(self) -> str:
        if self.verdict != "failed":
            return f"{self.name}: {self.verdict}{f' ({self.reason})' if self.reason else ''}"
        drawn = ", ".join(f"{name} {value}" for name, value in self.values.items())
        lines = [f"{self.name} failed: {self.reason}", f"claim: {self.claim}", f"smallest example found: {drawn}"]
        lines.append(f"replay: {self.replay}" if self.replay else "it does not fail every time, so there is no replay")
        if self.accepted is not None:
            lines.append(f"accepted: {self.accepted}")
        return "\n  ".join(lines)


@dataclass(frozen=True)
class Report:
    """What a check found: of the graph by analysis, of the compiled model by example.

    backend: what ran the model, "" for an executable whose backend was not named.
    """

    name: str
    backend: str
    diagnostics: Sequence[Diagnostic]
    outcomes: Sequence[Outcome]

    @property
    def failed(self) -> list[Outcome]:
        """The invariants that do not hold, accepted or not."""
        return [outcome for outcome in self.outcomes if outcome.verdict == "failed"]

    @property
    def ok(self) -> bool:
        """Whether no error and no failed invariant stands unaccepted."""
        return not any(one.stops for one in (*self.diagnostics, *self.outcomes))

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        found = [diagnostic.as_json() for diagnostic in self.diagnostics]
        outcomes = [outcome.as_json() for outcome in self.outcomes]
        return {"name": self.name, "backend": self.backend, "ok": self.ok, "diagnostics": found, "invariants": outcomes}

    def __str__(self) -> str:
        return "\n".join(map(str, [*self.diagnostics, *self.outcomes]))


def check(
    model: Spec | Executable,
    *,
    backend: str | None = None,
    device: str = "cpu",
    examples: int = EXAMPLES,
    seed: int = 0,
    enlarge: float = ENLARGE,
) -> Report:
    """Return what the analyses say of a model and which invariants hold of it, each on a number of random examples.

    A spec is compiled for a device in float64 at its own widths; rows and tokens are few. An executable is tested in
    its own precision and gets its weights back; name its backend to include what needs a second one. backend: by
    default the first of `PREFERRED` that is usable. enlarge: initial weights are made so many times larger, so that
    small leaks show; 0 takes the spec's own (see `Subject.weigh`). The same seed draws the same examples.
    """
    subject = prepare(model, backend, enlarge, device)
    found = validate(subject.graph, subject.spec)
    before = subject.executable.snapshot()
    try:
        outcomes = [examine(subject, one, examples, seed) for one in invariants().values()]
    finally:
        subject.executable.restore(before)
    return Report(subject.graph.name, subject.backend, found, outcomes)


def replay(model: Spec | Executable, text: str, *, backend: str | None = None, device: str = "cpu") -> Outcome:
    """Run one example again, from the `replay` of an outcome that failed.

    Raises ReplayError for a text that cannot be read or does not fit the model.
    """
    one, enlarge, values = _parsed(text)
    subject = prepare(model, backend, enlarge, device)
    if reason := one.unless(subject):
        return Outcome(one.name, one.claim, "not applicable", reason)
    before, begun = subject.executable.snapshot(), time.perf_counter()
    try:
        failure = _failure(subject, one, Replayed(values))
    finally:
        subject.executable.restore(before)
    spent = time.perf_counter() - begun
    if not failure:
        return Outcome(one.name, one.claim, "held", values=values, examples=1, seconds=spent)
    return Outcome(one.name, one.claim, "failed", failure, values, text, _accepted(subject, one), 1, spent)


def examine(subject: Subject, one: Invariant, examples: int = EXAMPLES, seed: int = 0) -> Outcome:
    """Return whether an invariant holds of a subject on random examples, shrunk where one fails."""
    if reason := one.unless(subject):
        return Outcome(one.name, one.claim, "not applicable", reason)
    begun, search = time.perf_counter(), _Search(subject, one)
    search.run(examples, seed)
    spent = time.perf_counter() - begun
    if not search.failure:
        return Outcome(one.name, one.claim, "held", examples=search.examples, seconds=spent)
    again = f"{one.name} {json.dumps({'enlarge': subject.enlarge, **search.values})}" if search.repeats else ""
    found = Outcome(one.name, one.claim, "failed", search.failure, search.values, again, _accepted(subject, one))
    return replace(found, examples=search.examples, seconds=spent)


def _accepted(subject: Subject, one: Invariant) -> str | None:
    return subject.spec.accept.get(one.code) if subject.spec else None


class _Search:
    """Looks for a counterexample and keeps the last failing one, which Hypothesis leaves as the smallest."""

    def __init__(self, subject: Subject, one: Invariant) -> None:
        self.subject, self.one = subject, one
        self.failure = ""
        self.values: dict[str, Any] = {}
        self.examples = 0
        self.repeats = True

    def run(self, examples: int, seed: int) -> None:
        """Run examples until one fails, then shrink it."""
        import hypothesis
        from hypothesis import strategies as st
        from hypothesis.errors import Flaky

        phases = (hypothesis.Phase.generate, hypothesis.Phase.shrink)
        settings = hypothesis.settings(
            max_examples=examples,
            phases=phases,
            database=None,
            deadline=None,
            derandomize=False,
            print_blob=False,
            report_multiple_bugs=False,
            suppress_health_check=cast("list[hypothesis.HealthCheck]", list(hypothesis.HealthCheck)),
            verbosity=hypothesis.Verbosity.quiet,
        )
        run = hypothesis.seed(seed)(settings(hypothesis.given(st.data())(self._example)))
        try:
            run()
        except _Found:
            pass
        except Flaky:
            self.repeats = False

    def _example(self, data: Any) -> None:
        draws = Drawn(data)
        self.examples += 1
        failure = _failure(self.subject, self.one, draws)
        if failure:
            self.failure, self.values = failure, draws.values
            raise _Found


class _Found(Exception):
    """An example failed; one class for all failures, so that shrinking may go from one to a smaller one."""


def _failure(subject: Subject, one: Invariant, draws: Drawn | Replayed) -> str:
    """Return how an example fails, or "" where the claim holds; a model that cannot run it fails too."""
    from hypothesis.errors import HypothesisException, StopTest

    try:
        one(subject, draws)
    except Violation as violation:
        return str(violation)
    except (ReplayError, HypothesisException, StopTest):
        raise
    except Exception as error:
        return f"the model raised {type(error).__name__}: {error}"
    return ""


def prepare(
    model: Spec | Executable, backend: str | None = None, enlarge: float = ENLARGE, device: str = "cpu"
) -> Subject:
    """Return a model ready to be tested; see `check` for the arguments."""
    if isinstance(model, Spec):
        name, graph, options = backend or default_backend(), lower(model), Options(device, "float64", brief=True)
        executable, spec = _compiled(graph, name, options), model
    else:
        name, graph, options = backend, model.graph, model.options
        executable, spec = model, None
    compile_ = None if name is None else partial(_compiled, backend=name, options=options)
    few = _FEW if name in (None, *_BY_DIFFERENCES) else None
    return Subject(executable, graph, spec, compile_, enlarge, few, name or "", one_shape=name in _BY_SHAPE)


def _compiled(graph: Graph, backend: str, options: Options) -> Executable:
    """Return an executable as a run would have it: after the compiler passes."""
    return load_backend(backend).compile(prepared(graph, backend, options.device), options)


def default_backend() -> str:
    """Return the first of the preferred backends that can be used here, or else the first one there is."""
    for name in (*PREFERRED, *backend_names()):
        try:
            return load_backend(name).name
        except BackendError:
            continue
    raise BackendError("no backend is installed")


def _parsed(text: str) -> tuple[Invariant, float, dict[str, Any]]:
    """Return the invariant, the enlargement and the draws that a replay names."""
    name, _, rest = text.strip().partition(" ")
    if name not in invariants():
        raise ReplayError(f"no invariant is called {name!r}; there are: {', '.join(invariants())}")
    try:
        values: Any = json.loads(rest)
    except json.JSONDecodeError as error:
        raise ReplayError(f"the replay of {name} does not go on with a JSON object: {error}") from error
    if not isinstance(values, dict):
        raise ReplayError(f"the replay of {name} goes on with {rest!r}, not with a JSON object")
    drawn = cast("dict[str, Any]", values)
    enlarge = drawn.pop("enlarge", ENLARGE)
    if not isinstance(enlarge, int | float) or enlarge < 0:
        raise ReplayError(f"the replay's 'enlarge' is {enlarge!r}, not a number from 0")
    return invariants()[name], float(enlarge), drawn
