"""PyTorch's dialect: modules, parameters, buffers, and tensors made from nothing."""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from hrmsearch.emission import Dialect, Scope
from hrmsearch.emission import syntax as py
from hrmsearch.emission.dialect import Helper
from hrmsearch.emission.layout import Line
from hrmsearch.emission.scope import shape
from hrmsearch.emission.syntax import Expr
from hrmsearch.ir.graph import Op
from hrmsearch.ir.types import DType, Type
from hrmsearch_torch.helpers import HELPERS
from hrmsearch_torch.kinds import INTEGERS, KINDS, table_in_float64


class Torch(Dialect):
    """What a good engineer writes with torch alone."""

    framework = "torch"
    kinds = KINDS
    helpers = HELPERS
    reserved = frozenset({"self", "torch", "nn", "F", "Tensor", "float", "range", "zip", "PASS", "WINDOW", "STREAM"})
    own_names = frozenset(dir(nn.Module()))
    bases = "(nn.Module)"
    constructor = ("super().__init__()",)
    forward = "forward"
    free = "with torch.no_grad()"
    selective = "on_open"
    weights = "`state_dict()` holds the weights by their paths."

    def head(self, body: str) -> list[str]:
        """Return the imports that the rest needs."""
        imports = ["import torch"] if "torch." in body else []
        imports = (["from collections.abc import Callable", ""] if "Callable[" in body else []) + imports
        imports += ["import torch.nn.functional as F"] if "F." in body else []
        # torch gives what a ModuleDict holds no type but Module
        relaxed = ["", "# pyright: reportIndexIssue=false"] if '"][' in body else []
        return [*relaxed, "", *imports, "from torch import Tensor, nn"]

    # -- modules -----------------------------------------------------------------------------------------------------

    def parameter(self, op: Op, helper: Helper) -> Expr:
        """Return `nn.Parameter(drawn)`."""
        value = _initial(op.attrs["init"], [size.known for size in op.result.type.sizes], helper)
        frozen = {} if op.attrs["trainable"] else {"requires_grad": False}
        return py.call("nn.Parameter", value, **frozen)

    def container(self, params: Mapping[str, Expr], children: Mapping[str, Expr]) -> Expr | None:
        """Return a dict of parameters or of modules; no container of torch holds both."""
        if params and children:
            return None
        return py.call("nn.ParameterDict" if params else "nn.ModuleDict", py.mapping({**params, **children}))

    def listing(self, children: Sequence[Expr]) -> Expr:
        """Return a list of modules."""
        return py.call("nn.ModuleList", list(children))

    def attach(self, name: str, value: Expr, *, leaf: bool) -> Expr:
        """Return `self.register_parameter(name, value)`, or add_module."""
        return py.call("self.register_parameter" if leaf else "self.add_module", name, value)

    def reach(self, module: Expr, name: str, *, leaf: bool) -> Expr:
        """Return `module.get_parameter(name)`, or get_submodule."""
        return py.method(module, "get_parameter" if leaf else "get_submodule", name)

    def buffers(self, tables: Mapping[str, Op], helper: Helper) -> tuple[list[Line], list[Line]]:
        """Return the annotations of buffers and their registrations; they are no part of the weights."""
        made = {
            name: py.call("self.register_buffer", name, _made(op, helper), persistent=False)
            for name, op in tables.items()
        }
        shapes = {name: shape(op.result.type) for name, op in tables.items()}
        return (
            [Line(f"{name}: Tensor", comment=shapes[name]) for name in tables],
            [Line("", value, shapes[name]) for name, value in made.items()],
        )

    # -- expressions -------------------------------------------------------------------------------------------------

    def table(self, scope: Scope, op: Op) -> Expr:
        """Return a buffer, or a table built where the tensors at hand are."""
        type_ = op.result.type
        if all(size.known is not None for size in type_.sizes):
            return scope.buffer(op)
        like = scope.like(DType.COMPUTE) or scope.like(DType.I32)
        place = {} if like is None else {"device": py.attr(like, "device")}
        if not type_.dtype.is_float:
            return py.call("torch.arange", scope.size(type_.sizes[0]), dtype=py.ref(INTEGERS[type_.dtype]), **place)
        floats = scope.like(DType.COMPUTE)
        dtype = py.attr(floats, "dtype") if floats is not None else py.call("torch.get_default_dtype")
        table = table_in_float64(op, [scope.size(size) for size in type_.sizes], scope.helper)
        return py.method(table, "to", **place, dtype=dtype)

    def full(self, scope: Scope, type_: Type, value: Expr) -> Expr:
        """Return `x.new_full(sizes, value)` with a tensor at hand, else torch.full."""
        sizes = [scope.size(size) for size in type_.sizes]
        number = value.value if isinstance(value, ast.Constant) else None
        if type_.dtype.is_float:
            like = scope.like(DType.COMPUTE)
            if like is None and (like := scope.like(DType.WIDE)) is None:
                return py.call("torch.full", tuple(sizes), value)
            named = {0.0: "new_zeros", 1.0: "new_ones"}.get(number) if isinstance(number, float) and sizes else None
            full = py.method(like, named, *sizes) if named else py.method(like, "new_full", tuple(sizes), value)
            return py.call(scope.helper("wide"), full) if type_.dtype == DType.WIDE else full
        keywords: dict[str, Expr] = {"dtype": py.ref(INTEGERS[type_.dtype])}
        like = scope.like(DType.COMPUTE) or scope.like(DType.I32)
        if like is not None and sizes:
            keywords["device"] = py.attr(like, "device")
        return py.call("torch.full", tuple(sizes), value, **keywords)

    def flipped(self, value: Expr) -> Expr:
        """Return `value.mT`."""
        return py.attr(value, "mT")

    def slices(self, scope: Scope, value: Expr, at: int) -> Expr:
        """Return `value.unbind(at)`."""
        del scope
        return py.method(value, "unbind", at)

    def stack(self, parts: Expr, at: int) -> Expr:
        """Return `torch.stack(parts, at)`."""
        return py.call("torch.stack", parts, at)


def _made(op: Op, helper: Helper) -> Expr:
    """Return a table of known sizes, in torch's default float type, or in at least float32."""
    type_ = op.result.type
    sizes = [py.lift(size.known) for size in type_.sizes]
    if type_.dtype.is_float:
        made = py.method(table_in_float64(op, sizes, helper), "to", py.call("torch.get_default_dtype"))
        return py.call(helper("wide"), made) if type_.dtype == DType.WIDE else made
    return py.call("torch.arange", *sizes, dtype=py.ref(INTEGERS[type_.dtype]))


def _initial(rule: Any, sizes: list[int | None], helper: Helper) -> Expr:
    """Return the drawing of a parameter under its rule."""
    if isinstance(rule, str):
        return py.call(f"torch.{rule}", *sizes) if sizes else py.call(f"torch.{rule}", ())
    ((name, value),) = rule.items()
    if name == "constant":
        return py.call("torch.full", tuple(sizes), float(value))
    if name == "normal":
        return py.binary(py.call("torch.randn", *sizes) if sizes else py.call("torch.randn", ()), "*", float(value))
    if name == "trunc_normal":
        return py.call(helper("trunc_normal"), *sizes, std=float(value))
    if name in ("values", "linspace"):
        numbers = [float(number) for number in value]
        row = py.call("torch.tensor", numbers) if name == "values" else py.call("torch.linspace", *numbers, sizes[-1])
        return row if len(sizes) == 1 else py.call("torch.tile", row, (*sizes[:-1], 1))
    return py.method(py.call("torch.empty", tuple(sizes)), "uniform_", *map(float, value))
