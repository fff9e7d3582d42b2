"""The nest around a graph: passes of windows of a stream, with resets, commits and the ends of spans between them."""

from typing import Generic

from hrmsearch.analyses.domain import Domain, V
from hrmsearch.analyses.interpreter import Facts, Interpreter
from hrmsearch.analyses.states import DECISIONS
from hrmsearch.ir.binding import takes_candidate
from hrmsearch.ir.graph import Graph, Nest
from hrmsearch.ir.types import Lifetime

# windows that still change after this many do not settle; no domain here comes near
_ROUNDS = 8


def walk(graph: Graph, domain: Domain[V], windows: int | None = None) -> list[Facts[V]]:
    """Return the facts of every pass, window after window of one stream.

    windows: how many to walk; by default until a window begins as one before it did.
    """
    return _Walk(graph, domain).run(windows)


class _Walk(Generic[V]):
    """The nest: passes of windows of a stream, with commits between them."""

    def __init__(self, graph: Graph, domain: Domain[V]) -> None:
        self.graph = graph
        self.domain = domain
        self.interpreter = Interpreter(graph, domain)
        self.carried: dict[str, V] = {}
        self.facts: list[Facts[V]] = []
        self._known: dict[object, Facts[V]] = {}
        self._passes = 0

    def run(self, windows: int | None) -> list[Facts[V]]:
        """Walk a number of windows, or until nothing new can happen."""
        kept = [path for path, op in self.graph.states.items() if op.attrs["lifetime"] in ("stream", "sample")]
        unit, length = self.graph.nest.backprop
        least = windows or (length if unit == "windows" else 1)
        most = windows or least + _ROUNDS if kept else least
        seen: list[list[V]] = []
        for window in range(1, most + 1):
            begin = [self.carried[path] for path in kept] if window > 1 else []
            if windows is None and window > least and begin in seen:
                break
            seen.append(begin)
            self._window(window)
        return self.facts

    def _window(self, window: int) -> None:
        nest = self.graph.nest
        for index in range(1, nest.passes + 1):
            boundary = Lifetime.SAMPLE if window == 1 else Lifetime.WINDOW
            facts = self._pass(boundary if index == 1 else Lifetime.NONE, window, index)
            self.facts.append(facts)
            self._commit(facts, last=index == nest.passes)
            if nest.halt is not None:
                for decision in (value for name, value in facts.outputs.items() if name in DECISIONS):
                    self.carried = {path: self.domain.went_on(v, decision) for path, v in self.carried.items()}
            self._passes += 1
            if _ends_span(nest, self._passes):
                self.carried = {path: self.domain.span_ended(v) for path, v in self.carried.items()}
        self.carried = {path: self._after(path, value) for path, value in self.carried.items()}

    def _after(self, path: str, value: V) -> V:
        """Return a carried value as the next window finds it; what is kept by sample comes back to the same window."""
        by_sample = self.graph.states[path].attrs["lifetime"] == "sample"
        return value if by_sample else self.domain.window_ended(value)

    def _pass(self, reset: Lifetime, window: int, index: int) -> Facts[V]:
        """Run a pass unless one with the same restores and carry was run."""
        if not self.domain.shared:
            return self.interpreter.run(reset, self.carried, window, index)
        key = (reset, *sorted(self.carried.items(), key=lambda item: item[0]))
        if key not in self._known:
            self._known[key] = self.interpreter.run(reset, self.carried, window, index)
        known = self._known[key]
        return Facts(window, index, reset, known.states, known.outputs, known.candidates)

    def _commit(self, facts: Facts[V], *, last: bool) -> None:
        for path, op in self.graph.states.items():
            takes = takes_candidate(op, last)
            self.carried[path] = self.domain.committed(op, facts.candidates[path]) if takes else facts.states[path]


def _ends_span(nest: Nest, passes: int) -> bool:
    unit, length = nest.backprop
    return passes % (length if unit == "passes" else length * nest.passes) == 0
