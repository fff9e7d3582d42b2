"""What the runs of one process share: data by task, graphs with their facts by structure, executables by what they do.

All that is shared is a function of its key, and an executable starts anew by `init`; so a run in a workshop ends with
the same bits as one alone in its process.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Generic, TypeVar

from hrmsearch.analyses import Diagnostic, validate
from hrmsearch.errors import UnsoundError
from hrmsearch.ir import Graph, keyed_params
from hrmsearch.lowering import lower
from hrmsearch.runtime import Executable
from hrmsearch.spec.load import resolved
from hrmsearch.spec.model import Spec
from hrmsearch.tasks.base import TaskData
from hrmsearch.train.compiling import compile_for
from hrmsearch.train.job import Plan
from hrmsearch.train.options import RunOptions

#: how many of each are kept; what was not used for longest goes first
MOST: Final = 8
#: what of a spec its graph, diagnostics and costs depend on
_STRUCTURE: Final = ("name", "model", "nest", "loss", "task", "accept")
#: and what of each of its phases
_PHASES: Final = ("name", "loss", "train")

Held = TypeVar("Held")


class Workshop:
    """Makes what runs need, each thing once. options: where and how they run."""

    def __init__(self, options: RunOptions) -> None:
        self.options = options
        self._data = _Kept[TaskData]()
        self._plans = _Kept[Plan]()
        self._executables = _Kept[Executable](2 * MOST)

    def plan(self, spec: Spec) -> Plan:
        """Return the plan of a spec's run.

        Raises SpecError where it cannot be built, UnsoundError where a diagnostic forbids training, and DataError where
        the data cannot be had.
        """

        def make() -> Plan:
            graph = lower(spec)
            diagnostics = sound(graph, spec)
            data = self._data.take(_key(spec.task.model_dump(mode="json")), spec.task.load)
            return Plan(spec, graph, data, self.options, diagnostics)

        return self._plans.take(_structure(spec), make).twin(spec)

    def trainer(self, plan: Plan, phase: int = 0) -> Executable:
        """Return one that trains in a phase; what it holds is still of the run before."""
        make = partial(compile_for, plan.spec, plan.graph, self.options, phase=phase)
        return self._executables.take(_computed(plan, phase), make)

    def judge(self, plan: Plan) -> Executable:
        """Return one that scores; what it holds is still of the run before."""
        make = partial(compile_for, plan.spec, plan.graph, self.options, training=False)
        return self._executables.take(_computed(plan), make)


def sound(graph: Graph, spec: Spec, refusal: str = "not trained") -> tuple[Diagnostic, ...]:
    """Return what the analyses found; raises UnsoundError, with the words of a refusal, where that forbids training."""
    found = tuple(validate(graph, spec))
    stopping = [str(one) for one in found if one.stops]
    if stopping:
        codes = ", ".join(sorted({one.code for one in found if one.stops}))
        hint = f"{refusal}: mend the spec, or accept {codes} in it with a reason (accept: {{HS...: why}})"
        raise UnsoundError("\n\n".join([*stopping, hint]))
    return found


def _structure(spec: Spec) -> str:
    tree = resolved(spec)
    phases = [{name: phase.get(name) for name in _PHASES} for phase in tree["train"].get("phases", ())]
    telemetry = tree["train"].get("telemetry")
    return _key({"phases": phases, "telemetry": telemetry, **{name: tree[name] for name in _STRUCTURE}})


def _computed(plan: Plan, phase: int | None = None) -> str:
    """Return what an executable depends on: the structure, and in training how parameters move but for the rate.

    The rate of a keyed table is kept as a multiple of the others', so there it counts.
    """
    train, rates = resolved(plan.spec)["train"], bool(keyed_params(plan.graph))
    alike = {"structure": _structure(plan.spec), **{name: train[name] for name in ("precision", "batch")}}
    if phase is None:
        return _key(alike)
    rule = plan.spec.train.optimizer_of(phase).model_dump(mode="json")
    optimizer = {name: value for name, value in rule.items() if name != "lr" or rates}
    return _key({**alike, "phase": phase, "optimizer": optimizer, "clip": train["clip"], "ema": train["ema"]})


def _key(data: Mapping[str, Any]) -> str:
    return json.dumps(data, sort_keys=True)


class _Kept(Generic[Held]):
    """Things by key, the last used ones."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._held = OrderedDict[str, Held]()

    def take(self, key: str, make: Callable[[], Held]) -> Held:
        """Return the thing of a key, made at need."""
        if key not in self._held:
            made = make()
            while len(self._held) >= self._most:
                self._held.popitem(last=False)
            self._held[key] = made
        self._held.move_to_end(key)
        return self._held[key]
