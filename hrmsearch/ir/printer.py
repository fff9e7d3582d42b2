"""Graph to text: one operation a line, its type at the end, `at` lines for the spec place it was built for."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from hrmsearch.ir.graph import Graph, Nest, Op, Region, Value


def text(graph: Graph) -> str:
    """Return the graph as text that `parse` reads back."""
    return "\n".join(_graph(graph)) + "\n"


def _graph(graph: Graph) -> Iterator[str]:
    nest = graph.nest
    yield f"graph {json.dumps(graph.name)} {{"
    yield (
        f"  nest passes={nest.passes} backprop={nest.backprop[0]}:{nest.backprop[1]} step={nest.step} "
        f"loader={nest.loader} causal={json.dumps(nest.causal)} window={nest.window}"
        + ("" if nest.halt is None else f" halt={_compact(asdict(nest.halt))}")
        + (f" settle={nest.settle}" if nest.settle else "")
        + ("" if nest.phases == Nest().phases else f" phases={_compact([asdict(phase) for phase in nest.phases])}")
    )
    for function in graph.functions.values():
        names = _Names()
        args = names.declare(function.body.args)
        yield f"  func @{function.name}({args}) at {json.dumps(function.place)} {{"
        yield from _body(function.body, names, "    ", "return")
        yield "  }"
    names = _Names()
    yield "  main {"
    yield from _body(graph.main, names, "    ", "")
    for word, table in (("output", graph.outputs), ("commit", graph.candidates)):
        for name, value in table.items():
            yield f"    {word} {json.dumps(name)} = {names[value]}"
    yield "  }"
    yield "}"


def _compact(data: object) -> str:
    return json.dumps(data, separators=(",", ":"))


class _Names:
    """Unique `%names` of one function's values, from their hints."""

    def __init__(self) -> None:
        self._names: dict[Value, str] = {}
        self._taken: set[str] = set()
        self.place: str | None = None

    def __getitem__(self, value: Value) -> str:
        return self._names[value]

    def add(self, value: Value) -> str:
        stem = value.name or str(len(self._names))
        name, n = stem, 1
        while name in self._taken:
            n += 1
            name = f"{stem}.{n}"
        self._taken.add(name)
        self._names[value] = f"%{name}"
        return self._names[value]

    def declare(self, values: Sequence[Value]) -> str:
        return ", ".join(f"{self.add(value)}: {value.type}" for value in values)

    def use(self, values: Sequence[Value]) -> str:
        return ", ".join(self[value] for value in values)


def _body(region: Region, names: _Names, indent: str, end: str) -> Iterator[str]:
    for op in region.ops:
        if op.place != names.place:
            names.place = op.place
            yield f"{indent}at {json.dumps(op.place)}"
        yield from _op(op, names, indent)
    if end:
        yield f"{indent}{end} {names.use(region.results)}".rstrip()


def _op(op: Op, names: _Names, indent: str) -> Iterator[str]:
    operands = names.use(op.operands)
    regions: list[str] = []
    for region in op.regions:
        regions.append(f"{indent}  ^({names.declare(region.args)})")
        regions.extend(_body(region, names, indent + "  ", "yield"))
    left = ", ".join(names.add(value) for value in op.results)
    attrs = f" {{{', '.join(f'{key}={json.dumps(value)}' for key, value in op.attrs.items())}}}" if op.attrs else ""
    types = "; ".join(str(value.type) for value in op.results)
    call = f"{left} = {op.kind}({operands}){attrs} : {types}"
    yield f"{indent}{call} {{" if regions else f"{indent}{call}"
    if regions:
        yield from regions
        yield f"{indent}}}"
