"""Recurrences for tests of kernels: each is a function over IR values, with the types of its arguments."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrmsearch.ir import Builder, DType, Graph, Nest, Type, Value, verify
from hrmsearch.ir.definition import OPS_ONLY

Results = tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class Cell:
    """A recurrence. types: its arguments', in order; `{D}` is the width, `{D3}` thrice it. body: the function itself.

    widths: those that tests are to try, where each has a kernel of its own.
    """

    name: str
    types: Mapping[str, str]
    body: Callable[..., Results]
    widths: Sequence[int] = ()

    def __str__(self) -> str:
        return self.name

    def graph(self, width: int) -> Graph:
        """Return a graph whose inputs are the cell's arguments, which calls it once."""
        graph = Graph(self.name, Nest(window=64))
        b = Builder(graph, OPS_ONLY, graph.main)
        types = {name: Type.parse(text.format(D=width, D3=3 * width)) for name, text in self.types.items()}
        args = [b.input(name, type_) for name, type_ in types.items()]
        results = b.call("", self.body, *args, title="Recurrence", key=self.name, place="model")
        graph.outputs = {f"y{i}": value for i, value in enumerate(results)}
        return verify(graph)


def arrays(graph: Graph, sizes: Mapping[str, int], seed: int) -> dict[str, NDArray[Any]]:
    """Return random inputs of a graph: transitions (a) are small, normalisers (n) are positive."""
    rng = np.random.default_rng(seed)
    made: dict[str, NDArray[Any]] = {}
    for name, value in graph.inputs.items():
        drawn = rng.normal(size=value.type.shape(sizes))
        scaled = 1.0 + np.abs(drawn) if name == "n" else drawn * (0.3 if name == "a" else 1.0)
        made[name] = scaled > 0 if value.type.dtype == DType.BOOL else scaled
    return made


def _levels(b: Builder, x: Value, a: Value, gain: Value, read: Value, skip: Value, start: Value) -> Results:
    """Two levels per channel with a fixed transition, read out."""
    states, last = b.linear_scan(a, b.einsum("B T D, D Z -> B T D Z", x, gain), start, mix=("Z", "Y"))
    return b.einsum("B T D Z, D Z -> B T D", states, read) + x * skip, last


def _gated(b: Builder, forget: Value, x: Value, bias: Value, start: Value) -> Results:
    """A leaky average whose gate depends on the token; the states are read as they are."""
    keep = b.sigmoid(forget + bias)
    return b.linear_scan(keep, (1.0 - keep) * b.op("tanh", x), start)


def _varying(b: Builder, f: Value, g: Value, x: Value, write: Value, start: Value) -> Results:
    """Two levels whose transition is made of gates at every token, and which some tokens leave alone."""
    f, g = b.sigmoid(f), b.sigmoid(g)
    rows = [(f, 0.3 * (1.0 - f)), (0.5 * (1.0 - g) * f, g)]
    matrix = _stack(b, [_stack(b, list(row), "Y") for row in rows], "Z")
    rows_ = b.broadcast(_count(b, "Z"), Type.parse("compute[Z:2, Y:2]"))
    eye = b.cast(b.op("equal", rows_, _count(b, "Y")), DType.COMPUTE)
    a = b.where(write, b.transpose(matrix, "B", "T", "D", "Z", "Y"), eye)
    into = b.where(write, _stack(b, [x, x * g], "Z"), 0.0)
    states, last = b.linear_scan(a, into, start, mix=("Z", "Y"))
    return b.op("silu", b.sum(states, "Z")) * x, states, last


def _count(b: Builder, name: str) -> Value:
    """Return 0, 1 along an axis of two, without a table of positions."""
    one = Type.parse(f"compute[{name}:1]")
    return b.concat(name, b.full(0.0, one), b.full(1.0, one))


def _stack(b: Builder, values: list[Value], name: str) -> Value:
    """Return values side by side along a new last axis."""
    wide = [b.broadcast(v, Type.parse(f"{str(v.type)[:-1]}, {name}:1]")) for v in values]
    return b.concat(name, *wide)


