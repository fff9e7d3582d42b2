"""Spec to Graph: embedding, memories at their places, the core, heads and the loss, once for every backend."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from hrmsearch.blocks.asked import Asked
from hrmsearch.blocks.base import COST, Core, Head, Layer, Leaf, QHead, Ran, State, below, inside
from hrmsearch.blocks.memory import Memory, Placed
from hrmsearch.blocks.prefix import Prefix
from hrmsearch.blocks.store import Store, Stored
from hrmsearch.blocks.store import check as check_stores
from hrmsearch.errors import FieldError
from hrmsearch.ir import TELEMETRY, Builder, Context, DType, Graph, Halt, Nest, Size, Type, Value, axis, verify
from hrmsearch.ir.module import Module
from hrmsearch.losses.base import Given
from hrmsearch.losses.phases import check_ignored, check_trained, headed, minimised, scoring
from hrmsearch.spec.model import Halting, NestSpec, Spec
from hrmsearch.spec.phases import Phase

_TOKENS = Type(DType.I32, (axis("B"), axis("T")))
_RESET = Type(DType.I8, (axis("B"),))


def lower(spec: Spec, *, trace: bool = False) -> Graph:
    """Return the graph of one pass of a spec's model, verified.

    Outputs: `logits` compute[B, T, C]; `loss` wide[], `nll` and `count` wide[B]; `predicted` i32[B, T], the likeliest
    classes, where the task is judged by answers; `q` compute[B, Q] with a q-head; `telemetry.<part>.<name>` wide[B]
    for readings that the spec asks for; with `trace` also `trace.<tick>.<level>`, every level after every tick. Where
    training has phases `loss` is that of the last one, and `loss.<phase>` that of each before. Raises SpecError where
    the spec cannot be built.
    """
    try:
        return verify(_Lowering(spec, trace).graph, after="lowering")
    except FieldError as error:
        raise spec.problem(error.field, error.message) from error


def memory_prefix(i: int) -> str:
    """Return where the parameters of a model's i-th memory are."""
    return f"memory_{i}"


def lower_block(part: Module, dim: int, *, window: int = 64, vocabulary: int = 97, of: Collection[str] = ()) -> Graph:
    """Return the graph of one block alone, for tests and notebooks.

    Its input is `x` compute[B, T, D]; outputs are `y` and, of the readings named in `of`, `telemetry.block.<name>`.
    """
    graph = Graph(str(part.kind), Nest(window=window, causal=False))
    b = Builder(graph, Context(dim, window, vocabulary, asks=Asked(of)), graph.main)
    x = b.input("x", Type(DType.COMPUTE, (axis("B"), axis("T"), axis("D", dim))))
    with b.at("block"):
        leaves, step = _whole(part, b, x)
        states = _declare(b, leaves, "block", b.input("reset", _RESET)) if leaves else {}
        y, new = step(b, x, states)
    graph.candidates |= {f"block.{name}": new[name] for name in states}
    graph.outputs |= {"y": y, **_as_outputs("block", new, states)}
    return verify(graph, after="lowering")


def _as_outputs(prefix: str, left: Mapping[str, Value], states: Collection[str]) -> dict[str, Value]:
    """Return, of what a part left, what it told, as outputs."""
    return {f"{TELEMETRY}{prefix}.{name}": value for name, value in left.items() if name not in states}


def _is_cost(path: str) -> bool:
    return path.rpartition(".")[2] == COST


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
            declared[name] = b.state(path, leaf.type, leaf.start, reset, **when, within=leaf.within)
    return declared


def _nest(nest: NestSpec, task: Any, phases: Sequence[Phase] | None) -> Nest:
    span = next((unit, k) for unit, k in nest.backprop if k is not None)
    act = nest.halt
    halt = None if act is None else Halt(act.explore, nest.bootstraps, act.eval)
    settle = nest.settle or 0
    return Nest(nest.passes, span, nest.step, task.loader, task.causal, task.window, halt, headed(phases), settle)


