"""Writes the model's own method: restore, the pass, and last what only targets or a last pass ask for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hrmsearch.emission import syntax as py
from hrmsearch.emission.body import Body
from hrmsearch.emission.layout import Block, Line, signature
from hrmsearch.emission.operands import expanded
from hrmsearch.emission.scope import shape
from hrmsearch.emission.syntax import Expr
from hrmsearch.errors import BackendError
from hrmsearch.ir.graph import Graph, Op, Region, Value
from hrmsearch.ir.types import Lifetime

Key = frozenset[str]  # the optional inputs that something depends on
_BASE: Key = frozenset()


@dataclass(slots=True)
class Plan:
    """Which of main's operations are written where.

    reset: the name of the input that restores states. required, optional: the other inputs. groups: operations by the
    optional inputs they wait for. last: operations that only a last pass's commit needs.
    """

    reset: str
    required: list[str]
    optional: list[str]
    groups: dict[Key, set[Op]] = field(default_factory=dict[Key, set[Op]])
    last: set[Op] = field(default_factory=set[Op])


def plan(graph: Graph) -> Plan:
    """Return where each operation of main goes; what several parts need goes with the whole pass."""
    reset = _reset_name(graph)
    anchors = [graph.outputs["logits"]] if "logits" in graph.outputs else _without_targets(graph)
    wanted = {
        op.attrs["name"] for op in _above(graph.main, [*anchors, *graph.candidates.values()]) if op.kind == "input"
    }
    names = [name for name in graph.inputs if name != reset]
    found = Plan(reset, [n for n in names if n in wanted], [n for n in names if n not in wanted])
    waits = _waits(graph.main, frozenset(found.optional))
    needs: dict[Key | str, list[Value]] = {_BASE: []}
    for value in graph.outputs.values():
        needs.setdefault(waits[value], []).append(value)
    states = graph.states
    for path, value in graph.candidates.items():
        needs.setdefault("last" if states[path].attrs["commit"] == "last_pass" else _BASE, []).append(value)
    above = {key: _above(graph.main, values) for key, values in needs.items()}
    above[_BASE] |= {op for op in graph.main.ops if op.kind in ("state", "input")}
    above[_BASE] |= _above(graph.main, [value for op in states.values() for value in op.operands])
    for op in graph.main.ops:
        holders = [key for key, ops in above.items() if op in ops]
        if not holders:
            continue
        key = _BASE if _BASE in holders else holders[0] if len(holders) == 1 else waits[op.results[0]]
        (found.last if key == "last" else found.groups.setdefault(frozenset(key), set())).add(op)
    return found


def _reset_name(graph: Graph) -> str:
    """Return the input that the states read, `reset` where there is none; nothing else may read it."""
    inputs = {value: name for name, value in graph.inputs.items()}
    found = {inputs.get(op.operands[1]) for op in graph.states.values()} or {"reset"}
    name = found.pop()
    if found or name is None:
        raise BackendError("the states of a graph are restored by one input")
    for op in graph.main.walk():
        readers = op.operands[:1] if op.kind == "state" else op.operands
        if any(inputs.get(value) == name for value in readers):
            raise BackendError(f"{op.place}: {op.kind} reads {name!r}, which may only restore states")
    return name


def _without_targets(graph: Graph) -> list[Value]:
    """Return the outputs that need no targets; all of them where each does."""
    targets = graph.inputs.get("targets")
    free = [v for v in graph.outputs.values() if all(op.results[0] is not targets for op in _above(graph.main, [v]))]
    return free or list(graph.outputs.values())


def _reads(op: Op) -> Iterable[Value]:
    """Return what an operation of main reads, its regions included."""
    yield from op.operands
    for region in op.regions:
        yield from (value for inner in region.walk() for value in inner.operands)
        yield from region.results


def _above(region: Region, values: Sequence[Value]) -> set[Op]:
    """Return the operations that values depend on."""
    needed, found = set(values), set[Op]()
    for op in reversed(region.ops):
        if not needed.isdisjoint(op.results):
            found.add(op)
            needed.update(_reads(op))
    return found


def _waits(region: Region, optional: frozenset[str]) -> dict[Value, Key]:
    """Return the optional inputs that each value depends on."""
    waits: dict[Value, Key] = {}
    for op in region.ops:
        key = _BASE.union(*(waits.get(value, _BASE) for value in _reads(op)))
        if op.kind == "input" and op.attrs["name"] in optional:
            key |= {op.attrs["name"]}
        waits.update(dict.fromkeys(op.results, key))
    return waits


class Main(Body):
    """The body of the model itself."""

    def write(self) -> Block:
        """Return the method."""
        graph, self.plan = self.graph, plan(self.graph)
        kept = [op.result for op in graph.states.values() if op.attrs["commit"] == "last_pass"]
        self.begin(graph.main, [*graph.outputs.values(), *graph.candidates.values(), *kept])
        self.reserve("state", "reset", "last", "outputs")
        for name in (*self.plan.required, *self.plan.optional):
            self.argument(graph.inputs[name], name, optional=name in self.plan.optional)
        self._restored: dict[str, str] = {}
        self._late = {value for op in self.plan.last for value in op.results}
        self._group(_BASE)
        self._outputs()
        self._last_pass()
        self._return()
        block = self._signature()
        block.body = self.statements()
        return block

    def _signature(self) -> Block:
        inputs = self.graph.inputs
        params = [(f"{self.arguments[inputs[n]]}: Tensor", shape(inputs[n].type)) for n in self.plan.required]
        params += [("state: dict[str, Tensor] | None = None", "None: every state starts")]
        params += [("reset: int | Tensor = STREAM", "one for all rows, or (B)")]
        params += [
            (f"{self.arguments[inputs[n]]}: Tensor | None = None", shape(inputs[n].type)) for n in self.plan.optional
        ]
        params += [("last: bool = True", "whether this is the window's last pass")]
        return signature(self.dialect.forward, params, "tuple[dict[str, Tensor], dict[str, Tensor]]", "")

    def operation(self, op: Op, region: Region) -> None:
        """Write an operation; inputs are arguments, states are restored."""
        if op.kind == "input":
            return
        if op.kind == "state":
            self._restore(op)
        else:
            super().operation(op, region)

    def _restore(self, op: Op) -> None:
        """Write `z = restore(start, state, "core.z", reset, WINDOW)`."""
        start = op.operands[0]
        first = expanded(self, start, self.read(start), op.result.type)
        lifetime = py.ref(Lifetime.of(op.attrs["lifetime"]).name)
        path = op.attrs["path"]
        expr = py.call(self.helper("restore"), first, py.ref("state"), path, py.ref("reset"), lifetime)
        self._restored[path] = self.fresh(path.rpartition(".")[2])
        self.assign(op.result, self._restored[path], expr)
        # a candidate takes its state's name where it replaces the state, another where both are still to be read
        kept = op.attrs["commit"] == "last_pass" and self.graph.candidates[path] not in self._late
        self.given[self.graph.candidates[path]] = f"new_{self._restored[path]}" if kept else self._restored[path]

    def _group(self, key: Key) -> None:
        ops = self.plan.groups.get(key, set())
        self.region(self.graph.main, [op for op in self.graph.main.ops if op in ops])

    def _outputs(self) -> None:
        """Write the outputs: those of every call, then those that wait for optional inputs."""
        waits = _waits(self.graph.main, frozenset(self.plan.optional))
        by_key: dict[Key, list[str]] = {}
        for name, value in self.graph.outputs.items():
            by_key.setdefault(waits[value], []).append(name)
        keys = [key for key in {*self.plan.groups, *by_key} if key]
        self._waiting = bool(keys)
        self._always = by_key.get(_BASE, [])
        if not keys:
            return
        self.block.append(Line("outputs = ", self._mapping(self._always)))
        for key in sorted(keys, key=lambda key: (len(key), sorted(key))):
            self._when(key, by_key.get(key, []))

    def _when(self, key: Key, names: Sequence[str]) -> None:
        inputs = [self.arguments[self.graph.inputs[name]] for name in self.plan.optional if name in key]
        before, outer = self.names, self._open(Block("if " + " and ".join(f"{name} is not None" for name in inputs)))
        self._group(key)
        if names:
            self.block.append(Line("outputs |= ", self._mapping(names)))
        self._close(outer)
        self.hide([name for name in self.names if name not in before])

    def _mapping(self, names: Sequence[str]) -> Expr:
        values = [self.graph.outputs[name] for name in names]
        return py.mapping({n: self.tensor(v, self.read(v)) for n, v in zip(names, values, strict=True)})

    # -- commit ------------------------------------------------------------------------------------------------------

    def _last_pass(self) -> None:
        """Write what only the last pass of a window commits; it takes the place of the restored state."""
        states, candidates = self.graph.states, self.graph.candidates
        self._committed: dict[str, Expr] = {}
        late = {p: op for p, op in states.items() if op.attrs["commit"] == "last_pass"}
        ops = [op for op in self.graph.main.ops if op in self.plan.last]
        made = {value for op in ops for value in op.results}
        outer = self._open(Block("if last"))
        for path, op in late.items():
            if candidates[path] in made:
                self.wishes.setdefault(candidates[path], py.source(self.bound[op.result]))
                self.uses.reads[op.result] -= 1
        self.region(self.graph.main, ops)
        moved: dict[str, Expr] = {}
        for path, op in late.items():
            if candidates[path] not in made:
                continue
            if self.uses.reads[op.result] > 0:
                # another state commits what this one was: keep both names
                self.uses.reads[op.result] += 1
                continue
            name, expr = self._restored[path], self.read(candidates[path])
            self._committed[path] = py.ref(name)
            moved |= {name: expr} if py.source(expr) != name else {}
        self.assign_together(moved)
        self._close(outer)

    def _return(self) -> None:
        states = self.graph.states
        for path, value in self.graph.candidates.items():
            if path in self._committed:
                continue
            expr = self.tensor(value, self.read(value))
            if states[path].attrs["commit"] == "last_pass":
                expr = py.either(py.ref("last"), expr, self.read(states[path].result))
            self._committed[path] = expr
        state = py.mapping({path: self._committed[path] for path in self.graph.candidates})
        outputs = py.ref("outputs") if self._waiting else self._mapping(self._always)
        whole = py.lift((outputs, state))
        if len(py.source(whole)) <= 100:
            self.block.append(Line("return ", whole))
            return
        if not self._waiting:
            self.block.append(Line("outputs = ", outputs))
        if self._committed:
            self.block.append(Line("state = ", state))
            state = py.ref("state")
        self.block.append(Line("return ", py.lift((py.ref("outputs"), state))))
