"""The recurrences that are measured: as a loop in eager torch, and as a graph that kernels are generated from."""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from hrmsearch.emission import load_source
from hrmsearch.ir import Builder, Graph, Nest, Type, Value, verify
from hrmsearch.ir.definition import OPS_ONLY
from hrmsearch.passes import fuse
from hrmsearch.recurrence import TITLE
from hrmsearch_torch import emit, kernels
from interleaved.measuring import Form

Body = Callable[..., Sequence[Value]]


def graph_of(name: str, types: Mapping[str, str], body: Body) -> Graph:
    """Return a graph whose inputs are a function's arguments and whose outputs its results."""
    graph = Graph(name, Nest())
    b = Builder(graph, OPS_ONLY, graph.main)
    results = body(b, *(b.input(each, Type.parse(type_)) for each, type_ in types.items()))
    graph.outputs = {f"y{i}": value for i, value in enumerate(results)}
    return verify(graph)


def recurrence_of(name: str, types: Mapping[str, str], body: Body) -> Graph:
    """Return a graph whose inputs are a recurrence's operands as they lie in memory, rearranged by the kernel."""

    def results(b: Builder, *args: Value) -> tuple[Value, ...]:
        return tuple(body(b, *args))

    def called(b: Builder, *args: Value) -> Sequence[Value]:
        return b.call("", results, *args, title=TITLE, key=name, place=name)

    return graph_of(name, types, called)


def by_source(graph: Graph) -> Form:
    """Return what a graph's emitted source does."""
    return _called(load_source(emit(graph), graph.name).Model())


def by_kernel(graph: Graph, device: str) -> dict[str, Form]:
    """Return what its generated kernel does, by name; nothing where there is none."""
    if not kernels.available(device):
        return {}
    fused = verify(fuse(graph))
    return {"kernel": _called(kernels.loaded(emit(fused), fused, device).Model())}


def _called(model: torch.nn.Module) -> Form:
    return lambda *operands: tuple(model(*operands)[0].values())


def normal(random: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=random, dtype=torch.float64)


# -- two levels, read out ----------------------------------------------------------------------------------------------


def levels(width: int) -> Graph:
    """Return z_t = A z_(t-1) + b x_t and y_t = c z_t + d x_t per channel, with two levels in z."""

    def body(b: Builder, x: Value, a: Value, into: Value, read: Value, skip: Value, start: Value) -> Sequence[Value]:
        states, last = b.linear_scan(a, b.einsum("B T D, D Z -> B T D Z", x, into), start, mix=("Z", "Y"))
        return b.einsum("B T D Z, D Z -> B T D", states, read) + x * skip, last

    types = {"x": f"B, T, D:{width}", "a": f"D:{width}, Z:2, Y:2", "into": f"D:{width}, Z:2", "read": f"D:{width}, Z:2"}
    types |= {"skip": f"D:{width}", "start": f"B, D:{width}, Z:2"}
    return graph_of("levels", {name: f"compute[{axes}]" for name, axes in types.items()}, body)


def levels_loop(x: Tensor, a: Tensor, into: Tensor, read: Tensor, skip: Tensor, start: Tensor) -> Sequence[Tensor]:
    p, q, r, s = a.flatten(1).unbind(1)
    (low_in, high_in), (low_out, high_out) = into.unbind(1), read.unbind(1)
    low, high = start.unbind(2)
    ys: list[Tensor] = []
    for x_t in x.unbind(1):
        low, high = p * low + q * high + low_in * x_t, r * low + s * high + high_in * x_t
        ys.append(low_out * low + high_out * high + skip * x_t)
    return torch.stack(ys, 1), torch.stack((low, high), 2)


def levels_drawn(batch: int, tokens: int, width: int) -> list[Tensor]:
    """Rows of a transition are positive and sum to less than one, so that none explodes."""
    random = torch.Generator().manual_seed(0)
    a = torch.softmax(normal(random, width, 2, 3), -1)[..., :2]
    shapes = [(width, 2), (width, 2), (width,), (batch, width, 2)]
    return [normal(random, batch, tokens, width), a, *(normal(random, *shape) for shape in shapes)]


# -- two levels, gated -------------------------------------------------------------------------------------------------


def gated(width: int) -> Graph:
    """Return two levels whose matrix is made of two gates at every step; the states' sum is read."""

    def body(b: Builder, f: Value, g: Value, x: Value, start: Value) -> Sequence[Value]:
        f, g = b.sigmoid(f), b.sigmoid(g)
        rows = [_beside(b, [f, 1.0 - f], "Y"), _beside(b, [(1.0 - g) * 0.5, g], "Y")]
        a = b.transpose(_beside(b, rows, "Z"), "B", "T", "D", "Z", "Y")
        states, last = b.linear_scan(a, _beside(b, [x * (1.0 - f), x * 0.0], "Z"), start, mix=("Z", "Y"))
        return b.sum(states, "Z"), last

    types = {**dict.fromkeys("fgx", f"compute[B, T, D:{width}]"), "start": f"compute[B, D:{width}, Z:2]"}
    return recurrence_of("gated", types, body)


