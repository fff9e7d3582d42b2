"""What the runs of one process share: data by task, graphs with their facts by structure, executables by what they do.

All that is shared is a function of its key, and an executable starts anew by `init`; so a run in a workshop ends with
the same bits as one alone in its process.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
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

Held = TypeVar("Held")


class Workshop:
    """Makes what runs need, each thing once. options: where and how they run."""

    def __init__(self, options: RunOptions) -> None:
        self.options = options
        self._data = _Kept[TaskData]()
        self._plans = _Kept[Plan]()
        self._executables = _Kept[tuple[Executable, Executable]]()

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

    def executables(self, plan: Plan) -> tuple[Executable, Executable]:
        """Return one that trains and one that judges; what they hold is still of the run before."""

        def make() -> tuple[Executable, Executable]:
            trained = compile_for(plan.spec, plan.graph, self.options)
            return trained, compile_for(plan.spec, plan.graph, self.options, training=False)

        return self._executables.take(_computed(plan), make)


def sound(graph: Graph, spec: Spec) -> tuple[Diagnostic, ...]:
    """Return what the analyses found; raises UnsoundError where that forbids training."""
    found = tuple(validate(graph, spec))
    stopping = [str(one) for one in found if one.stops]
    if stopping:
        codes = ", ".join(sorted({one.code for one in found if one.stops}))
        hint = f"not trained: mend the spec, or accept {codes} in it with a reason (accept: {{HS...: why}})"
        raise UnsoundError("\n\n".join([*stopping, hint]))
    return found


def _structure(spec: Spec) -> str:
    tree = resolved(spec)
    return _key({name: tree[name] for name in _STRUCTURE} | {"telemetry": tree["train"].get("telemetry")})


def _computed(plan: Plan) -> str:
    """Return what an executable depends on: the structure, and how parameters move but for the rate.

    The rate of a keyed table is kept as a multiple of the others', so there it counts.
    """
    train, rates = resolved(plan.spec)["train"], bool(keyed_params(plan.graph))
    optimizer = {name: value for name, value in train["optimizer"].items() if name != "lr" or rates}
    moved = {name: train.get(name) for name in ("clip", "ema", "precision", "batch")}
    return _key({"structure": _structure(plan.spec), "optimizer": optimizer, **moved})


def _key(data: Mapping[str, Any]) -> str:
    return json.dumps(data, sort_keys=True)


class _Kept(Generic[Held]):
    """Things by key, the last used ones."""

    def __init__(self) -> None:
        self._held = OrderedDict[str, Held]()

    def take(self, key: str, make: Callable[[], Held]) -> Held:
        """Return the thing of a key, made at need."""
        if key not in self._held:
            made = make()
            while len(self._held) >= MOST:
                self._held.popitem(last=False)
            self._held[key] = made
        self._held.move_to_end(key)
        return self._held[key]
