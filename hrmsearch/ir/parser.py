"""Text to graph: reads what `printer` writes, and what a test author types."""

import json
import re
from collections.abc import Iterator
from typing import Any

from hrmsearch.errors import GraphError
from hrmsearch.ir.graph import Function, Graph, Halt, Nest, Op, Phase, Region, Value
from hrmsearch.ir.ops import lookup
from hrmsearch.ir.types import Type

_OP = re.compile(
    r"(?P<left>%.*?) = (?P<kind>\w+)\((?P<operands>[^)]*)\)(?: (?P<attrs>\{.*\}))? : (?P<types>.*?)(?P<open> \{)?"
)
_FUNC = re.compile(r'func @(\w+)\((.*)\) at (".*") \{')
_ARG = re.compile(r"(%[\w.]+): (\w+\[[^\]]*\])")
_BIND = re.compile(r'(output|commit) (".*?") = (%[\w.]+)')


def parse(source: str) -> Graph:
    """Return the graph that a text describes.

    Raises GraphError with the line number where the text or a type is wrong.
    """
    reader = _Reader(source)
    try:
        return reader.graph()
    except (GraphError, ValueError, KeyError) as error:
        raise GraphError(f"line {reader.line}: {error}") from error


class _Reader:
    def __init__(self, source: str) -> None:
        self._lines: Iterator[tuple[int, str]] = (
            (n, line.strip()) for n, line in enumerate(source.splitlines(), 1) if line.strip()
        )
        self.line = 0
        self.place = ""

    def next(self) -> str:
        """Return the next line that is not empty."""
        try:
            self.line, line = next(self._lines)
        except StopIteration:
            raise GraphError("the text ends inside the graph") from None
        return line

    def graph(self) -> Graph:
        """Read a whole graph."""
        head = _match(r'graph (".*") \{', self.next())
        graph = Graph(json.loads(head[1]), _nest(self.next()))
        while (line := self.next()) != "main {":
            found = _match(_FUNC, line)
            names: dict[str, Value] = {}
            region = Region(_args(found[2], names))
            self.place = ""
            self.body(graph, region, names)
            graph.functions[found[1]] = Function(found[1], region, json.loads(found[3]))
        self.place = ""
        names = {}
        while (line := self.body(graph, graph.main, names)) != "}":
            bind = _match(_BIND, line)
            table = graph.outputs if bind[1] == "output" else graph.candidates
            table[json.loads(bind[2])] = names[bind[3]]
        _match(r"\}", self.next())
        rest = next(self._lines, None)
        if rest is not None:
            self.line = rest[0]
            raise GraphError(f"{rest[1]!r} stands after the graph")
        return graph

    def body(self, graph: Graph, region: Region, names: dict[str, Value]) -> str:
        """Read operations up to the closing line of a region, and return that line."""
        while True:
            line = self.next()
            if line.startswith("at "):
                self.place = json.loads(line[3:])
            elif line.startswith("%"):
                region.ops.append(self.op(graph, line, names))
            elif line.startswith(("return", "yield")):
                words = line.split(maxsplit=1)[1:]
                region.results = [names[name.strip()] for name in words[0].split(",")] if words else []
            else:
                return line

    def op(self, graph: Graph, line: str, names: dict[str, Value]) -> Op:
        """Read one operation, its regions included, and check its stated types."""
        found = _match(_OP, line)
        operands = tuple(names[name.strip()] for name in found["operands"].split(",") if name.strip())
        op = Op(found["kind"], operands, _attrs(found["attrs"] or "{}"), place=self.place)
        if found["open"]:
            inner = Region(_args(self.next(), names))
            self.body(graph, inner, names)
            op.regions = (inner,)
        stated = [Type.parse(part) for part in found["types"].split(";")]
        lefts = [name.strip() for name in found["left"].split(",")]
        op.results = tuple(_value(name, type_) for name, type_ in zip(lefts, stated, strict=True))
        if list(lookup(op.kind).types(op, graph.functions)) != stated:
            raise GraphError(f"{op.kind} has another type than the one stated")
        names.update(zip(lefts, op.results, strict=True))
        return op


def _value(name: str, type_: Type) -> Value:
    hint = re.sub(r"\.\d+$", "", name[1:])
    return Value(type_, "" if hint.isdigit() else hint)


def _args(text: str, names: dict[str, Value]) -> list[Value]:
    values: list[Value] = []
    for name, type_ in _ARG.findall(text):
        names[name] = _value(name, Type.parse(type_))
        values.append(names[name])
    return values


def _attrs(text: str) -> dict[str, Any]:
    """Read `{key=json, key=json}`."""
    decoder, attrs, at = json.JSONDecoder(), dict[str, Any](), 1
    while text[at] != "}":
        key = _match(re.compile(r"(\w+)="), text, at)
        attrs[key[1]], at = decoder.raw_decode(text, key.end())
        at += 2 if text.startswith(", ", at) else 0
    return attrs


def _nest(line: str) -> Nest:
    words = dict(word.split("=", 1) for word in line.split()[1:])
    unit, count = words["backprop"].split(":")
    return Nest(
        passes=int(words["passes"]),
        backprop=(unit, int(count)),
        step=words["step"],
        loader=words["loader"],
        causal=json.loads(words["causal"]),
        window=int(words["window"]),
        halt=Halt(**json.loads(words["halt"])) if "halt" in words else None,
        settle=int(words.get("settle", 0)),
        phases=_phases(words["phases"]) if "phases" in words else Nest().phases,
    )


def _phases(text: str) -> tuple[Phase, ...]:
    found = [(p["name"], p["loss"], p["train"]) for p in json.loads(text)]
    return tuple(Phase(name, loss, None if train is None else tuple(train)) for name, loss, train in found)


def _match(pattern: str | re.Pattern[str], line: str, at: int | None = None) -> re.Match[str]:
    compiled = re.compile(pattern)
    found = compiled.fullmatch(line) if at is None else compiled.match(line, at)
    if found is None:
        raise GraphError(f"cannot read {line!r}")
    return found