def made(width: int) -> Graph:
    """Return the same for matrices and inputs that were made before, each entry's channels side by side."""

    def body(b: Builder, a: Value, into: Value, start: Value) -> Sequence[Value]:
        a, into = b.transpose(a, "B", "T", "D", "Z", "Y"), b.transpose(into, "B", "T", "D", "Z")
        states, last = b.linear_scan(a, into, start, mix=("Z", "Y"))
        return b.sum(states, "Z"), last

    types = {"a": f"B, T, Z:2, Y:2, D:{width}", "into": f"B, T, Z:2, D:{width}", "start": f"B, D:{width}, Z:2"}
    return recurrence_of("made", {name: f"compute[{axes}]" for name, axes in types.items()}, body)


def _beside(b: Builder, values: Sequence[Value], name: str) -> Value:
    return b.concat(name, *(b.broadcast(v, Type.parse(f"{str(v.type)[:-1]}, {name}:1]")) for v in values))


def gated_loop(f: Tensor, g: Tensor, x: Tensor, start: Tensor) -> Sequence[Tensor]:
    a, into = matrices(f, g, x)
    return made_loop(a, into, start)


def matrices(f: Tensor, g: Tensor, x: Tensor) -> list[Tensor]:
    """Return the matrices [B, T, 2, 2, D] and what enters [B, T, 2, D]."""
    f, g = torch.sigmoid(f), torch.sigmoid(g)
    rows = torch.stack((f, 1.0 - f), 2), torch.stack(((1.0 - g) * 0.5, g), 2)
    return [torch.stack(rows, 2), torch.stack((x * (1.0 - f), x * 0.0), 2)]


def made_loop(a: Tensor, into: Tensor, start: Tensor) -> Sequence[Tensor]:
    low, high = start.unbind(2)
    ys: list[Tensor] = []
    for a_t, x_t in zip(a.unbind(1), into.unbind(1), strict=True):
        low, high = (a_t[:, i, 0] * low + a_t[:, i, 1] * high + x_t[:, i] for i in range(2))
        ys.append(low + high)
    return torch.stack(ys, 1), torch.stack((low, high), 2)


def gated_drawn(batch: int, tokens: int, width: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    return [*(normal(random, batch, tokens, width) for _ in range(3)), normal(random, batch, width, 2)]


# -- sLSTM -------------------------------------------------------------------------------------------------------------


def slstm(heads: int, head: int) -> Graph:
    """Return the cell of sLSTM with its recurrent matrices."""

    def body(b: Builder, raw: Value, r: Value, c: Value, n: Value, m: Value, y: Value) -> Sequence[Value]:
        def step(c: Value, n: Value, m: Value, y: Value, raw: Value) -> Sequence[Value]:
            gates = raw + b.einsum("B A K, A K F -> B A F", y, r)
            i, f, z, o = (b.slice(gates, "F", at * head, head, "K") for at in range(4))
            carried = m - b.op("softplus", -f)
            top = b.op("maximum", i, carried)
            forget, take = b.exp(carried - top), b.exp(i - top)
            c, n = forget * c + take * b.op("tanh", z), forget * n + take
            y = b.sigmoid(o) * c / n
            return [c, n, top, y, y]

        *last, ys = b.scan("T", [c, n, m, y], [raw], step, at=1)
        return ys, *last

    state = f"compute[B, A:{heads}, K:{head}]"
    types = {"raw": f"compute[B, T, A:{heads}, F:{4 * head}]", "r": f"compute[A:{heads}, K:{head}, F:{4 * head}]"}
    return graph_of("slstm", {**types, **dict.fromkeys("cnmy", state)}, body)


def slstm_loop(raw: Tensor, r: Tensor, c: Tensor, n: Tensor, m: Tensor, y: Tensor) -> Sequence[Tensor]:
    ys: list[Tensor] = []
    for raw_t in raw.unbind(1):
        i, f, z, o = (raw_t + torch.einsum("bak,akf->baf", y, r)).chunk(4, -1)
        carried = m + F.logsigmoid(f)
        m = torch.maximum(i, carried)
        forget, take = torch.exp(carried - m), torch.exp(i - m)
        c, n = forget * c + take * torch.tanh(z), forget * n + take
        y = torch.sigmoid(o) * c / n
        ys.append(y)
    return torch.stack(ys, 1), c, n, m, y


def slstm_drawn(batch: int, tokens: int, heads: int, head: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    r = 0.5 * head**-0.5 * normal(random, heads, head, 4 * head)
    c, n, m, y = (normal(random, batch, heads, head) for _ in range(4))
    return [normal(random, batch, tokens, heads, 4 * head), r, c, 1.0 + n.abs(), m, y]
