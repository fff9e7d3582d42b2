"""What a planted bug is: a sound model, a way to break it, and the checks that must notice."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any
from unittest.mock import patch

import hrmsearch as hs
from hrmsearch import passes
from hrmsearch.ir import Graph, Op, Value, parse, verify
from hrmsearch.ir.builder import Builder
from hrmsearch.passes.rewrite import Rewriter
from hrmsearch.runtime import Executable, Options
from hrmsearch.spec.model import Spec
from hrmsearch.testing.invariants import Subject
from hrmsearch_torch.emit import emit
from hrmsearch_torch.executable import TorchExecutable

TEXT = """
spec: 1
name: sound
model:
  dim: 4
  init: {normal: 0.5}
  defaults: {ffn: {kind: swiglu, width: 4}}
  embed: {kind: token, init: {normal: 0.5}}
  memory: [{at: input, kind: infini, heads: 2, lifetime: stream, commit: last_pass}]
  core:
    kind: hrm
    cycles: 2
    inject: [L]
    gradient: last_cycle
    levels:
      L: {period: 1, block: {kind: transformer, mixer: {kind: attention, heads: 2}}}
      H: {period: 2, block: {kind: transformer, mixer: {kind: attention, heads: 2}}}
  head: {kind: lm, read: H}
nest: {passes: 2}
task: {kind: toy, window: 4, loader: contiguous}
train: {optimizer: {kind: adamw, lr: 1.0e-2}, batch: 2, epochs: 2}
"""

#: overrides that make the model a stack of which tokens halt
SKIPS = (
    "model.core={kind: stack, layers: 3, blocks: [{kind: transformer, mixer: {kind: attention, heads: 2}}],"
    " skip: {bias: 0.0, init: {normal: 1.0}, cost: 0.5}}",
    "model.head={kind: lm, read: last}",
    "model.memory=[]",
)

#: a sum over earlier tokens that decays and goes on from window to window
RECURRENT = """
graph "recurrent" {
  nest passes=1 backprop=passes:1 step=span loader=contiguous causal=true window=4
  main {
    at "model"
    %tokens = input() {name="tokens"} : i32[B, T]
    %reset = input() {name="reset"} : i8[B]
    %table = param() {path="table", init={"normal": 1.0}, trainable=true} : compute[C:5, D:4]
    %raw = param() {path="decay", init={"uniform": [0.1, 0.3]}, trainable=true} : compute[D:4]
    at "model.decay"
    %decay = sigmoid(%raw) : compute[D:4]
    at "model"
    %x = gather(%table, %tokens) : compute[B, T, D:4]
    %zero = const() {rule="full", value=0.0} : compute[D:4]
    %h = state(%zero, %reset) {path="h", lifetime="stream", commit="every_pass"} : compute[B, D:4]
    at "model.start"
    %begun = add(%h, %zero) : compute[B, D:4]
    at "model"
    %y, %end = linear_scan(%decay, %x, %h) {axis="T", mix=null, form=null} : compute[B, T, D:4]; compute[B, D:4]
    %logits = einsum(%y, %table) {spec="B T D, C D -> B T C"} : compute[B, T, C:5]
    output "logits" = %logits
    commit "h" = %end
  }
}
"""


def _as_it_is(source: str) -> str:
    return source


class Emitted(TorchExecutable):
    """An executable whose source is edited before it runs."""

    def __init__(self, graph: Graph, options: Options, edit: Callable[[str], str] = _as_it_is) -> None:
        self._edit = edit
        super().__init__(graph, options)

    def _module(self) -> Any:
        self.source = self._edit(self.source)
        return super()._module()


@dataclass(frozen=True, eq=False)
class Model:
    """A model on its way from a spec to a program, of which any step may be broken.

    declared: the graph that the rest of the project believes to run. built: the one that is compiled; another only if a
    compiler pass is broken. edit: what happens to the emitted source. around: what is broken while it is lowered and
    checked.
    """

    declared: Graph
    built: Graph
    spec: Spec | None = None
    overrides: tuple[str, ...] = ()
    edit: Callable[[str], str] = _as_it_is
    around: Callable[[], AbstractContextManager[Any]] = field(default=nullcontext)

    @cached_property
    def subject(self) -> Subject:
        """The model ready for the invariants, with its weights enlarged."""
        executable = self._compiled(self.declared)
        subject = Subject(executable, self.declared, self.spec, self._compiled, backend="torch")
        subject.weigh(0)
        return subject

    def _compiled(self, graph: Graph) -> Executable:
        """Return an executable; only the model's own graph is broken after lowering."""
        own = graph is self.declared
        built, edit = (self.built, self.edit) if own else (graph, _as_it_is)
        executable = Emitted(passes.run(built), Options(dtype="float64"), edit)
        # a broken compiler pass does not tell that it changed the graph
        executable.graph = self.declared if own else executable.graph
        return executable


@dataclass(frozen=True, slots=True)
class Bug:
    """A way to break a sound model.

    how: what goes wrong, in words. caught: every check that must catch it, diagnostics and invariants by their names,
    `values` and `derivative` for the comparison with the reference. given: overrides of the sound model.
    """

    name: str
    how: str
    caught: tuple[str, ...]
    breaks: Callable[[Model], Model]
    given: tuple[str, ...] = ()

    @property
    def twin(self) -> Model:
        """The sound model."""
        return recurrent() if self.given == ("recurrent",) else sound(*self.given)

    def __str__(self) -> str:
        return self.name


