"""Parts of a policy alone, over streams of numbers: a graph of each, run in windows by the reference."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hrmsearch.blocks.tokenwise import Held, Numbers
from hrmsearch.ir import Builder, Context, DType, Graph, Nest, Type, Value, axis, verify
from hrmsearch.runtime import Array, Options, Pass, load_backend

Part = Callable[[Builder, Numbers, Numbers], tuple[Mapping[str, Value], Mapping[str, Value]]]
ROW, TOKEN, WIDTH = axis("B"), axis("T"), axis("D", 3)


def streamed(
    part: Part, given: Mapping[str, Array], carries: Mapping[str, Held], lengths: Sequence[int]
) -> dict[str, Array]:
    """Return what `part(b, held, given) -> (told, left)` tells of a stream that comes in windows of some lengths.

    given: arrays (rows, tokens) or (rows, tokens, 3).
    """
    graph = Graph("part", Nest())
    b = Builder(graph, Context(3, 1, 2), graph.main, place="part")
    reset = b.input("reset", Type(DType.I8, (ROW,)))
    axes = (ROW, TOKEN, WIDTH)
    values = {name: b.input(name, Type(DType.WIDE, axes[: array.ndim])) for name, array in given.items()}
    first = next(iter(values.values()))
    held: Numbers = {}
    for name, one in carries.items():
        start = b.full(one.start, Type(DType.WIDE))
        held[name] = b.state(name, one.type(first), start, reset, lifetime="stream", commit="every_pass")
    told, left = part(b, held, values)
    graph.outputs, graph.candidates = dict(told), dict(left)
    return _run(verify(graph), given, lengths)


def _run(graph: Graph, given: Mapping[str, Array], lengths: Sequence[int]) -> dict[str, Array]:
    executable = load_backend("reference").compile(graph, Options(dtype="float64"))
    executable.init(0)
    rows = next(iter(given.values())).shape[0]
    carry, found = executable.init_carry(rows, 1), list[Mapping[str, Array]]()
    for i, end in enumerate(np.cumsum(lengths)):
        window = {name: array[:, end - lengths[i] : end] for name, array in given.items()}
        outputs, carry = executable.forward(Pass(window, 0 if i else 3), carry)
        found.append(outputs)
    return {name: np.concatenate([outputs[name] for outputs in found], axis=1) for name in found[0]}
