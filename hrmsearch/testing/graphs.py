"""Hypothesis strategies for graphs: straight lines of random operations, with the waste that compiler passes remove."""

from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from hrmsearch.errors import GraphError
from hrmsearch.ir import Builder, DType, Graph, Nest, Op, Type, Value, axis, verify
from hrmsearch.ir.definition import OPS_ONLY

# bounded functions, so that long lines neither overflow nor leave a function's domain
_UNARY = ("neg", "tanh", "sigmoid", "sin", "cos", "abs", "detach", "softplus", "silu")
_BINARY = ("add", "sub", "mul", "maximum", "minimum")


@st.composite
def straight_graphs(draw: st.DrawFn, max_ops: int = 25) -> Graph:
    """Return graphs over inputs `x`, `y` (compute[B, T, D:4]) and parameters, with some values as outputs."""
    graph = Graph("straight", Nest(window=8))
    b = Builder(graph, OPS_ONLY, graph.main)
    pool = _leaves(b)
    choose = _chooser(draw)
    for _ in range(draw(st.integers(1, max_ops))):
        step = _STEPS[choose(len(_STEPS))]
        before = len(b.region.ops)
        try:
            pool.append(step(b, pool, choose))
        except GraphError:  # the drawn operands do not fit the drawn operation
            del b.region.ops[before:]
    count = draw(st.integers(1, min(4, len(pool))))
    graph.outputs = {f"out{i}": pool[-1 - i] for i in range(count)}
    return verify(graph)


_Choose = Callable[[int], int]
_Step = Callable[[Builder, Sequence[Value], _Choose], Value]


def _chooser(draw: st.DrawFn) -> _Choose:
    return lambda n: draw(st.integers(0, n - 1))


def _leaves(b: Builder) -> list[Value]:
    rows, tokens, width = axis("B"), axis("T"), axis("D", 4)
    x, y = (b.input(name, Type(DType.COMPUTE, (rows, tokens, width))) for name in ("x", "y"))
    return [x, y, b.param("gain", [width], {"normal": 1.0}), b.param("mix", [width, axis("F", 4)], {"normal": 0.5})]


def _pick(pool: Sequence[Value], choose: _Choose) -> Value:
    return pool[choose(len(pool))]


def _unary(b: Builder, pool: Sequence[Value], choose: _Choose) -> Value:
    return b.op(_UNARY[choose(len(_UNARY))], _pick(pool, choose))


def _binary(b: Builder, pool: Sequence[Value], choose: _Choose) -> Value:
    return b.op(_BINARY[choose(len(_BINARY))], _pick(pool, choose), _pick(pool, choose))


def _neutral(b: Builder, pool: Sequence[Value], choose: _Choose) -> Value:
    x = _pick(pool, choose)
    return [lambda: x + 0.0, lambda: 1.0 * x, lambda: x / 1.0, lambda: b.op("neg", -x)][choose(4)]()


def _cast(b: Builder, pool: Sequence[Value], choose: _Choose) -> Value:
    return b.op("cast", _pick(pool, choose), dtype=("wide", "compute")[choose(2)])


def _axis(x: Value, choose: _Choose) -> str:
    if not x.type.axes:
        raise GraphError("a scalar has no axis")
    return x.type.names[choose(len(x.type.axes))]


def _reduce(b: Builder, pool: Sequence[Value], choose: _Choose) -> Value:
    x = _pick(pool, choose)
    return b.op(("mean", "amax", "sum")[choose(3)], x, axes=[_axis(x, choose)] if choose(4) else [])


def _along(b: Builder, pool: Sequence[Value], choose: _Choose) -> Value:
    x = _pick(pool, choose)
    return b.op(("softmax", "cummax", "cumsum")[choose(3)], x, axis=_axis(x, choose))


def _layout(b: Builder, pool: Sequence[Value], choose: _Choose) -> Value:
    x = _pick(pool, choose)
    if choose(2):
        return b.transpose(x, *(x.type.names[::-1] if choose(2) else x.type.names))
    return b.rename(x, _axis(x, choose), ("D", "F", "T")[choose(3)])


def _norm(b: Builder, pool: Sequence[Value], choose: _Choose) -> Value:
    x = _pick(pool, choose)
    _axis(x, choose)
    return b.op("rms_norm", x, eps=1e-3)


def _linear(b: Builder, pool: Sequence[Value], choose: _Choose) -> Value:
    return b.rename(b.linear(_pick(pool, choose), pool[3]), "F", "D")


def _repeat(b: Builder, pool: Sequence[Value], choose: _Choose) -> Value:
    outer = _pick(pool, choose)

    def body(x: Value) -> list[Value]:
        return [b.op("tanh", x * outer)]

    return b.repeat(1 + choose(2), [_pick(pool, choose)], body, free=bool(choose(2)))[0]


def _again(b: Builder, pool: Sequence[Value], choose: _Choose) -> Value:
    """Build an operation a second time, for the compiler pass that merges equal ones."""
    old = b.region.ops[choose(len(b.region.ops))]
    if old.regions or old.kind == "input":
        raise GraphError("not an operation to build twice")
    declared = old.result.type if old.kind in ("const", "param") else None
    return b.append(Op(old.kind, old.operands, dict(old.attrs)), old.result.name, declared).result


_STEPS: tuple[_Step, ...] = (
    _unary, _binary, _neutral, _cast, _reduce, _along, _layout, _norm, _linear, _repeat, _again,
)  # fmt: skip
