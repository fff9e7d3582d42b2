"""Spec to Graph: embedding, memories at their places, the core, heads and the loss, once for every backend."""

from collections.abc import Callable, Mapping
from typing import Any

from hrmsearch.blocks.base import Core, Head, Layer, Leaf, QHead, Ran, State
from hrmsearch.blocks.memory import Memory, Placed
from hrmsearch.blocks.prefix import Prefix
from hrmsearch.errors import FieldError
from hrmsearch.ir import TELEMETRY, Builder, Context, DType, Graph, Nest, Size, Type, Value, axis, verify
from hrmsearch.ir.module import Module
from hrmsearch.losses.base import IGNORE, Loss
from hrmsearch.spec.model import NestSpec, Spec
from hrmsearch.spec.registry import Kind

_TOKENS = Type(DType.I32, (axis("B"), axis("T")))


def lower(spec: Spec, *, trace: bool = False) -> Graph:
    """Return the graph of one pass of a spec's model, verified.

    Outputs: `logits` compute[B, T, C]; `loss` wide[], `nll` and `count` wide[B]; `predicted` i32[B, T], the likeliest
    classes, where the task is judged by answers; `q` compute[B, Q] with a q-head; `telemetry.<part>.<name>` wide[B]
    where the spec asks for it; with `trace` also `trace.<tick>.<level>`, every level after every tick. Raises SpecError
    where the spec cannot be built.
    """
    try:
        return verify(_Lowering(spec, trace).graph, after="lowering")
    except FieldError as error:
        raise spec.problem(error.field, error.message) from error


def memory_prefix(i: int) -> str:
    """Return where the parameters of a model's i-th memory are."""
    return f"memory_{i}"


def lower_block(part: Module, dim: int, *, window: int = 64, vocabulary: int = 97) -> Graph:
    """Return the graph of one block alone: input `x` compute[B, T, D], output `y`; for tests and notebooks."""
    graph = Graph(str(part.kind), Nest(window=window, causal=False))
    b = Builder(graph, Context(dim, window, vocabulary), graph.main)
    x = b.input("x", Type(DType.COMPUTE, (axis("B"), axis("T"), axis("D", dim))))
    with b.at("block"):
        leaves, step = _whole(part, b, x)
        states = _declare(b, leaves, "block", b.input("reset", Type(DType.I8, (axis("B"),)))) if leaves else {}
        y, new = step(b, x, states)
    graph.candidates |= {f"block.{name}": value for name, value in new.items()}
    graph.outputs["y"] = y
    return verify(graph, after="lowering")


_Step = Callable[[Builder, Value, State], tuple[Value, Mapping[str, Value]]]


def _whole(part: Module, b: Builder, x: Value) -> tuple[Mapping[str, Leaf], _Step]:
    """Return the states of a part that stands alone, and what calls it."""
    if isinstance(part, Memory):
        return part.leaves(b, x), Placed(part, "block", "block").step
    if isinstance(part, Layer):
        return part.leaves(b, x, "block"), lambda b, x, state: part.go_on(b, "block", x, state, "block")
    return {}, lambda b, x, state: (part.apply(b, "block", x, place="block"), {})


def _declare(b: Builder, leaves: Mapping[str, Leaf], prefix: str, reset: Value) -> dict[str, Value]:
    """Declare state leaves below a prefix; return their values as the pass sees them."""
    declared: dict[str, Value] = {}
    for name, leaf in leaves.items():
        with b.at(leaf.place or b.place):
            path, when = f"{prefix}.{name}", {"lifetime": leaf.lifetime, "commit": leaf.commit}
            declared[name] = b.state(path, leaf.type, leaf.start, reset, **when)
    return declared


def _nest(nest: NestSpec, task: Any) -> Nest:
    span = next((unit, k) for unit, k in nest.backprop if k is not None)
    return Nest(nest.passes, span, nest.step, task.loader, task.causal, task.window)


