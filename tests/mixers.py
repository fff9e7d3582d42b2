"""Recurrent mixers on their own, states as inputs and outputs: what the tests of every kind are written with."""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

import numpy as np
import torch

from hrmsearch import passes
from hrmsearch.blocks.recurrent import Recurrent
from hrmsearch.emission import load_source
from hrmsearch.ir import Builder, Context, DType, Graph, Nest, Type, Value, axis, initial_params, verify
from hrmsearch.runtime import Array, Options, Pass, load_backend
from hrmsearch_torch import emit, kernels

Arrays = Mapping[str, Array]
Build = Callable[[Builder], Mapping[str, Value]]
#: ways that torch runs a mixer: by its source as it stands, and with generated kernels in the place of recurrences
ENGINES = ("torch", "kernels") if kernels.compiler() else ("torch",)


@dataclass(frozen=True)
class Alone:
    """A graph of inputs, parameters and outputs, with no states: run by every backend, differentiated by torch."""

    graph: Graph

    @classmethod
    def of(cls, build: Build, dim: int) -> "Alone":
        """Return the graph that `build` appends, by the names of its outputs."""
        graph = Graph("alone", Nest(window=64, causal=False))
        b = Builder(graph, Context(dim, 64, 2), graph.main)
        graph.outputs = dict(build(b))
        return cls(passes.run(verify(graph)))

    @cached_property
    def fused(self) -> Graph:
        """The graph with its recurrences as functions of their own."""
        return passes.run(self.graph, [passes.fuse])

    @cached_property
    def modules(self) -> Mapping[str, ModuleType]:
        """What torch runs when gradients are asked for, by engine."""
        fast = kernels.loaded(emit(self.fused), self.fused, "cpu")
        return {"torch": load_source(emit(self.graph), "alone"), "kernels": fast}

    def params(self, seed: int, scale: float = 1.0) -> dict[str, Array]:
        """Return parameters as a model would draw them, with noise: what begins at zero takes part too."""
        rng = np.random.default_rng(seed)
        drawn = initial_params(self.graph, seed)
        return {path: value + scale * rng.normal(size=value.shape) for path, value in drawn.items()}

    def run(self, params: Arrays, inputs: Arrays, backend: str = "reference", dtype: str = "float64") -> Arrays:
        """Return every output; backend: one's name, or an engine's."""
        by_kernels = backend == "kernels"
        options = Options(dtype="float64" if dtype == "float64" else "float32", kernels=by_kernels)
        compiler = load_backend("torch" if by_kernels else backend)
        executable = compiler.compile(self.fused if by_kernels else self.graph, options)
        executable.set_params(params)
        return executable.forward(Pass(inputs, reset=0), {})[0]

    def everywhere(self, params: Arrays, inputs: Arrays) -> Iterator[tuple[str, Arrays]]:
        """Yield the outputs of the reference, then of every engine, with its name."""
        for backend in ("reference", *ENGINES):
            yield backend, self.run(params, inputs, backend)

    def gradients(
        self, params: Arrays, inputs: Arrays, weights: Arrays, dtype: str = "float64", engine: str = "torch"
    ) -> dict[str, Array]:
        """Return the gradient of sum(weight * output) in every parameter and float input."""
        kind = getattr(torch, dtype)
        model = self.modules[engine].Model().to(kind)
        model.load_state_dict({path: torch.tensor(value) for path, value in params.items()})
        floats = {name for name, value in self.graph.inputs.items() if value.type.dtype.is_float}
        given = {name: torch.tensor(array) for name, array in inputs.items()}
        given |= {name: given[name].to(kind).requires_grad_() for name in floats}
        outputs, _ = model(**given)
        terms = [(outputs[name] * torch.tensor(weight, dtype=kind)).sum() for name, weight in weights.items()]
        leaves = {**dict(model.named_parameters()), **{name: given[name] for name in sorted(floats)}}
        found = torch.autograd.grad(torch.stack(terms).sum(), list(leaves.values()))
        return {name: gradient.numpy() for name, gradient in zip(leaves, found, strict=True)}

    def everyones_gradients(self, params: Arrays, inputs: Arrays, weights: Arrays) -> Iterator[dict[str, Array]]:
        """Yield the gradients of every engine."""
        for engine in ENGINES:
            yield self.gradients(params, inputs, weights, engine=engine)


def streamed(mixer: Recurrent, dim: int, *, write: bool = False) -> Alone:
    """Return a mixer's step alone: inputs `x`, its states and, if asked for, `write`; outputs `out` and states.

    States go in as `c0` and come out as `c1`.
    """

    def build(b: Builder) -> dict[str, Value]:
        x = _stream(b, dim)
        states = {name: b.input(f"{name}0", type_) for name, (_, type_) in mixer.init_state(b, x).items()}
        mask = b.input("write", Type(DType.BOOL, x.type.axes[:2])) if write else None
        y, new = mixer.step(b, x, states, mask)
        return {"out": y, **{f"{name}1": value for name, value in new.items()}}

    return Alone.of(build, dim)


def starts(mixer: Recurrent, dim: int, rows: int) -> Arrays:
    """Return the start values of a mixer's states, as inputs of its step."""

    def build(b: Builder) -> dict[str, Value]:
        begun = mixer.init_state(b, _stream(b, dim))
        return {f"{name}0": b.broadcast(start, type_) for name, (start, type_) in begun.items()}

    return Alone.of(build, dim).run({}, {"x": np.zeros((rows, 1, dim))})


def _stream(b: Builder, dim: int) -> Value:
    return b.input("x", Type(DType.COMPUTE, (axis("B"), axis("T"), axis("D", dim))))


def after(outputs: Arrays) -> dict[str, Array]:
    """Return the states that a step left, as the inputs of the next one."""
    return {f"{name[:-1]}0": value for name, value in outputs.items() if name.endswith("1")}


def in_pieces(
    alone: Alone, params: Arrays, inputs: Arrays, cuts: Sequence[int], dtype: str = "float64", backend: str = "torch"
) -> Arrays:
    """Return the outputs of a stream that is cut before the tokens `cuts`, each piece going on from the one before."""
    along = {name: array for name, array in inputs.items() if name in ("x", "write")}
    states: Arrays = {name: array for name, array in inputs.items() if name not in along}
    pieces: list[Array] = []
    tokens = inputs["x"].shape[1]
    for start, stop in zip([0, *cuts], [*cuts, tokens], strict=True):
        piece = {name: array[:, start:stop] for name, array in along.items()}
        outputs = alone.run(params, {**piece, **states}, backend, dtype)
        pieces.append(outputs["out"])
        states = after(outputs)
    return {"out": np.concatenate(pieces, 1), **{f"{name[:-1]}1": array for name, array in states.items()}}


def close(got: Arrays, wanted: Arrays, within: float = 1e-9) -> None:
    """Assert that arrays agree, by name, within a fraction of each one's largest entry, and of 1 at least."""
    for name, array in wanted.items():
        scale = max(1.0, float(np.abs(array).max(initial=0.0)))
        np.testing.assert_allclose(got[name], array, rtol=0, atol=within * scale, err_msg=name)
