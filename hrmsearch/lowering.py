"""Spec to Graph: embedding, memories at their places, the core, heads and the loss, once for every backend."""

from collections.abc import Mapping
from typing import Any

from hrmsearch.blocks.base import Core, Head, QHead
from hrmsearch.blocks.memory import Memory, Placed
from hrmsearch.errors import FieldError
from hrmsearch.ir import Builder, Context, DType, Graph, Nest, Type, Value, axis, verify
from hrmsearch.ir.module import Module
from hrmsearch.losses.base import Loss
from hrmsearch.spec.model import NestSpec, Spec
from hrmsearch.spec.registry import Kind

_TOKENS = Type(DType.I32, (axis("B"), axis("T")))


def lower(spec: Spec, *, trace: bool = False) -> Graph:
    """Return the graph of one pass of a spec's model, verified.

    Outputs: `logits` compute[B, T, C]; `loss` wide[], `nll` and `count` wide[B]; `q` compute[B, Q] with a q-head; with
    `trace` also `trace.<tick>.<level>`, every level after every tick. Raises SpecError where the spec cannot be built.
    """
    try:
        return verify(_Lowering(spec, trace).graph, after="lowering")
    except FieldError as error:
        raise spec.problem(error.field, error.message) from error


def lower_block(part: Module, dim: int, *, window: int = 64, vocabulary: int = 97) -> Graph:
    """Return the graph of one block alone: input `x` compute[B, T, D], output `y`; for tests and notebooks."""
    graph = Graph(str(part.kind), Nest(window=window, causal=False))
    b = Builder(graph, Context(dim, window, vocabulary), graph.main)
    x = b.input("x", Type(DType.COMPUTE, (axis("B"), axis("T"), axis("D", dim))))
    if isinstance(part, Memory):
        placed = Placed(part, "block", "block")
        reset = b.input("reset", Type(DType.I8, (axis("B"),)))
        y, new = placed.step(b, x, _declare(b, part.leaves(b, x), "block", reset))
        graph.candidates |= {f"block.{name}": value for name, value in new.items()}
    else:
        y = part.apply(b, "block", x, place="block")
    graph.outputs["y"] = y
    return verify(graph, after="lowering")


def _declare(b: Builder, leaves: Mapping[str, Any], prefix: str, reset: Value) -> dict[str, Value]:
    """Declare state leaves below a prefix; return their values as the pass sees them."""
    return {
        name: b.state(f"{prefix}.{name}", leaf.type, leaf.start, reset, lifetime=leaf.lifetime, commit=leaf.commit)
        for name, leaf in leaves.items()
    }


def _nest(nest: NestSpec, task: Any) -> Nest:
    span = next((unit, k) for unit, k in nest.backprop if k is not None)
    return Nest(nest.passes, span, nest.step, task.loader, task.causal, task.window)


class _Lowering:
    """The state of one lowering: the graph under construction and the memories by place."""

    def __init__(self, spec: Spec, trace: bool) -> None:
        self.spec = spec
        self.model = spec.model
        self.graph = Graph(spec.name, _nest(spec.nest, spec.task))
        context = Context(self.model.dim, spec.task.window, spec.task.vocabulary, self.model.init)
        self.b = Builder(self.graph, context, self.graph.main, place="model")
        self.tokens = self.b.input("tokens", _TOKENS)
        self.reset = self.b.input("reset", Type(DType.I8, (axis("B"),)))
        self._model(trace)
        self.graph.places = {op.place: str(spec.place(op.place)) for r in self.graph.regions() for op in r.walk()}

    def _model(self, trace: bool) -> None:
        b, core = self.b, self.model.core
        assert isinstance(core, Core)
        inside = {f"core.{stream}": stream for stream in core.streams}
        for i, memory in enumerate(self.model.memory):
            if memory.at not in ("input", "output", *inside):
                places = ", ".join(("input", "output", *inside))
                raise FieldError(f"model.memory[{i}].at", f"no such place {memory.at!r}; the places are {places}")
        x = self.model.embed.apply(b, "embed", self.tokens, place="model.embed")
        x = self._through(x, "input")
        streams = self._core(core, x, inside, trace)
        head = self.model.head
        assert isinstance(head, Head)
        y = self._through(self._read(streams, head, "head"), "output")
        with b.at("model.head"):
            logits = self.graph.outputs["logits"] = head.logits(b, y)
        if isinstance(self.model.q_head, QHead):
            read = self._read(streams, self.model.q_head, "q_head")
            self.graph.outputs["q"] = self.model.q_head.apply(b, "q_head", read, place="model.q_head")
        self._loss(self.spec.loss, logits)

    def _placed(self, place: str) -> list[Placed]:
        return [
            Placed(memory, f"memory_{i}", f"model.memory[{i}]")
            for i, memory in enumerate(self.model.memory)
            if memory.at == place
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

    def _core(self, core: Core, x: Value, inside: Mapping[str, str], trace: bool) -> Mapping[str, Value]:
        memories: dict[str, tuple[Placed, dict[str, Value]]] = {}
        for place, stream in inside.items():
            for placed in self._placed(place):
                if stream in memories:
                    raise FieldError(f"{placed.place}.at", f"{place} has a memory already")
                memories[stream] = (placed, self._states(placed, x))
        with self.b.at("model.core"):
            states = _declare(self.b, core.leaves(self.b, x), "core", self.reset)
            ran = core.run(self.b, x, states, memories, trace=trace)
        self._propose("core", ran.candidates)
        for stream, (placed, _) in memories.items():
            self._propose(placed.prefix, ran.memories[stream])
        self.graph.outputs |= dict(ran.trace)
        return ran.streams

    def _read(self, streams: Mapping[str, Value], reader: Head | QHead, field: str) -> Value:
        if reader.read not in streams:
            known = ", ".join(streams)
            raise FieldError(
                f"model.{field}.read", f"there is nothing called {reader.read!r} to read; there is {known}"
            )
        return streams[reader.read]

    def _loss(self, loss: Kind, logits: Value) -> None:
        assert isinstance(loss, Loss)
        with self.b.at("loss"):
            targets = self.b.input("targets", _TOKENS)
            results = loss.call(self.b, "loss", logits, targets, place="loss")
        self.graph.outputs |= dict(zip(("loss", "nll", "count"), results, strict=True))
