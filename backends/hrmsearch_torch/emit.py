"""Graph to source: one file that imports torch alone, with a class per function and an instance per prefix."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from hrmsearch.ir.graph import Graph, Op, Value
from hrmsearch.ir.types import Lifetime
from hrmsearch.runtime import expand
from hrmsearch_torch import syntax as py
from hrmsearch_torch.body import Body
from hrmsearch_torch.helpers import HELPERS, helper_source
from hrmsearch_torch.kinds import KINDS, table_in_float64
from hrmsearch_torch.layout import Block, Line, Statement, render, signature
from hrmsearch_torch.main import Main, plan
from hrmsearch_torch.operands import INTEGERS
from hrmsearch_torch.scope import shape
from hrmsearch_torch.syntax import Expr
from hrmsearch_torch.tree import MAIN, Class, classes, construct, is_attribute, plant


def emit(graph: Graph, define: Collection[str] = ()) -> str:
    """Return the source of a graph; composites in `define` are written as their definitions."""
    return _File(expand(graph, keep=_forms(graph) - set(define))).text()


def _forms(graph: Graph) -> set[str]:
    """Return the kinds that torch has a form for; a scan by matrices has none."""
    mixing = any(op.kind == "linear_scan" and op.attrs["mix"] for region in graph.regions() for op in region.walk())
    return {*KINDS} if mixing else {*KINDS, "linear_scan"}


class _File:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.helpers: set[str] = set()
        self.root = plant(graph)
        self.classes = classes(self.root, frozenset({*HELPERS, "F", "Tensor", "nn", "torch"}))
        self.made = {place: self.classes[place.key()] for place in self.root.walk() if place.is_module}
        self.given = _given_names(graph)

    def text(self) -> str:
        """Return the whole file."""
        written = ["\n".join(self._class(one)) for one in self.classes.values()]
        head = [*self._constants(), *helper_source(self.helpers)]
        body = "\n\n\n".join([*head, *written])
        imports = ["import torch"] if "torch." in body else []
        imports += ["import torch.nn.functional as F"] if "F." in body else []
        # torch gives what a ModuleDict holds no type but Module
        relaxed = ["", "# pyright: reportIndexIssue=false"] if '"][' in body else []
        return "\n".join([self._docstring(), *relaxed, "", *imports, "from torch import Tensor, nn", "", body, ""])

    def _docstring(self) -> str:
        inputs = ", ".join(plan(self.graph).required)
        return f'''"""{self.graph.name}: one pass of the model.

    outputs, state = model({inputs}, state, reset)