def _exponential(b: Builder, i: Value, f: Value, z: Value, c: Value, n: Value, m: Value) -> Results:
    """The cell of sLSTM without what feeds its output back."""

    def step(c: Value, n: Value, m: Value, i: Value, f: Value, z: Value) -> list[Value]:
        carried = m - b.op("softplus", -f)
        top = b.where(b.op("equal", n, 0.0), i, b.op("maximum", i, carried))
        forget, take = b.exp(b.op("minimum", carried - top, 0.0)), b.exp(i - top)
        c, n = forget * c + take * b.op("tanh", z), forget * n + take
        return [c, n, top, c / n]

    *last, y = b.scan("T", [c, n, m], [i, f, z], step, at=1)
    return y, *last


def _heads(b: Builder, x: Value, gate: Value, scale: Value, once: Value, bias: Value, start: Value) -> Results:
    """Lanes of two axes, and operands that lack one of them, all but the steps, or everything."""

    def step(h: Value, x: Value, gate: Value) -> list[Value]:
        h = b.op("tanh", gate * h * scale) + x * once
        return [h, b.op("abs", h) + bias]

    last, y = b.scan("T", [start], [x, gate], step, at=2)
    return b.transpose(y, "B", "T", "A", "K"), last


def _fed_back(b: Builder, raw: Value, r: Value, bias: Value, write: Value, c: Value, y: Value) -> Results:
    """Heads whose output feeds back through a matrix, in three parts, some tokens unwritten."""
    width = c.type.width("K")

    def step(c: Value, y: Value, raw: Value, write: Value) -> list[Value]:
        gates = raw + b.einsum("B A K, A K F -> B A F", y, r) + bias
        f, z, o = (b.slice(gates, "F", at * width, width, "K") for at in range(3))
        new = b.where(write, b.sigmoid(f) * c + b.op("tanh", z), c)
        out = b.sigmoid(o) * b.op("tanh", new)
        return [new, b.where(write, out, y), out]

    last, _, ys = b.scan("T", [c, y], [raw, write], step, at=1)
    return ys, last


CELLS = (
    Cell(
        "levels",
        {
            "x": "compute[B, T, D:{D}]",
            "a": "compute[D:{D}, Z:2, Y:2]",
            "gain": "compute[D:{D}, Z:2]",
            "read": "compute[D:{D}, Z:2]",
            "skip": "compute[D:{D}]",
            "start": "compute[B, D:{D}, Z:2]",
        },
        _levels,
    ),
    Cell(
        "gated",
        {
            "forget": "compute[B, T, D:{D}]",
            "x": "compute[B, T, D:{D}]",
            "bias": "compute[D:{D}]",
            "start": "compute[B, D:{D}]",
        },
        _gated,
    ),
    Cell(
        "varying",
        {
            "f": "compute[B, T, D:{D}]",
            "g": "compute[B, T, D:{D}]",
            "x": "compute[B, T, D:{D}]",
            "write": "bool[B, T]",
            "start": "compute[B, D:{D}, Z:2]",
        },
        _varying,
    ),
    Cell(
        "exponential",
        dict.fromkeys("ifz", "compute[B, T, D:{D}]") | dict.fromkeys("cnm", "compute[B, D:{D}]"),
        _exponential,
    ),
    Cell(
        "heads",
        {
            "x": "compute[B, A:2, T, K:{D}]",
            "gate": "compute[B, A:2, T]",
            "scale": "compute[A:2, K:{D}]",
            "once": "compute[B, K:{D}]",
            "bias": "compute[]",
            "start": "compute[B, A:2, K:{D}]",
        },
        _heads,
    ),
    Cell(
        "fed back",
        {
            "raw": "compute[B, T, A:2, F:{D3}]",
            "a": "compute[A:2, K:{D}, F:{D3}]",
            "bias": "compute[A:2, F:{D3}]",
            "write": "bool[B, T]",
            "c": "compute[B, A:2, K:{D}]",
            "y": "compute[B, A:2, K:{D}]",
        },
        _fed_back,
        widths=(3, 16),
    ),
)
