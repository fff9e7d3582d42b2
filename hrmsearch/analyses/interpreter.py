"""The abstract interpreter: runs one pass of a graph over the values of a domain.

It knows `call` and its prefix, `repeat` and its freedom, `scan` and its fixpoint, and which states a pass restores or
reads; `walk` knows the passes and windows around it. Neither knows a kind of block.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

from hrmsearch.analyses.domain import Domain, Site, V
from hrmsearch.ir.definition import definition
from hrmsearch.ir.graph import Function, Graph, Op, Region, Value, join_path
from hrmsearch.ir.ops import lookup, untouched
from hrmsearch.ir.types import Lifetime

# joins of a chain this long mean that a value grows without end: the domain is asked to give up on it
_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Facts(Generic[V]):
    """What holds of one pass.

    window: counted from 1, the first of a stream. index: the pass of the window, from 1. reset: what the pass restores.
    states: as read. candidates: as proposed.
    """

    window: int
    index: int
    reset: Lifetime
    states: Mapping[str, V]
    outputs: Mapping[str, V]
    candidates: Mapping[str, V]


class Interpreter(Generic[V]):
    """Runs one graph over one domain."""

    def __init__(self, graph: Graph, domain: Domain[V]) -> None:
        self.graph = graph
        self.domain = domain
        self._calls: dict[object, list[V]] = {}
        self._definitions: dict[Op, Region] = {}
        self._boundary: tuple[Lifetime, int, Mapping[str, V]] = (Lifetime.SAMPLE, 1, {})

    def run(self, reset: Lifetime, carried: Mapping[str, V], window: int = 1, index: int = 1) -> Facts[V]:
        """Return the facts of one pass that restores the states which `reset` reaches and reads the others."""
        self._boundary = (reset, index, carried)
        self.domain.begins()
        env: dict[Value, V] = {}
        self._region(self.graph.main, (), env, Site())
        states = {path: env[op.result] for path, op in self.graph.states.items()}
        outputs = {name: env[value] for name, value in self.graph.outputs.items()}
        candidates = {path: env[value] for path, value in self.graph.candidates.items()}
        return Facts(window, index, reset, states, outputs, candidates)

    def _region(self, region: Region, args: Sequence[V], env: dict[Value, V], site: Site) -> list[V]:
        results = self._in_line(region, args, env, site)
        self.domain.returned(results)
        return results

    def _in_line(self, region: Region, args: Sequence[V], env: dict[Value, V], site: Site) -> list[V]:
        """Run operations that are written where they stand: what nobody reads of them is not run."""
        env.update(zip(region.args, args, strict=True))
        for op in region.ops:
            found = self._op(op, [env[value] for value in op.operands], env, site)
            if len(op.results) == 1:
                env[op.results[0]] = found[0]
            else:
                env.update(zip(op.results, found, strict=True))
        return [env[value] for value in region.results]

    def _op(self, op: Op, operands: list[V], env: dict[Value, V], site: Site) -> Sequence[V]:
        match op.kind:
            case "input" | "param" | "const":
                return [self.domain.leaf(op, site)]
            case "state":
                return [self._state(op, operands)]
            case "call":
                return self._call(op, operands, site)
            case "repeat":
                return self._repeat(op, operands, env, site)
            case "scan":
                return self._scan(op, operands, env, site)
            case _ if lookup(op.kind).define is not None and self.domain.opens(op):
                return self._in_line(self._definition(op), operands, {}, site)
            case _:
                return [self.domain.transfer(op, result, operands, site) for result in op.results]

    def _state(self, op: Op, operands: Sequence[V]) -> V:
        reset, index, carried = self._boundary
        if reset >= Lifetime.of(op.attrs["lifetime"]):
            return self.domain.restored(op, operands[0])
        return self.domain.read(op, carried[op.attrs["path"]], index)

    def _call(self, op: Op, operands: list[V], site: Site) -> list[V]:
        function: Function = self.graph.functions[op.attrs["callee"]]
        inner = Site(join_path(site.prefix, op.attrs["prefix"]), function.place, site.of(op.place))
        if not self.domain.shared:
            return self._region(function.body, operands, {}, inner)
        key = (function.name, inner, *operands)
        if key not in self._calls:
            self._calls[key] = self._region(function.body, operands, {}, inner)
        return self._calls[key]

    def _definition(self, op: Op) -> Region:
        if op not in self._definitions:
            self._definitions[op] = definition(op)
        return self._definitions[op]

    def _repeat(self, op: Op, operands: list[V], env: dict[Value, V], site: Site) -> list[V]:
        values = operands
        for _ in range(op.attrs["n"]):
            before, values = values, self._region(op.regions[0], values, env, site)
            if self.domain.shared and values == before:
                break
        if not op.attrs["free"]:
            return values
        return [v if same else self.domain.freed(v) for v, same in zip(values, untouched(op), strict=True)]

    def _scan(self, op: Op, operands: list[V], env: dict[Value, V], site: Site) -> list[V]:
        n, domain = op.attrs["carries"], self.domain
        start, slices = operands[:n], [domain.sliced(op, value) for value in operands[n:]]
        knots = domain.tie(op, start)
        if knots is None and self._runs_once(op):
            given = self._region(op.regions[0], [*start, *slices], env, site)
        elif knots is not None:
            given = self._region(op.regions[0], [*knots, *slices], env, site)
            domain.tied(op, knots, given[:n])
        else:
            given = self._settle(op, start, slices, env, site)
        return [domain.last(op, v) for v in given[:n]] + [domain.stacked(op, v) for v in given[n:]]

    def _runs_once(self, op: Op) -> bool:
        """Return whether a scan has one position even in a full window, so that nothing comes back to its body."""
        size = op.operands[int(op.attrs["carries"])].type.size(op.attrs["axis"])
        full = {"T": self.graph.nest.window}
        return size.symbols <= full.keys() and size.evaluate(full) == 1

    def _settle(self, op: Op, start: list[V], slices: list[V], env: dict[Value, V], site: Site) -> list[V]:
        """Run a scan's body until its carries no longer grow; return what it gave."""
        held, domain = start, self.domain
        for _ in range(_ROUNDS):
            given = self._region(op.regions[0], [*held, *slices], env, site)
            back = [domain.delayed(op, value) for value in given[: len(start)]]
            grown = [domain.join(h, b) for h, b in zip(held, back, strict=True)]
            if grown == held:
                return given
            held = grown
        return self._region(op.regions[0], [*map(domain.widened, held), *slices], env, site)
