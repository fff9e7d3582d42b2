"""Graph to source: one file that imports the framework alone, a class per function and an instance per prefix."""

from collections.abc import Iterator

from hrmsearch.emission import syntax as py
from hrmsearch.emission.body import Body
from hrmsearch.emission.dialect import Dialect
from hrmsearch.emission.helpers import needed
from hrmsearch.emission.layout import Block, Line, Statement, render, returned, signature
from hrmsearch.emission.main import Main, plan
from hrmsearch.emission.scope import File, shape
from hrmsearch.emission.syntax import Expr
from hrmsearch.emission.tree import MAIN, Class, Place, classes, construct, is_attribute, plant
from hrmsearch.ir.graph import Graph, Op, Value
from hrmsearch.ir.types import Lifetime


def write(graph: Graph, dialect: Dialect) -> str:
    """Return the source of a graph in a dialect, which has a form of each of its ops."""
    return _Writer(graph, dialect).text()


class _Writer:
    def __init__(self, graph: Graph, dialect: Dialect) -> None:
        self.graph = graph
        self.dialect = dialect
        self.root = plant(graph, dialect)
        self.classes = classes(self.root, dialect)
        made = {place: self.classes[place.key()] for place in self.root.walk() if place.is_module}
        self.file = File(graph, dialect, made, _given_names(graph), set())

    def text(self) -> str:
        """Return the whole file."""
        written = ["\n".join(self._class(one)) for one in self.classes.values()]
        helpers = needed(self.dialect.helpers, self.file.helpers)
        body = "\n\n\n".join([*self._constants(), *helpers, *written])
        return "\n".join([self._docstring(), *self.dialect.head(body), "", body, ""])

    def _docstring(self) -> str:
        inputs = ", ".join(plan(self.graph).required)
        return f'''"""{self.graph.name}: one pass of the model.

    outputs, state = model({inputs}, state, reset)

`reset` says which states start anew before the pass, by how long they live: 0 none, 1 those of a pass, 2 of a window,
3 of a stream; one number for all rows or one per row. {self.dialect.weights}
"""'''

    def _constants(self) -> list[str]:
        levels = {Lifetime.of(op.attrs["lifetime"]) for op in self.graph.states.values()} | {Lifetime.STREAM}
        names, numbers = ", ".join(x.name for x in sorted(levels)), ", ".join(str(int(x)) for x in sorted(levels))
        return [f"{names} = {numbers}"]

    # -- classes -----------------------------------------------------------------------------------------------------

    def _class(self, one: Class) -> Iterator[str]:
        buffers: dict[str, Op] = {}
        methods = [self._method(one, function, buffers) for function in one.methods]
        declared, tables = self.dialect.buffers(buffers, self.file.helper)
        body: list[Statement] = [Line(f'"""{self._about(one)}"""')]
        body += [Line(""), *declared] if declared else []
        made = [*self._attributes(one.place), *tables]
        if made:
            first = [Line(text) for text in self.dialect.constructor]
            methods.insert(0, Block("def __init__(self) -> None", [*first, *made]))
        for method in methods:
            body += [Line(""), method]
        return render([Block(f"class {one.name}{self.dialect.bases}", body)])

    def _about(self, one: Class) -> str:
        if one.place is self.root:
            return f"The whole of {self.graph.name}."
        place = self.graph.functions[one.place.functions[0]].place
        return f"{one.name}, from {place}." if place else f"{one.name}."

    def _method(self, one: Class, function: str, buffers: dict[str, Op]) -> Block:
        if function == MAIN:
            return Main(self.file, one, buffers).write()
        region = self.graph.functions[function].body
        body = Body(self.file, one, buffers)
        body.begin(region, region.results)
        params = [(f"{body.argument(arg, body.stem(arg))}: Tensor", shape(arg.type)) for arg in region.args]
        body.region(region)
        results = [body.tensor(value, body.read(value)) for value in region.results]
        body.block.append(Line("return ", results[0] if len(results) == 1 else py.lift(tuple(results))))
        types = ", ".join(shape(arg.type) for arg in region.args), ", ".join(shape(v.type) for v in region.results)
        block = signature(one.methods[function], params, returned(len(results)), " -> ".join(types))
        block.body = body.statements()
        return block

    def _attributes(self, place: Place) -> Iterator[Line]:
        """Yield the statements that make a module's parameters and the modules below it."""
        for name, op in place.params.items():
            yield self._set(name, self._parameter(op), shape(op.result.type), leaf=True)
        for name, child in place.children.items():
            inner = [below for below in child.walk() if not below.is_module]
            made = {op: self._parameter(op) for below in inner for op in below.params.values()}
            yield self._set(name, construct(child, self.classes, made, self.dialect), "", leaf=False)

    def _parameter(self, op: Op) -> Expr:
        return self.dialect.parameter(op, self.file.helper)

    def _set(self, name: str, value: Expr, comment: str, *, leaf: bool) -> Line:
        """Write `self.name = value`, in the dialect's way where the name cannot be written so."""
        if is_attribute(name):
            return Line(f"self.{name} = ", value, comment)
        return Line("", self.dialect.attach(name, value, leaf=leaf), comment)


def _given_names(graph: Graph) -> dict[Value, str]:
    """Return names for unnamed values: outputs are called by their names, candidates by their states.

    What a function returns is called as its first caller calls it.
    """
    given = {value: name.rpartition(".")[2] for name, value in graph.outputs.items()}
    given |= {value: path.rpartition(".")[2] for path, value in graph.candidates.items()}
    for region in (graph.main, *(function.body for function in reversed(graph.functions.values()))):
        for op in region.walk():
            inner = graph.functions[op.attrs["callee"]].body if op.kind == "call" else None
            if inner is not None and len(op.results) > 1:
                for outside, inside in zip(op.results, inner.results, strict=True):
                    if outside.name or outside in given:
                        given.setdefault(inside, outside.name or given[outside])
    return {value: name for value, name in given.items() if name.isidentifier()}