class _Lowering:
    """The state of one lowering: the graph under construction and the memories by place."""

    def __init__(self, spec: Spec, trace: bool) -> None:
        self.spec = spec
        self.model = spec.model
        self.graph = Graph(spec.name, _nest(spec.nest, spec.task, spec.train.phases))
        self.minimised = minimised(spec)
        self.stores = [
            Stored(part, memory_prefix(i), f"model.memory[{i}]")
            for i, part in enumerate(self.model.memory)
            if isinstance(part, Store)
        ]
        self.prefixes = [(i, part) for i, part in enumerate(self.model.memory) if isinstance(part, Prefix)]
        window = spec.task.window + sum(part.rows(self.model.dim) for _, part in self.prefixes)
        keys = {"puzzle": spec.task.puzzles}
        self.asked = Asked(spec.train.telemetry.of if spec.train.telemetry else ())
        context = Context(self.model.dim, window, spec.task.vocabulary, self.model.init, keys, self.asked)
        self.b = Builder(self.graph, context, self.graph.main, place="model")
        self.tokens = self.b.input("tokens", _TOKENS)
        self.reset = self.b.input("reset", _RESET)
        # what the model's states are, unless they are to be declared, and where candidates go
        self.given: Mapping[str, Value] | None = None
        self.candidates = self.graph.candidates
        self.told: dict[str, Value] = {}
        self.costs: list[Value] = []
        self._model(trace)
        self.asked.check()
        check_trained(self.graph)
        check_stores(spec, self.graph, self.stores)
        self.graph.places = {op.place: str(spec.place(op.place)) for r in self.graph.regions() for op in r.walk()}

    def _model(self, trace: bool) -> None:
        b, head = self.b, self.model.head
        assert isinstance(head, Head)
        self._check_places()
        x = self.model.embed.apply(b, "embed", self.tokens, *self._rows(), place="model.embed")
        if self.spec.task.bottleneck and not head.bottleneck:
            message = f"the task {self.spec.task.kind} takes a head that reads one position, such as 'autoencoder'"
            raise FieldError("model.head.kind", f"{message}; a head per token would copy its input")
        ran, y = self._pass(x, trace)
        self.graph.outputs |= dict(ran.trace)
        with b.at("model.head"):
            logits = self.graph.outputs["logits"] = head.logits(b, self._of_tokens(y))
        q = self._q(ran)
        if q is not None and self.spec.nest.halt is None:
            self.graph.outputs["q"] = q
        self._loss(logits, ran, self._halting(x, q))
        if self.spec.task.answers:
            with b.at("task"):
                self.graph.outputs["predicted"] = b.op("argmax", logits, name="predicted", axis="C")
        self._tell_of(q)
        self.graph.outputs |= self.told

    def _tell_of(self, q: Value | None) -> None:
        """Tell the values of the q-head, as far as they are asked for."""
        if q is None:
            return
        names = self._names or [str(i) for i in range(q.type.width("Q"))]
        with self.b.at("model.q_head"):
            for i, name in enumerate(names):
                if self.asked(f"q_{name}"):
                    wide = self.b.cast(self.b.op("detach", self.b.slice(q, "Q", i, 1)), DType.WIDE)
                    self.told[f"{TELEMETRY}q_head.q_{name}"] = self.b.sum(wide, "Q")

    def _check_places(self) -> None:
        core = self.model.core
        assert isinstance(core, Core)
        known = ("input", "output", *(f"core.{place}" for place in core.places))
        for i, memory in enumerate(self.model.memory):
            if memory.at not in known and not isinstance(memory, Prefix):
                message = f"no such place {memory.at!r}; the places are {', '.join(known)}"
                if memory.at == "prepend":
                    message = f"what is prepended is looked up by key, and this is not; it stands at {', '.join(known)}"
                raise FieldError(f"model.memory[{i}].at", message)

    def _pass(self, x: Value, trace: bool = False) -> tuple[Ran, Value]:
        """Run the model on the embedded tokens; return what the core gave, and what its head reads."""
        x = self._through(x, "input")
        ran = self._core(x, trace)
        self.candidates |= {store.path: ran.streams[store.part.of] for store in self.stores}
        read = [ran.streams[name] for name in self.model.head.reads]
        return ran, self._through(read[0] if len(read) == 1 else self.b.concat("D", *read), "output")

    def _q(self, ran: Ran) -> Value | None:
        """Return the values of the q-head, if there is one."""
        head = self.model.q_head
        if not isinstance(head, QHead):
            return None
        return head.apply(self.b, "q_head", ran.streams[head.read], place="model.q_head")

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

    def _states(self, place: str, prefix: str, leaves: Callable[[], Mapping[str, Leaf]]) -> dict[str, Value]:
        """Return states by name, declared unless they are given."""
        if self.given is not None:
            return inside(prefix, self.given)
        with self.b.at(place):
            return _declare(self.b, leaves(), prefix, self.reset)

    def _memory(self, placed: Placed, x: Value) -> dict[str, Value]:
        return self._states(placed.place, placed.prefix, lambda: placed.leaves(self.b, x))

    def _through(self, x: Value, place: str) -> Value:
        """Send the stream through the memories at a place."""
        for placed in self._placed(place):
            held = self._memory(placed, x)
            x, new = placed.step(self.b, x, held)
            self._take(placed.prefix, new, held)
        for store in self.stores if place == "input" else ():
            (held,) = self._states(store.place, store.prefix, partial(store.part.leaves, self.b, x)).values()
            x = store.part.apply(self.b, store.prefix, x, held, place=store.place)
        return x

    def _take(self, prefix: str, left: Mapping[str, Value], states: Collection[str]) -> None:
        """Take what a part left: candidates of its states, and what it told, unless it runs ahead."""
        self.candidates |= below(prefix, {name: left[name] for name in states})
        if self.given is None:
            told = _as_outputs(prefix, left, states)
            self.told |= {path: value for path, value in told.items() if not _is_cost(path) or self.asked(COST)}
            self.costs += [value for path, value in told.items() if _is_cost(path)]

    def _core(self, x: Value, trace: bool) -> Ran:
        core = self.model.core
        assert isinstance(core, Core)
        memories: dict[str, tuple[Placed, dict[str, Value]]] = {}
        for stream in core.places:
            for placed in self._placed(f"core.{stream}"):
                if stream in memories:
                    raise FieldError(f"{placed.place}.at", f"core.{stream} has a memory already")
                memories[stream] = (placed, self._memory(placed, x))
        with self.b.at("model.core"):
            states = self._states("model.core", "core", lambda: core.leaves(self.b, x))
            ran = core.run(self.b, x, states, memories, read=self._read(core), trace=trace)
        self._take("core", {**ran.candidates, **ran.telemetry}, ran.candidates)
        for stream, (placed, held) in memories.items():
            self._take(placed.prefix, ran.memories[stream], held)
        return ran

    def _read(self, core: Core) -> set[str]:
        """Return the streams that heads, losses and stores read."""
        readers: dict[str, Sequence[str]] = {f"{at}.read": loss.reads for at, loss in self.minimised}
        readers |= {"model.head.read": self.model.head.reads}
        readers |= {f"{store.place}.of": (store.part.of,) for store in self.stores}
        if isinstance(self.model.q_head, QHead):
            readers["model.q_head.read"] = (self.model.q_head.read,)
        for field, stream in ((field, stream) for field, streams in readers.items() for stream in streams):
            if stream not in core.streams:
                known = ", ".join(core.streams)
                raise FieldError(field, f"there is nothing called {stream!r} to read; there is {known}")
        return {stream for streams in readers.values() for stream in streams}

    # -- halting -----------------------------------------------------------------------------------------------------

    def _halting(self, x: Value, q: Value | None) -> tuple[Value, ...]:
        """Return what the loss of the q-head needs; nothing where rows do not halt."""
        halt = self.spec.nest.halt
        if halt is None:
            return ()
        self._check_halting(halt)
        assert q is not None
        values = self._named(q, "q")
        self.graph.outputs |= {f"q_{name}": value for name, value in values.items()}
        if not self.spec.nest.bootstraps:
            return (values["halt"],)
        ahead = self._named(self._ahead(x, q), "next")
        with self.b.at("nest.halt"):
            final = self.b.input("final", Type(DType.BOOL, (axis("B"),)))
        return values["halt"], values["continue"], ahead["halt"], ahead["continue"], final

    @property
    def _names(self) -> tuple[str, ...]:
        """What the q-head calls its values."""
        return self.model.q_head.names if isinstance(self.model.q_head, QHead) else ()

    def _check_halting(self, halt: Halting) -> None:
        wanted = ("halt",) if halt.target is None else ("halt", "continue")
        if self._names != wanted:
            why = "halts by" if halt.target is None else "trains, with a target from a second forward,"
            raise FieldError("model.q_head", f"the nest {why} the outputs {', '.join(wanted)}; say so in a q_head")
        if scoring(self.spec).halt is None:
            raise FieldError("loss", "the nest halts by a q-head that has to be trained; say how much by halt: 0.5")
        if self.spec.task.loader == "contiguous":
            raise FieldError("task.loader", "rows that halt take windows as they come; use the loader 'shuffled'")
        for path, op in self.graph.states.items():
            if op.attrs["commit"] == "last_pass":
                message = f"{path} commits in the last pass, but which one that is, rows say after it: every_pass"
                raise FieldError(f"{op.place}.commit", message)

    def _named(self, q: Value, hint: str) -> dict[str, Value]:
        """Return the q-head's values wide[B] by name."""
        b, found = self.b, dict[str, Value]()
        with b.at("model.q_head"):
            wide = b.cast(q, DType.WIDE)
            for i, name in enumerate(self._names):
                found[name] = b.op("sum", b.slice(wide, "Q", i, 1), name=f"{hint}_{name}", axes=["Q"])
        return found

    def _ahead(self, x: Value, q: Value) -> Value:
        """Return what the q-head will say after one more pass of the same model, without gradient."""
        paths = list(self.candidates)

        def body(*values: Value) -> list[Value]:
            self.given = dict(zip(paths, values[:-1], strict=True))
            self.candidates = dict(self.given)
            ran, _ = self._pass(x)
            new = self._q(ran)
            assert new is not None
            return [*(self.candidates[path] for path in paths), new]

        outer = self.candidates
        try:
            with self.b.at("nest.halt"):
                *_, ahead = self.b.repeat(1, [*outer.values(), q], body, free=True)
        finally:
            self.given, self.candidates = None, outer
        return ahead

    def _loss(self, logits: Value, ran: Ran, halting: tuple[Value, ...]) -> None:
        loss = scoring(self.spec)
        check_ignored(self.spec, self.minimised)
        with self.b.at("loss"):
            targets = self.b.input("targets", _TOKENS)
            mean, *rows = loss.call(self.b, "loss", logits, targets, place="loss")
            streams = {name: self._of_tokens(ran.streams[name]) for _, one in self.minimised for name in one.reads}
            given = Given(logits, targets, streams, (loss, mean))
            totals = [one.total(self.b, given, place) for place, one in self.minimised]
            more: list[Value] = []
            if halting:
                mean, *more = loss.call(self.b, "loss", mean, logits, targets, *halting, method="halting", place="loss")
                totals = [mean] * len(totals)
            for cost in self.costs:
                totals = [total + self.b.mean(cost, "B") for total in totals]
        names = ("right", "halt_loss", "continue_loss", "continue_target")
        losses = (phase.loss for phase in self.graph.nest.phases)
        self.graph.outputs |= dict(zip(losses, totals, strict=True))
        self.graph.outputs |= dict(zip(("nll", "count"), rows, strict=True))
        self.graph.outputs |= dict(zip(names, more, strict=False))