class _Lowering:
    """The state of one lowering: the graph under construction and the memories by place."""

    def __init__(self, spec: Spec, trace: bool) -> None:
        self.spec = spec
        self.model = spec.model
        self.graph = Graph(spec.name, _nest(spec.nest, spec.task))
        self.prefixes = [(i, part) for i, part in enumerate(self.model.memory) if isinstance(part, Prefix)]
        window = spec.task.window + sum(part.rows(self.model.dim) for _, part in self.prefixes)
        keys = {"puzzle": spec.task.puzzles}
        context = Context(self.model.dim, window, spec.task.vocabulary, self.model.init, keys)
        self.b = Builder(self.graph, context, self.graph.main, place="model")
        self.tokens = self.b.input("tokens", _TOKENS)
        self.reset = self.b.input("reset", Type(DType.I8, (axis("B"),)))
        self._model(trace)
        self.graph.places = {op.place: str(spec.place(op.place)) for r in self.graph.regions() for op in r.walk()}

    def _model(self, trace: bool) -> None:
        b, core = self.b, self.model.core
        assert isinstance(core, Core)
        inside = {f"core.{place}": place for place in core.places}
        for i, memory in enumerate(self.model.memory):
            if memory.at not in ("input", "output", *inside) and not isinstance(memory, Prefix):
                places = ", ".join(("input", "output", *inside))
                raise FieldError(f"model.memory[{i}].at", f"no such place {memory.at!r}; the places are {places}")
        x = self.model.embed.apply(b, "embed", self.tokens, *self._rows(), place="model.embed")
        x = self._through(x, "input")
        head, q_head = self.model.head, self.model.q_head
        assert isinstance(head, Head)
        if self.spec.task.bottleneck and not head.bottleneck:
            message = f"the task {self.spec.task.kind} takes a head that reads one position, such as 'autoencoder'"
            raise FieldError("model.head.kind", f"{message}; a head per token would copy its input")
        ran = self._core(core, x, inside, trace)
        y = self._through(ran.streams[head.read], "output")
        with b.at("model.head"):
            logits = self.graph.outputs["logits"] = head.logits(b, self._of_tokens(y))
        if isinstance(q_head, QHead):
            self.graph.outputs["q"] = q_head.apply(b, "q_head", ran.streams[q_head.read], place="model.q_head")
        self._loss(self.spec.loss, logits)
        if self.spec.task.answers:
            with b.at("task"):
                self.graph.outputs["predicted"] = b.op("argmax", logits, name="predicted", axis="C")
        self.graph.outputs |= {f"{TELEMETRY}core.{name}": value for name, value in ran.telemetry.items()}

    def _rows(self) -> list[Value]:
        """Return what stands before the tokens, looked up by key."""
        found: list[Value] = []
        for i, part in self.prefixes:
            place, name = f"model.memory[{i}]", part.lifetime.keyed
            if not self.b.context.keys[name]:
                raise FieldError(place, f"the task {self.spec.task.kind} has no {name} to look up by; leave it out")
            if found:
                raise FieldError(f"{place}.at", "something is prepended already")
            with self.b.at(place):
                keys = self.b.input(name, Type(DType.I32, (axis("B"),)))
                found.append(part.apply(self.b, memory_prefix(i), keys, place=place))
        return found

    def _of_tokens(self, x: Value) -> Value:
        """Return the stream without what was prepended."""
        before = x.type.size("T") - Size.of("T")
        return self.b.slice(x, "T", before.known, "T") if before.known else x

    def _placed(self, place: str) -> list[Placed]:
        return [
            Placed(memory, memory_prefix(i), f"model.memory[{i}]")
            for i, memory in enumerate(self.model.memory)
            if isinstance(memory, Memory) and memory.at == place
        ]

    def _states(self, placed: Placed, x: Value) -> dict[str, Value]:
        with self.b.at(placed.place):
            return _declare(self.b, placed.memory.leaves(self.b, x), placed.prefix, self.reset)

    def _through(self, x: Value, place: str) -> Value:
        """Send the stream through the memories at a place."""
        for placed in self._placed(place):
            x, new = placed.step(self.b, x, self._states(placed, x))
            self._propose(placed.prefix, new)
        return x

    def _propose(self, prefix: str, new: Mapping[str, Value]) -> None:
        self.graph.candidates |= {f"{prefix}.{name}": value for name, value in new.items()}

    def _core(self, core: Core, x: Value, inside: Mapping[str, str], trace: bool) -> Ran:
        memories: dict[str, tuple[Placed, dict[str, Value]]] = {}
        for place, stream in inside.items():
            for placed in self._placed(place):
                if stream in memories:
                    raise FieldError(f"{placed.place}.at", f"{place} has a memory already")
                memories[stream] = (placed, self._states(placed, x))
        with self.b.at("model.core"):
            states = _declare(self.b, core.leaves(self.b, x), "core", self.reset)
            ran = core.run(self.b, x, states, memories, read=self._read(core), trace=trace)
        self._propose("core", ran.candidates)
        for stream, (placed, _) in memories.items():
            self._propose(placed.prefix, ran.memories[stream])
        self.graph.outputs |= dict(ran.trace)
        return ran

    def _read(self, core: Core) -> set[str]:
        """Return the streams that heads read."""
        readers = {"head": self.model.head, "q_head": self.model.q_head}
        read = {field: part.read for field, part in readers.items() if isinstance(part, Head | QHead)}
        for field, stream in read.items():
            if stream not in core.streams:
                known = ", ".join(core.streams)
                raise FieldError(f"model.{field}.read", f"there is nothing called {stream!r} to read; there is {known}")
        return set(read.values())

    def _loss(self, loss: Kind, logits: Value) -> None:
        assert isinstance(loss, Loss)
        if self.spec.task.answers and loss.ignore != IGNORE:
            message = f"the task {self.spec.task.kind} marks what does not count by {IGNORE}; that has to be ignored"
            raise FieldError("loss.ignore", message)
        with self.b.at("loss"):
            targets = self.b.input("targets", _TOKENS)
            results = loss.call(self.b, "loss", logits, targets, place="loss")
        self.graph.outputs |= dict(zip(("loss", "nll", "count"), results, strict=True))
