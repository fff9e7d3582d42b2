"""The verifier: what must hold of a graph after lowering and after every compiler pass."""

from hrmsearch.errors import GraphError
from hrmsearch.ir.graph import Graph, Op, Region, Value, join_path
from hrmsearch.ir.ops import lookup
from hrmsearch.ir.types import Lifetime, Type

_MAIN_ONLY = ("input", "state")


def verify(graph: Graph, after: str = "") -> Graph:
    """Return the graph if it is sound, else raise a GraphError that names the op and the compiler pass it follows."""
    try:
        _verify(graph)
    except GraphError as error:
        raise GraphError(f"after {after}: {error}" if after else str(error)) from error
    return graph


def _verify(graph: Graph) -> None:
    known: set[str] = set()
    for function in graph.functions.values():
        _region(graph, function.body, set(function.body.args), known, main=False)
        known.add(function.name)
    visible: set[Value] = set()
    _region(graph, graph.main, visible, known, main=True)
    for name, value in (graph.outputs | graph.candidates).items():
        _check(value in visible, f"{name} is bound to a value that main does not compute")
    _states(graph)
    _names(graph.main)
    _params(graph, graph.main, "", {})


def _region(graph: Graph, region: Region, visible: set[Value], known: set[str], *, main: bool) -> None:
    """Check a region; `visible` gains its values and `known` holds the functions defined so far: calls do not recur."""
    visible.update(region.args)
    for op in region.ops:
        for value in op.operands:
            _check(value in visible, f"{op.kind} uses %{value.name} before it is defined", op)
        _check(main or op.kind not in _MAIN_ONLY, f"{op.kind} stands outside main", op)
        if op.kind == "call":
            _check(op.attrs["callee"] in known, f"@{op.attrs['callee']} is called before it is defined", op)
        for inner in op.regions:
            _region(graph, inner, set(visible), known, main=False)
        _types(graph, op)
        visible.update(op.results)
    for value in region.results:
        _check(value in visible, f"%{value.name} is returned but not computed")


def _types(graph: Graph, op: Op) -> None:
    row = lookup(op.kind)
    unknown = set(op.attrs) - row.attrs
    _check(not unknown, f"{op.kind} has unknown attributes {sorted(unknown)}", op)
    try:
        inferred = list(row.types(op, graph.functions))
    except KeyError as error:
        raise GraphError(f"{op.place}: {op.kind} lacks the attribute {error}") from error
    stated = [value.type for value in op.results]
    if inferred != stated:  # types are printed on failure only: this runs for every op after every compiler pass
        _check(False, f"{op.kind} has type {_join(stated)}, not {_join(inferred)}", op)


def _states(graph: Graph) -> None:
    states = graph.states
    for path, value in graph.candidates.items():
        _check(path in states, f"candidate {path!r} has no state")
        _check(value.type == states[path].result.type, f"candidate {path!r} has type {value.type}", states[path])
    for path, op in states.items():
        _check(path in graph.candidates, f"state {path!r} has no candidate", op)
        _check(Lifetime.of(op.attrs["lifetime"]) > Lifetime.PASS, f"state {path!r} outlives no pass", op)


def _names(main: Region) -> None:
    """Check that no two inputs share a name and no two states a path."""
    seen: set[tuple[str, str]] = set()
    for op in main.ops:
        if op.kind in _MAIN_ONLY:
            name = (op.kind, op.attrs["name" if op.kind == "input" else "path"])
            _check(name not in seen, f"{op.kind} {name[1]!r} occurs twice", op)
            seen.add(name)


def _params(graph: Graph, region: Region, prefix: str, seen: dict[str, Op]) -> None:
    """Check that parameters of one path agree: sharing by prefix must share the same thing."""
    for op in region.walk():
        if op.kind == "param":
            path = join_path(prefix, op.attrs["path"])
            first = seen.setdefault(path, op)
            # a function that shares a parameter may leave its initial rule to the one that declares it first
            same = op.attrs["init"] in (None, first.attrs["init"]) and first.attrs["trainable"] == op.attrs["trainable"]
            same = same and first.attrs["init"] is not None and first.result.type == op.result.type
            _check(same, f"parameter {path!r} occurs with another type or initial rule", op)
        elif op.kind == "call":
            body = graph.functions[op.attrs["callee"]].body
            _params(graph, body, join_path(prefix, op.attrs["prefix"]), seen)


def _join(types: list[Type]) -> str:
    return ", ".join(map(str, types))


def _check(holds: bool, rule: str, op: Op | None = None) -> None:
    if not holds:
        raise GraphError(f"{op.place}: {rule}" if op is not None and op.place else rule)