@cache
def sound(*overrides: str) -> Model:
    """Return the sound model with overrides."""
    return lowered(overrides)


@cache
def recurrent() -> Model:
    """Return the sound recurrence."""
    graph = verify(parse(RECURRENT))
    return Model(graph, graph)


def lowered(overrides: Sequence[str]) -> Model:
    """Return what the spec with overrides means."""
    spec = hs.loads(TEXT, "sound.yaml", list(overrides))
    graph = hs.lower(spec)
    return Model(graph, graph, spec, tuple(overrides))


# -- ways to break a model -------------------------------------------------------------------------------------------

Change = Callable[[Graph], Graph]


def override(*overrides: str) -> Callable[[Model], Model]:
    """Break the spec."""
    return lambda model: lowered((*model.overrides, *overrides))


def written_wrong(target: Any, name: str, wrong: Any) -> Callable[[Model], Model]:
    """Break the part that writes the graph: the broken part is in force wherever the model is lowered or checked."""

    def around() -> AbstractContextManager[Any]:
        return patch.object(target, name, wrong)

    def breaks(model: Model) -> Model:
        with around():
            return replace(lowered(model.overrides), around=around)

    return breaks


def rewritten_wrong(target: Any, name: str, wrong: Any) -> Callable[[Model], Model]:
    """Break the graph as a compiler pass would that turns a part into what the broken part writes."""
    breaks = written_wrong(target, name, wrong)
    return lambda model: replace(model, built=breaks(model).built)


def lowered_wrong(change: Change) -> Callable[[Model], Model]:
    """Break the graph before anyone looks at it."""

    def breaks(model: Model) -> Model:
        graph = verify(change(model.declared))
        return replace(model, declared=graph, built=graph)

    return breaks


def compiled_wrong(change: Change) -> Callable[[Model], Model]:
    """Break the graph in a compiler pass, after the analyses looked at it."""
    return lambda model: replace(model, built=verify(change(model.declared)))


def emitted_wrong(*edits: tuple[str, str]) -> Callable[[Model], Model]:
    """Replace texts of the emitted source, wherever they stand."""

    def edit(source: str) -> str:
        for old, new in edits:
            assert old in source, f"the emitted source has no {old!r} any more"
            source = source.replace(old, new)
        return source

    def breaks(model: Model) -> Model:
        edit(emit(passes.run(model.built)))
        return replace(model, edit=edit)

    return breaks


# -- changes of a graph ----------------------------------------------------------------------------------------------


class _Planter(Rewriter):
    """Copies a graph and breaks one operation: of a kind, at a place, the `nth` of them."""

    def __init__(self, source: Graph, found: Iterator[Op], nth: int) -> None:
        super().__init__(source)
        self._target = list(found)[nth]


def _found(graph: Graph, kind: str, place: str) -> Iterator[Op]:
    for region in graph.regions():
        yield from (op for op in region.walk() if (op.kind, op.place) == (kind, place))


def attribute(kind: str, place: str, nth: int = 0, **attrs: Any) -> Change:
    """Change attributes of an operation."""

    class Changer(_Planter):
        def copied(self, old: Op, new: Op) -> None:
            if old is self._target:
                new.attrs.update(attrs)

    return lambda graph: Changer(graph, _found(graph, kind, place), nth).run()


def after(kind: str, place: str, wrap: Callable[[Builder, Value], Value], nth: int = 0) -> Change:
    """Let everything after an operation read another value than its first result."""

    class Wrapper(_Planter):
        def rule(self, op: Op, operands: tuple[Value, ...]) -> Sequence[Value] | None:
            if op is not self._target:
                return None
            first, *others = self.copy(op, operands)
            return [wrap(self.builder, first), *others]

    return lambda graph: Wrapper(graph, _found(graph, kind, place), nth).run()


def reading(kind: str, place: str, change: Callable[[Builder, Sequence[Value]], Sequence[Value]], nth: int) -> Change:
    """Let an operation read other operands."""

    class Reader(_Planter):
        def rule(self, op: Op, operands: tuple[Value, ...]) -> Sequence[Value] | None:
            return self.copy(op, tuple(change(self.builder, operands))) if op is self._target else None

    return lambda graph: Reader(graph, _found(graph, kind, place), nth).run()


def ending(change: Callable[[Builder, Graph], None]) -> Change:
    """Change what the graph gives, with operations after all others."""

    def changed(graph: Graph) -> Graph:
        rewriter = Rewriter(graph)
        copy = rewriter.run()
        rewriter.builder.region = copy.main
        change(rewriter.builder, copy)
        return copy

    return changed


def candidate(path: str, wrap: Callable[[Builder, Graph, Value], Value]) -> Change:
    """Change what a state proposes for its next commit."""

    def change(b: Builder, graph: Graph) -> None:
        graph.candidates[path] = wrap(b, graph, graph.candidates[path])

    return ending(change)
