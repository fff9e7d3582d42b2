"""A small graph for every op kind: what round trips, flows and backends are held to, one op at a time.

A new op kind joins by an entry here, and a test says so if it has none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrmsearch.ir import Builder, DType, Graph, Nest, Op, Type, parse, verify
from hrmsearch.ir.definition import OPS_ONLY
from hrmsearch.ir.ops import op_kinds


@dataclass(frozen=True, slots=True)
class Example:
    """One op: the types of its operands, its attributes, and its type where that is declared."""

    kind: str
    operands: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    result: str = ""

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(self.operands)}) {dict(self.attrs)}"


def examples(d: int = 4, f: int = 3) -> list[Example]:
    """Return examples of every kind but leaves with a name and structure; d (even) and f are widths."""
    return [*_elementwise(d), *_contractions(d, f), *_layout(d, f), *_composites(d, f)]


def example_graph(example: Example) -> Graph:
    """Return a graph with inputs x0, x1, ... and outputs y0, y1, ... around one op."""
    graph = Graph(example.kind, Nest())
    b = Builder(graph, OPS_ONLY, graph.main)
    operands = tuple(b.input(f"x{i}", Type.parse(type_)) for i, type_ in enumerate(example.operands))
    op = b.append(Op(example.kind, operands, dict(example.attrs)), type=_parsed(example.result))
    graph.outputs = {f"y{i}": value for i, value in enumerate(op.results)}
    return verify(graph)


def example_inputs(graph: Graph, sizes: Mapping[str, int], rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return random inputs that every op accepts: floats in [0.5, 1.5), integers below 3."""
    drawn: dict[str, NDArray[Any]] = {}
    for name, value in graph.inputs.items():
        shape, dtype = value.type.shape(sizes), value.type.dtype
        if dtype.is_float:
            drawn[name] = rng.uniform(0.5, 1.5, shape)
        else:
            drawn[name] = rng.integers(0, 2 if dtype == DType.BOOL else 3, shape).astype(_INTEGERS[dtype])
    return drawn


_INTEGERS: Mapping[DType, type[np.generic]] = {DType.I32: np.int32, DType.I8: np.int8, DType.BOOL: np.bool_}


def _parsed(text: str) -> Type | None:
    return Type.parse(text) if text else None


_BINARY = ("add", "sub", "mul", "div", "maximum", "minimum")
_OTHER = frozenset({*_BINARY, "less", "equal", "and", "or", "not", "where", "cast"})


def _elementwise(d: int) -> list[Example]:
    x, row, flag = f"compute[B, T, D:{d}]", f"compute[D:{d}]", "bool[B, T]"
    plain = [row_.kind for row_ in op_kinds() if row_.elementwise.__name__ == "per_element" and not row_.attrs]
    found = [Example(kind, (x,)) for kind in plain if kind not in _OTHER]
    found += [Example(kind, (x, row)) for kind in (*_BINARY, "less", "equal")]
    found += [Example("and", (flag, "bool[T]")), Example("or", (flag, flag)), Example("not", (flag,))]
    found += [Example("where", (flag, x, row)), Example("cast", (x,), {"dtype": "wide"}), Example("detach", (x,))]
    found += [Example("cast", ("bool[B, T]",), {"dtype": "compute"}), Example("dropout", (x,), {"rate": 0.5})]
    return found


def _contractions(d: int, f: int) -> list[Example]:
    x = f"compute[B, T, D:{d}]"
    return [
        Example("einsum", (x, f"compute[D:{d}, F:{f}]"), {"spec": "B T D, D F -> B T F"}),
        Example("einsum", (x, f"compute[B, U:T, D:{d}]"), {"spec": "B T D, B U D -> B T U"}),
        *(Example(kind, (x,), {"axes": axes}) for kind in ("sum", "mean", "amax") for axes in (["T"], ["B", "D"])),
        *(Example(kind, (x,), {"axis": "T"}) for kind in ("cumsum", "cummax")),
        Example("gather", (f"compute[C:3, D:{d}]", "i32[B, T]")),
    ]


