"""The model under test: an executable, its graph, and how to feed it."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hrmsearch.ir import Graph, Lifetime, generator, initial_params
from hrmsearch.ir.tokenwise import selects
from hrmsearch.runtime import Array, Carry, Executable, Pass
from hrmsearch.spec.model import Spec
from hrmsearch.testing.inputs import classes_of, random_inputs
from hrmsearch.testing.invariants.draws import Draws

Outputs = dict[str, Array]

# a few different models are enough; what varies from example to example is data and shape
_WEIGHTS = 3
_ROWS, _TOKENS = 3, 5
# a linear scan may run in chunks that no type shows
_SCANNED = 20
# what holds from pass to pass shows in a few; a nest with many would take minutes
_PASSES = 4
_MOVED = 0.1
_CHUNKED = re.compile(r"ceil\(\(?T(?:\+\d+\))?/(\d+)\)")


@dataclass(eq=False)
class Subject:
    """A compiled model and what it was compiled from.

    graph: as lowered, before compiler passes. spec: where it is known. compile: makes an executable of another graph on
    the same backend, where that is known. enlarge: see `weigh`. most_gradients: the most parameter entries whose
    gradient this backend gives in reasonable time. backend: its name, where that is known. one_shape: all examples have
    the most rows and tokens, for a backend that compiles every shape. weights: what the executable was given last.
    """

    executable: Executable
    graph: Graph
    spec: Spec | None = None
    compile: Callable[[Graph], Executable] | None = None
    enlarge: float = 3.0
    most_gradients: int | None = None
    backend: str = ""
    one_shape: bool = False
    weights: dict[str, Array] = field(default_factory=dict[str, Array])
    _seed: int | None = None
    _kept: dict[str, Executable] = field(default_factory=dict[str, Executable])

    # -- what is known of the graph ----------------------------------------------------------------------------------

    @property
    def passes(self) -> int:
        """Passes over a window, four at most."""
        return min(self.graph.nest.passes, _PASSES)

    @property
    def classes(self) -> int:
        """Number of different tokens; 2 where the graph does not say."""
        return classes_of(self.graph)

    @property
    def longest(self) -> int:
        """Tokens in the longest window to try: a few, or two chunks and a bit of whatever cuts T."""
        ops = [op for region in self.graph.regions() for op in region.walk()]
        types = (value.type for op in ops for value in op.results)
        cuts = {int(m[1]) for type_ in types for size in type_.sizes for s, _ in size.terms if (m := _CHUNKED.match(s))}
        few = _SCANNED if any(op.kind == "linear_scan" for op in ops) else _TOKENS
        return min(self.graph.nest.window, max(few, 2 * max(cuts, default=0) + 1))

    @property
    def rounding(self) -> float:
        """How far two ways of computing one thing may differ, as a share of the largest entry."""
        return 1e-12 if self.executable.options.dtype == "float64" else 1e-4

    @property
    def displaced(self) -> float:
        """How far what other rows and tokens do may move a value by rounding, as a share of the largest entry.

        None, bit for bit, but where a backend may run a function at some positions of all rows at once: then its place
        among them hangs on the others, and a product may round it differently there, which later layers amplify.
        """
        functions = self.executable.graph.functions
        if not any(selects(function, functions) for function in functions.values()):
            return 0.0
        return 1e-6 if self.executable.options.dtype == "float64" else 1e-2

    def states(self, lifetime: str) -> list[str]:
        """Return the paths of the states of a lifetime."""
        return [path for path, op in self.graph.states.items() if op.attrs["lifetime"] == lifetime]

    def with_rows(self, outputs: Mapping[str, Array]) -> Outputs:
        """Return the outputs that have a row axis first."""
        values = self.graph.outputs
        return {name: a for name, a in outputs.items() if values[name].type.names[:1] == ("B",)}

    def keep(self, name: str, graph: Callable[[], Graph]) -> Executable:
        """Return another graph's executable, compiled when first asked for."""
        assert self.compile is not None
        if name not in self._kept:
            self._kept[name] = self.compile(graph())
        return self._kept[name]

    # -- examples ----------------------------------------------------------------------------------------------------

    def case(self, draws: Draws, *, rows: int = 1, tokens: int = 1) -> "Case":
        """Draw weights, data and shape, with at least so many rows and tokens; the executable takes the weights."""
        self.weigh(draws.integer("weights", 0, _WEIGHTS))
        seed = draws.integer("data", 0, 2**16)
        length = self.tokens(draws, tokens)
        return Case(self, seed, self.rows(draws, rows), length)

    def rows(self, draws: Draws, least: int = 1) -> int:
        """Draw how many rows a batch has, from a least number."""
        return draws.integer("rows", _ROWS if self.one_shape else least, _ROWS)

    def tokens(self, draws: Draws, least: int = 1) -> int:
        """Draw how many tokens a window has, from a least number where there are so many."""
        return draws.integer("tokens", self.longest if self.one_shape else min(least, self.longest), self.longest)

    def weigh(self, seed: int) -> None:
        """Give the executable initial weights, enlarged so that small leaks show.

        Random ones are `enlarge` times as large as the spec's. Constant ones (gains, zero gates, heads that start at
        zero) hide what passes them, so each moves by a normal draw of 0.1 times `enlarge`; 0 leaves all as they are.
        """
        if self._seed == seed:
            return
        # the compiled graph's: compiler passes drop parameters that nothing needs
        self.weights = enlarged(self.executable.graph, seed, self.enlarge)
        self.executable.set_params(self.weights)
        self._seed = seed

    def shaken(self, run: Callable[[], Mapping[str, Array]]) -> Mapping[str, Array]:
        """Return what `run` gives when every weight moves a little further than rounding would move it.

        Levels that tick over enlarged weights may amplify a last bit a million times; this says how far.
        """
        far = self.rounding / 10
        moves = {
            path: generator(0, "shaken", path).normal(1.0, far, array.shape) for path, array in self.weights.items()
        }
        self.executable.set_params({path: array * moves[path] for path, array in self.weights.items()})
        try:
            return run()
        finally:
            self.executable.set_params(self.weights)


