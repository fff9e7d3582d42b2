"""tinygrad's dialect: plain classes, parameters as their attributes, constants that need no buffer."""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from hrmsearch.emission import Dialect, Scope
from hrmsearch.emission import syntax as py
from hrmsearch.emission.dialect import Helper
from hrmsearch.emission.syntax import Expr
from hrmsearch.ir.graph import Op
from hrmsearch.ir.types import Type
from hrmsearch_tinygrad.helpers import HELPERS
from hrmsearch_tinygrad.kinds import KINDS, dtype_of


class Tinygrad(Dialect):
    """What a good engineer writes with tinygrad alone."""

    framework = "tinygrad"
    kinds = KINDS
    helpers = HELPERS
    reserved = frozenset(
        {
            "self",
            "Tensor",
            "DType",
            "dtypes",
            "functools",
            "math",
            "Callable",
            "float",
            "range",
            "zip",
            "PASS",
            "WINDOW",
            "STREAM",
        }
    )
    own_names = frozenset(dir(object))
    bases = ""
    constructor = ()
    forward = "__call__"
    free = ""
    weights = "`nn.state.get_state_dict(model)` holds the weights by their\npaths."

    def head(self, body: str) -> list[str]:
        """Return the imports that the rest needs."""
        standard = [f"import {name}" for name in ("functools", "math") if f"{name}." in body]
        standard += ["from collections.abc import Callable"] if "Callable[" in body else []
        names = "Tensor, dtypes" if "dtypes." in body else "Tensor"
        types = ["from tinygrad.dtype import DType"] if ": DType" in body else []
        return ["", *standard, *([""] if standard else []), f"from tinygrad import {names}", *types]

    # -- modules -----------------------------------------------------------------------------------------------------

    def parameter(self, op: Op, helper: Helper) -> Expr:
        """Return what is drawn, marked where it is not to be trained."""
        value = _initial(op.attrs["init"], [size.known for size in op.result.type.sizes], helper)
        return value if op.attrs["trainable"] else py.method(value, "is_param_", False)

    def container(self, params: Mapping[str, Expr], children: Mapping[str, Expr]) -> Expr | None:
        """Return a dict."""
        return py.mapping({**params, **children})

    def listing(self, children: Sequence[Expr]) -> Expr:
        """Return a list."""
        return py.lift(list(children))

    def attach(self, name: str, value: Expr, *, leaf: bool) -> Expr:
        """Return `setattr(self, name, value)`."""
        del leaf
        return py.call("setattr", py.ref("self"), name, value)

    def reach(self, module: Expr, name: str, *, leaf: bool) -> Expr:
        """Return `getattr(module, name)`."""
        del leaf
        return py.call("getattr", module, name)

    # -- expressions -------------------------------------------------------------------------------------------------

    def table(self, scope: Scope, op: Op) -> Expr:
        """Return numbers counted on the fly, or a table that is made once for its sizes."""
        type_ = op.result.type
        sizes = [scope.size(size) for size in type_.sizes]
        if op.attrs["rule"] == "iota":
            return py.call("Tensor.arange", *sizes, dtype=dtype_of(scope, type_.dtype))
        base = float(op.attrs["base"])
        return py.call(scope.helper(op.attrs["rule"]), *sizes, base, dtype_of(scope, type_.dtype))

    def full(self, scope: Scope, type_: Type, value: Expr) -> Expr:
        """Return a constant that takes no memory."""
        sizes = [scope.size(size) for size in type_.sizes]
        number = value.value if isinstance(value, ast.Constant) else None
        named = {0.0: "Tensor.zeros", 1.0: "Tensor.ones"}.get(number) if isinstance(number, float) and sizes else None
        shape = sizes if named else [tuple(sizes), value]
        return py.call(named or "Tensor.full", *shape, dtype=dtype_of(scope, type_.dtype), buffer=False)

    def flipped(self, value: Expr) -> Expr:
        """Return `value.transpose(-2, -1)`."""
        return py.method(value, "transpose", -2, -1)

    def slices(self, scope: Scope, value: Expr, at: int) -> Expr:
        """Return `unbind(value, at)`."""
        return py.call(scope.helper("unbind"), value, at)

    def renewed(self, value: Expr) -> Expr:
        """Return `value.contiguous()`, which gives every step of a recurrence kernels of its own.

        Otherwise a kernel holds many steps. With the gradient of an sLSTM, 16 steps then compile in 73 s, not 25 s, and
        32 not in five minutes. A scan stays slow: kernels and time to compile grow with its steps (32 take 41 s), for
        each step reads another slice, and that is another kernel.
        """
        return py.method(value, "contiguous")

    def stack(self, parts: Expr, at: int) -> Expr:
        """Return `Tensor.stack(*parts, dim=at)`."""
        return py.call("Tensor.stack", ast.Starred(parts, ast.Load()), dim=at)


def _initial(rule: Any, sizes: list[int | None], helper: Helper) -> Expr:
    """Return the drawing of a parameter under its rule."""
    shape = sizes or [()]
    if isinstance(rule, str):
        return py.call(f"Tensor.{rule}", *shape)
    ((name, value),) = rule.items()
    if name == "constant":
        return py.call("Tensor.full", tuple(sizes), float(value), dtype=py.ref("dtypes.default_float"))
    if name == "normal":
        return py.binary(py.call("Tensor.randn", *shape), "*", float(value))
    if name == "trunc_normal":
        return py.call(helper("trunc_normal"), *sizes, std=float(value))
    if name == "values":
        return py.call(helper("tiled"), [float(number) for number in value], *sizes[:-1])
    if name == "linspace":
        row = py.call("Tensor.linspace", *map(float, value), sizes[-1])
        return py.method(row, "expand", *sizes[:-1], -1) if len(sizes) > 1 else row
    low, high = map(float, value)
    return py.call("Tensor.uniform", *shape, low=low, high=high)