def _layout(d: int, f: int) -> list[Example]:
    x = f"compute[B, T, D:{d}]"
    return [
        Example("const", (), {"rule": "full", "value": 2.5}, x),
        Example("const", (), {"rule": "iota"}, "i32[T]"),
        Example("const", (), {"rule": "rope_cos", "base": 10000.0}, f"compute[T, D:{d}]"),
        Example("const", (), {"rule": "rope_sin", "base": 10000.0}, f"compute[T, D:{d}]"),
        Example("broadcast", (f"compute[T, D:{d}]",), {}, f"compute[A:2, T, D:{d}]"),
        Example("split", (x,), {"axis": "D", "into": [["A", d // 2], ["K", 2]]}),
        Example("merge", (f"compute[B, T, A:{f}, K:{d}]",), {"axes": ["A", "K"], "into": "D"}),
        Example("transpose", (x,), {"order": ["D", "B", "T"]}),
        Example("slice", (x,), {"axis": "D", "start": 1, "size": d - 1, "into": "K"}),
        Example("slice", (x,), {"axis": "D", "start": 1 - d, "size": d - 2, "into": "D"}),
        Example("slice", (x,), {"axis": "T", "start": -1, "size": 1, "into": "K"}),
        Example("concat", (x, f"compute[B, T, D:{f}]"), {"axis": "D"}),
        Example("concat", (x, f"compute[B, T:2, D:{d}]"), {"axis": "T"}),
        Example("pad", (x,), {"axis": "T", "before": 2, "size": "T+3", "value": 0.5}),
        Example("rename", (x,), {"axis": "T", "into": "U"}),
    ]


def _composites(d: int, f: int) -> list[Example]:
    x, table = f"compute[B, T, D:{d}]", f"compute[T, D:{d}]"
    q, k, v = f"compute[B, A:2, T, K:{d}]", f"compute[B, A:2, U:T, K:{d}]", f"compute[B, A:2, U:T, V:{f}]"
    state, matrix = f"compute[B, D:{d}]", f"D:{d}, N:{d}"
    cell = (f"wide[B, A:2, T, K:{d}]",) * 2 + (f"wide[B, A:2, T, V:{f}]",) + ("wide[B, A:2, T]",) * 2
    cell += (f"wide[B, A:2, K:{d}, V:{f}]", f"wide[B, A:2, K:{d}]", "wide[B, A:2]")
    return [
        *(Example("mlstm", cell, {"eps": 1e-6, "chunk": chunk}) for chunk in (None, 2)),
        Example("causal_conv", (x, f"compute[B, J:2, D:{d}]", f"compute[J:3, D:{d}]", f"compute[D:{d}]")),
        *(Example("attention", (q, k, v), {"causal": causal, "scale": 0.5}) for causal in (True, False)),
        Example("softmax", (x,), {"axis": "T"}),
        Example("argmax", (x,), {"axis": "D"}),
        Example("rms_norm", (x,), {"eps": 1e-6}),
        Example("rms_norm", (x, f"compute[D:{d}]"), {"eps": 1e-6}),
        *(Example("layer_norm", (x, *[f"compute[D:{d}]"] * n), {"eps": 1e-6}) for n in range(3)),
        Example("rope", (x, table, table)),
        Example("silu", (x,)),
        Example("gelu", (x,)),
        Example("cross_entropy", (f"compute[B, T, C:{f}]", "i32[B, T]"), {"ignore": -100}),
        Example("linear_scan", (f"compute[D:{d}]", x, state), {"axis": "T", "mix": None, "form": None}),
        Example("linear_scan", (x, x, state), {"axis": "T", "mix": None, "form": None}),
        Example("linear_scan", (f"compute[{matrix}]", x, state), {"axis": "T", "mix": ["D", "N"], "form": None}),
        Example("linear_scan", (f"compute[B, T, {matrix}]", x, state), {"axis": "T", "mix": ["D", "N"], "form": None}),
    ]


def structured_graph() -> Graph:
    """Return a graph of every kind that `examples` lacks: inputs, parameters, states, calls, loops and recurrences."""
    return verify(parse(_STRUCTURED))


_STRUCTURED = """
graph "structured" {
  nest passes=2 backprop=passes:2 step=window loader=contiguous causal=true window=8
  func @cell(%x: compute[B, T, D:4], %h: compute[B, D:4]) at "model.cell" {
    at "model.cell.gate"
    %gate = param() {path="gate", init={"normal": 1.0}, trainable=true} : compute[D:4]
    %last, %all = scan(%h, %x) {axis="T", carries=1, at=1} : compute[B, D:4]; compute[B, T, D:4] {
      ^(%h.2: compute[B, D:4], %x_t: compute[B, D:4])
      %old = mul(%h.2, %gate) : compute[B, D:4]
      %new = add(%old, %x_t) : compute[B, D:4]
      %out = tanh(%new) : compute[B, D:4]
      yield %new, %out
    }
    return %all, %last
  }
  main {
    at "model.embed"
    %tokens = input() {name="tokens"} : i32[B, T]
    %targets = input() {name="targets"} : i32[B, T]
    %reset = input() {name="reset"} : i8[B]
    %table = param() {path="embed", init={"normal": 1.0}, trainable=true} : compute[C:5, D:4]
    %e = gather(%table, %tokens) : compute[B, T, D:4]
    at "model.state"
    %start = param() {path="start", init={"normal": 1.0}, trainable=true} : compute[D:4]
    %z = state(%start, %reset) {path="z", lifetime="window", commit="every_pass"} : compute[B, T, D:4]
    %m = state(%start, %reset) {path="m", lifetime="stream", commit="last_pass"} : compute[B, D:4]
    at "model.core"
    %ticked, %kept = repeat(%z, %e) {n=3, free=true} : compute[B, T, D:4]; compute[B, T, D:4] {
      ^(%z.2: compute[B, T, D:4], %e.2: compute[B, T, D:4])
      %sum = add(%z.2, %e.2) : compute[B, T, D:4]
      %next = tanh(%sum) : compute[B, T, D:4]
      yield %next, %e.2
    }
    %both = add(%ticked, %kept) : compute[B, T, D:4]
    %last = repeat(%both) {n=2, free=false} : compute[B, T, D:4] {
      ^(%v: compute[B, T, D:4])
      %w = mul(%v, %start) : compute[B, T, D:4]
      yield %w
    }
    %y, %m.2 = call(%last, %m) {callee="cell", prefix="cell.0"} : compute[B, T, D:4]; compute[B, D:4]
    at "loss"
    %logits = einsum(%y, %table) {spec="B T D, C D -> B T C"} : compute[B, T, C:5]
    %nll = cross_entropy(%logits, %targets) {ignore=-100} : wide[B, T]
    %loss = mean(%nll) {axes=["B", "T"]} : wide[]
    output "logits" = %logits
    output "loss" = %loss
    commit "z" = %last
    commit "m" = %m.2
  }
}
"""