def enlarged(graph: Graph, seed: int, factor: float) -> dict[str, Array]:
    """Return initial weights as `Subject.weigh` describes them."""
    weights: dict[str, Array] = {**initial_params(graph, seed)}
    if not factor:
        return weights
    for path, op in graph.params.items():
        rule = op.attrs["init"]
        constant = isinstance(rule, str) or "constant" in rule
        noise = generator(seed, "moved", path).normal(0.0, _MOVED * factor, weights[path].shape) if constant else 0.0
        weights[path] = weights[path] + noise if constant else weights[path] * factor
    return weights


@dataclass(frozen=True, slots=True)
class Case:
    """One example's model, data and shape."""

    subject: Subject
    seed: int
    rows: int
    tokens: int

    def windows(self, count: int, tokens: int | None = None) -> list[dict[str, Array]]:
        """Return the inputs of consecutive windows, at random."""
        return [self._window(i, self.tokens if tokens is None else tokens) for i in range(count)]

    def _window(self, index: int, tokens: int) -> dict[str, Array]:
        sizes = {"B": self.rows, "T": tokens}
        return random_inputs(self.subject.graph, sizes, lambda name: generator(self.seed, "window", index, name))

    def fresh(self) -> Carry:
        """Return a carry of zeros, for a first pass that restores it."""
        return self.subject.executable.init_carry(self.rows, self.tokens)

    def stream(self, windows: Sequence[Mapping[str, Array]]) -> tuple[list[list[Outputs]], Carry]:
        """Run windows of one stream, every pass of each; return outputs by window and pass, and the last carry."""
        carry, found = self.fresh(), list[list[Outputs]]()
        for i, window in enumerate(windows):
            outputs, carry = self.run(self.calls(window, first=i == 0), carry)
            found.append(outputs)
        return found, carry

    def calls(self, window: Mapping[str, Array], *, first: bool) -> list[Pass]:
        """Return the passes over a window, the first of its stream or a later one."""
        start = Lifetime.STREAM if first else Lifetime.WINDOW
        resets = [start] + [Lifetime.PASS] * (self.subject.passes - 1)
        return [Pass(window, int(reset), i == len(resets) - 1) for i, reset in enumerate(resets)]

    def run(self, calls: Iterable[Pass], carry: Carry) -> tuple[list[Outputs], Carry]:
        """Run passes from a carry; return their outputs, and the carry after them."""
        found: list[Outputs] = []
        for call in calls:
            outputs, carry = self.subject.executable.forward(call, carry)
            found.append(outputs)
        return found, carry

    def numpy(self, carry: Carry) -> dict[str, Array]:
        """Return a carry as NumPy arrays."""
        return self.subject.executable.carry_to_numpy(carry)
