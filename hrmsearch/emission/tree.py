"""The parameter tree of a graph as modules: a class per set of functions, an instance per prefix.

Prefixes become attributes, so that the weights of a module are found by the parameter paths. Places of the tree that
are built alike share one class.
"""

import keyword
import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from hrmsearch.emission.dialect import Dialect
from hrmsearch.emission.syntax import Expr, attr, call, index, ref
from hrmsearch.errors import BackendError
from hrmsearch.ir.graph import Graph, Op, Region

#: the name under which the root calls its own body
MAIN = ""


@dataclass(eq=False, slots=True)
class Place:
    """One place of the tree: a module where functions are called or the root stands, else a container."""

    path: str = ""
    functions: list[str] = field(default_factory=list[str])
    params: dict[str, Op] = field(default_factory=dict[str, Op])
    children: "dict[str, Place]" = field(default_factory=dict[str, "Place"])

    def at(self, parts: Sequence[str]) -> "Place":
        """Return the place below this one, made at need."""
        place = self
        for part in parts:
            path = f"{place.path}.{part}" if place.path else part
            place = place.children.setdefault(part, Place(path))
        return place

    @property
    def is_module(self) -> bool:
        """Whether a class of the emitted file stands here."""
        return bool(self.functions)

    @property
    def is_list(self) -> bool:
        """Whether the children are numbered from 0 and nothing else is here."""
        return not self.params and list(self.children) == [str(i) for i in range(len(self.children))]

    def key(self) -> Hashable:
        """Return what two places have in common when they may share a class."""
        params = tuple((name, str(op.result.type), str(op.attrs)) for name, op in self.params.items())
        return tuple(self.functions), params, tuple((name, child.key()) for name, child in self.children.items())

    def walk(self) -> "Iterator[Place]":
        """Yield the places below, then this one."""
        for child in self.children.values():
            yield from child.walk()
        yield self

    def access(self, parts: Sequence[str], dialect: Dialect) -> Expr:
        """Return the expression by which this place's methods reach a place or parameter below."""
        place, value = self, ref("self")
        for i, part in enumerate(parts):
            leaf = i == len(parts) - 1 and part in place.params
            value = place.step(value, part, dialect, leaf=leaf)
            place = place if leaf else place.children[part]
        return value

    def step(self, value: Expr, part: str, dialect: Dialect, *, leaf: bool) -> Expr:
        """Return the expression for one entry of this place."""
        if not self.is_module:
            return index(value, int(part) if self.is_list else part)
        return attr(value, part) if is_attribute(part) else dialect.reach(value, part, leaf=leaf)


def is_attribute(name: str) -> bool:
    """Return whether a name can be written after a dot."""
    return name.isidentifier() and not keyword.iskeyword(name)


def plant(graph: Graph, dialect: Dialect) -> Place:
    """Return the tree of a graph, functions at each place in the order in which main first calls them."""
    root = Place(functions=[MAIN])
    seen: set[tuple[Place, str]] = set()
    order: dict[str, int] = {MAIN: 0}

    def visit(region: Region, here: Place) -> None:
        for op in region.walk():
            if op.kind == "param":
                *above, name = op.attrs["path"].split(".")
                _check(here.at(above).params.setdefault(name, op), op)
            elif op.kind == "call":
                enter(op.attrs["callee"], here.at([part for part in op.attrs["prefix"].split(".") if part]))

    def enter(name: str, place: Place) -> None:
        if (place, name) in seen:
            return
        seen.add((place, name))
        order.setdefault(name, len(order))
        place.functions.append(name)
        visit(graph.functions[name].body, place)

    visit(graph.main, root)
    for place in root.walk():
        titles = [_title(name) for name in place.functions]
        # a title that the others continue comes first: Infini before Infini_readout
        leads = {n: all(t == _title(n) or t.startswith(f"{_title(n)}_") for t in titles) for n in place.functions}
        place.functions.sort(key=lambda name: (name != MAIN, not leads[name], order[name]))
        if all(map(str.isdigit, place.children)):  # a start that main declares may come before the blocks ahead of it
            place.children = dict(sorted(place.children.items(), key=lambda child: int(child[0])))
        _names(place, dialect)
    return root


def _check(first: Op, op: Op) -> None:
    if first.result.type.sizes != op.result.type.sizes:
        raise BackendError(f"{op.place}: parameter {op.attrs['path']!r} has two shapes under one path")


def _names(place: Place, dialect: Dialect) -> None:
    for name in (*place.params, *place.children):
        if name in dialect.own_names or (name in place.params and name in place.children):
            raise BackendError(
                f"{dialect.framework} cannot hold {name!r} below {place.path!r}: the name is taken there"
            )


@dataclass(eq=False, slots=True)
class Class:
    """One class of the emitted file. methods: its functions by name, the first of which runs when it is called."""

    name: str
    place: Place
    methods: dict[str, str]


def classes(root: Place, dialect: Dialect) -> dict[Hashable, Class]:
    """Return the classes by key, each after those it is made of; the root's is `Model`."""
    found: dict[Hashable, Class] = {}
    taken = {*dialect.reserved, *dialect.helpers, "Model"}
    for place in root.walk():
        key = place.key()
        if place.is_module and key not in found:
            name = "Model" if place is root else _fresh(place.functions[0], taken)
            found[key] = Class(name, place, _methods(place, dialect))
    return found


def methods(graph: Graph, dialect: Dialect) -> Iterator[tuple[str, str, str]]:
    """Yield each function of a graph with a class of the emitted file and the method that is that function there."""
    for one in classes(plant(graph, dialect), dialect).values():
        yield from ((function, one.name, method) for function, method in one.methods.items() if function != MAIN)


def _methods(place: Place, dialect: Dialect) -> dict[str, str]:
    """Name the functions at a place: `forward`, say, then each by its title without the first one's."""
    first, *others = place.functions
    taken = {*dialect.own_names, *place.params, *place.children}
    return {first: dialect.forward} | {name: _fresh(snake(_shorter(name, first)), taken) for name in others}


def _title(name: str) -> str:
    """Return a function's name without the number that made it unique."""
    return re.sub(r"_\d+$", "", name)


def _shorter(name: str, first: str) -> str:
    rest = _title(name).removeprefix(f"{_title(first)}_")
    return rest if rest.isidentifier() and first else _title(name)


def _fresh(stem: str, taken: set[str]) -> str:
    name, n = stem, 1
    while name in taken:
        n += 1
        name = f"{stem}_{n}"
    taken.add(name)
    return name


def snake(title: str) -> str:
    """Return `TokenEmbedding` as `token_embedding`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", title).lower()


def construct(place: Place, made: dict[Hashable, Class], param: "dict[Op, Expr]", dialect: Dialect) -> Expr:
    """Return the expression that makes what stands at a place."""
    if place.is_module:
        return call(made[place.key()].name)
    leaves = {name: param[op] for name, op in place.params.items()}
    children = {name: construct(child, made, param, dialect) for name, child in place.children.items()}
    made_ = dialect.listing(list(children.values())) if place.is_list else dialect.container(leaves, children)
    if made_ is None:
        raise BackendError(f"{place.path!r} holds parameters and blocks, which no {dialect.framework} container does")
    return made_