`reset` says which states start anew before the pass, by how long they live: 0 none, 1 those of a pass, 2 of a window,
3 of a stream; one number for all rows or one per row. `state_dict()` holds the weights by their paths.
"""'''

    def _constants(self) -> list[str]:
        levels = {Lifetime.of(op.attrs["lifetime"]) for op in self.graph.states.values()} | {Lifetime.STREAM}
        names, numbers = ", ".join(x.name for x in sorted(levels)), ", ".join(str(int(x)) for x in sorted(levels))
        return [f"{names} = {numbers}"]

    # -- classes -----------------------------------------------------------------------------------------------------

    def _class(self, one: Class) -> Iterator[str]:
        buffers: dict[str, Op] = {}
        methods = [self._method(one, function, buffers) for function in one.methods]
        body: list[Statement] = [Line(f'"""{self._about(one)}"""')]
        declared = [Line(f"{name}: Tensor", comment=shape(op.result.type)) for name, op in buffers.items()]
        body += [Line(""), *declared] if declared else []
        made = self._init(one, buffers)
        for method in [made, *methods] if made.body[1:] else methods:
            body += [Line(""), method]
        return render([Block(f"class {one.name}(nn.Module)", body)])

    def _about(self, one: Class) -> str:
        if one.place is self.root:
            return f"The whole of {self.graph.name}."
        place = self.graph.functions[one.place.functions[0]].place
        return f"{one.name}, from {place}." if place else f"{one.name}."

    def _method(self, one: Class, function: str, buffers: dict[str, Op]) -> Block:
        if function == MAIN:
            return Main(self.graph, one, self.made, self.given, self.helpers, buffers).write()
        region = self.graph.functions[function].body
        body = Body(self.graph, one, self.made, self.given, self.helpers, buffers)
        body.begin(region, region.results)
        params = [(f"{body.argument(arg, body.stem(arg))}: Tensor", shape(arg.type)) for arg in region.args]
        body.region(region)
        results = [body.tensor(value, body.read(value)) for value in region.results]
        body.block.append(Line("return ", results[0] if len(results) == 1 else py.lift(tuple(results))))
        types = ", ".join(shape(arg.type) for arg in region.args), ", ".join(shape(v.type) for v in region.results)
        result = "Tensor" if len(results) == 1 else f"tuple[{', '.join(['Tensor'] * len(results))}]"
        block = signature(one.methods[function], params, result, " -> ".join(types))
        block.body = body.statements()
        return block

    def _init(self, one: Class, buffers: Mapping[str, Op]) -> Block:
        place = one.place
        lines: list[Statement] = [Line("super().__init__()")]
        for name, op in place.params.items():
            lines.append(_set(name, self._param(op), shape(op.result.type), "register_parameter"))
        for name, child in place.children.items():
            inner = [place for place in child.walk() if not place.is_module]
            inits = {op: self._param(op) for place in inner for op in place.params.values()}
            lines.append(_set(name, construct(child, self.classes, inits), "", "add_module"))
        for name, op in buffers.items():
            value = self._table(op)
            lines.append(
                Line("", py.call("self.register_buffer", name, value, persistent=False), shape(op.result.type))
            )
        return Block("def __init__(self) -> None", lines)

    def _param(self, op: Op) -> Expr:
        shape_ = [size.known for size in op.result.type.sizes]
        value = self._initial(op.attrs["init"], shape_)
        frozen = {} if op.attrs["trainable"] else {"requires_grad": False}
        return py.call("nn.Parameter", value, **frozen)

    def _initial(self, rule: Any, sizes: list[int | None]) -> Expr:
        """Return the drawing of a parameter under its rule."""
        if isinstance(rule, str):
            return py.call(f"torch.{rule}", *sizes) if sizes else py.call(f"torch.{rule}", ())
        ((name, value),) = rule.items()
        if name == "constant":
            return py.call("torch.full", tuple(sizes), float(value))
        if name == "normal":
            return py.binary(py.call("torch.randn", *sizes) if sizes else py.call("torch.randn", ()), "*", float(value))
        if name == "trunc_normal":
            return py.call(self._helper("trunc_normal"), *sizes, std=float(value))
        return py.method(py.call("torch.empty", tuple(sizes)), "uniform_", *map(float, value))

    def _table(self, op: Op) -> Expr:
        dtype = op.result.type.dtype
        if not dtype.is_float:
            return py.call("torch.arange", op.result.type.sizes[0].known, dtype=py.ref(INTEGERS[dtype]))
        sizes = [py.lift(size.known) for size in op.result.type.sizes]
        return py.method(table_in_float64(op, sizes, self._helper), "to", py.call("torch.get_default_dtype"))

    def _helper(self, name: str) -> Expr:
        self.helpers.add(name)
        return py.ref(name)


def _set(name: str, value: Expr, comment: str, otherwise: str) -> Line:
    """Write `self.name = value`, by a call where the name is no attribute's."""
    if is_attribute(name):
        return Line(f"self.{name} = ", value, comment)
    return Line("", py.call(f"self.{otherwise}", name, value), comment)


def _given_names(graph: Graph) -> dict[Value, str]:
    """Return names for unnamed values: outputs are called by their names, candidates by their states.

    What a function returns is called as its first caller calls it.
    """
    given = {value: name for name, value in graph.outputs.items()}
    given |= {value: path.rpartition(".")[2] for path, value in graph.candidates.items()}
    for region in (graph.main, *(function.body for function in reversed(graph.functions.values()))):
        for op in region.walk():
            inner = graph.functions[op.attrs["callee"]].body if op.kind == "call" else None
            if inner is not None and len(op.results) > 1:
                for outside, inside in zip(op.results, inner.results, strict=True):
                    if outside.name or outside in given:
                        given.setdefault(inside, outside.name or given[outside])
    return {value: name for value, name in given.items() if name.isidentifier()}
