"""The phases of training as the graph's header has them: what each makes small, and which parameters it moves."""

from collections.abc import Sequence

from hrmsearch.errors import FieldError
from hrmsearch.ir import Graph, Nest, Phase
from hrmsearch.losses.base import IGNORE, Loss, Objective
from hrmsearch.spec.model import Spec
from hrmsearch.spec.phases import Phase as PhaseSpec
from hrmsearch.spec.problems import closest


def headed(phases: Sequence[PhaseSpec] | None) -> tuple[Phase, ...]:
    """Return the phases for a header; the last one's loss is the output `loss`, an earlier one's is `loss.<name>`."""
    if phases is None:
        return Nest().phases
    names = [*(f"loss.{phase.name}" for phase in phases[:-1]), "loss"]
    return tuple(Phase(phase.name, loss, phase.train) for phase, loss in zip(phases, names, strict=True))


def minimised(spec: Spec) -> list[tuple[str, Objective]]:
    """Return what each phase makes small, with its spec path.

    Raises FieldError where rows halt, and anything but the spec's one loss per target, which trains the q-head too.
    """
    found: list[tuple[str, Objective]] = []
    for i, phase in enumerate(spec.train.phases or (None,)):
        own = phase.loss if phase else None
        place, loss = ("loss", spec.loss) if own is None else (f"train.phases[{i}].loss", own)
        if spec.nest.halt is not None and (own is not None or not isinstance(loss, Loss)):
            raise FieldError(place, "where rows halt, the spec's one loss per target trains them and their q-head")
        found.append((place, loss))
    return found


def scoring(spec: Spec) -> Loss:
    """Return what scores every target; raises FieldError where the spec's loss does not."""
    found = spec.loss.scorer("loss")
    if found is None:
        message = f"{spec.loss.kind} scores no target, so nothing could be reported; give it to a phase of train.phases"
        raise FieldError("loss", f"{message}, or as a term of a sum with cross_entropy")
    return found[1]


def check_ignored(spec: Spec, minimised: Sequence[tuple[str, Objective]]) -> None:
    """Raise FieldError where a loss ignores targets that the task counts, or counts what the task does not."""
    task = spec.task
    scorers = (objective.scorer(place) for place, objective in [("loss", spec.loss), *minimised])
    for place, loss in filter(None, scorers):
        if task.answers and loss.ignore != IGNORE:
            message = f"the task {task.kind} marks what does not count by {IGNORE}; that has to be ignored"
            raise FieldError(f"{place}.ignore", message)
        if 0 <= loss.ignore < task.vocabulary:
            message = f"{loss.ignore} is a symbol of {task.kind}, so its targets would go uncounted"
            raise FieldError(f"{place}.ignore", f"{message}; take a negative number")


def check_trained(graph: Graph) -> None:
    """Raise FieldError where a phase names a parameter that the graph has not."""
    paths = list(graph.params)
    above = dict.fromkeys(".".join(path.split(".")[:n]) for n in range(1, 9) for path in paths)
    for i, phase in enumerate(graph.nest.phases):
        for j, name in enumerate(phase.train or ()):
            if name not in above:
                near = closest(name, above)
                known = dict.fromkeys(path.partition(".")[0] for path in paths)
                hint = f"did you mean {near!r}?" if near else f"there are {', '.join(known)}"
                raise FieldError(f"train.phases[{i}].train[{j}]", f"no parameter is called {name!r}; {hint}")
