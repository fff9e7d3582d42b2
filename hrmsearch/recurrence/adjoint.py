"""Reverse-mode differentiation of straight-line scalar operations: a step becomes the step of its gradient.

step:      carries, inputs -> new carries, outputs
pullback:  carries, inputs, saved, gradients of new carries and outputs -> gradients of carries and inputs
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from hrmsearch.errors import GraphError
from hrmsearch.ir.builder import Builder
from hrmsearch.ir.definition import OPS_ONLY
from hrmsearch.ir.graph import Graph, Nest, Op, Region, Value
from hrmsearch.ir.ops.elementwise import UNARY
from hrmsearch.ir.types import DType, Type

#: what is worth keeping from the step rather than computing twice
_DEAR = frozenset({*UNARY, "div"} - {"neg", "abs", "sign"})
_REAL = Type(DType.COMPUTE)


@dataclass(frozen=True, slots=True)
class Pullback:
    """The gradient of a region over scalars.

    region: (args, saved, gradients of the results) -> gradients of the args; arguments that are no real numbers have
    none. saved: values of the original region that the pullback wants handed over.
    """

    region: Region
    saved: tuple[Value, ...]
    inputs: tuple[Value, ...]


def needed(ops: Sequence[Op], results: Sequence[Value]) -> tuple[list[Op], set[Value]]:
    """Return the ops of a straight line that some results depend on, and every value those read."""
    used = set(results)
    kept: list[Op] = []
    for op in reversed(ops):
        if op.result in used:
            used.update(op.operands)
            kept.append(op)
    return kept[::-1], used


def pullback(region: Region, at_hand: Collection[Value] = ()) -> Pullback:
    """Return a region's gradient.

    at_hand: values of the region that cost nothing to hand over; beyond them only what is dear to compute is saved.
    Raises GraphError for an op that has no derivative rule.
    """
    return _Reverse(region, at_hand).pullback()


@dataclass(frozen=True, slots=True)
class Jacobian:
    """The derivative of each next carry in each carry.

    region: (args, saved) -> the entries that are not zero. entries: by (next carry, carry), positions among results.
    saved: values of the step that it wants handed over. affine: whether no entry depends on a carry, so that a stretch
    of steps is one affine map of the carries.
    """

    region: Region
    entries: Mapping[tuple[int, int], int]
    saved: tuple[Value, ...]
    affine: bool


def jacobian(step: Region, carries: int) -> Jacobian:
    """Return the derivative of a step's first results, its next carries, in its first arguments, the carries."""
    reverse = _Reverse(step, ())
    found: dict[tuple[int, int], Value] = {}
    for i, value in enumerate(step.results[:carries]):
        gradients = reverse.gradients({value: reverse.b.full(1.0, _REAL)})
        found |= {(i, j): gradients[arg] for j, arg in enumerate(step.args[:carries]) if arg in gradients}
    region, saved = reverse.finished(list(found.values()), [])
    entries = {at: k for k, at in enumerate(found)}
    return Jacobian(region, entries, saved, not _depends(step, region, saved, carries))


def _depends(step: Region, region: Region, saved: Sequence[Value], carries: int) -> bool:
    """Return whether a region over a step's values, some saved, depends on the step's carries."""
    touched = set(step.args[:carries])
    for op in step.ops:
        if not touched.isdisjoint(op.operands):
            touched.add(op.result)
    _, read = needed(region.ops, region.results)
    inside = region.args[:carries]
    later = dict(zip(region.args[len(step.args) :], saved, strict=True))
    return any(arg in read for arg in inside) or any(arg in read and old in touched for arg, old in later.items())


class _Reverse:
    def __init__(self, region: Region, at_hand: Collection[Value]) -> None:
        self.source = region
        self._at_hand = set(at_hand)
        self.b = Builder(Graph("", Nest()), OPS_ONLY)
        self._made = {value: op for op in region.ops for value in op.results}
        self._primal = {arg: Value(arg.type, arg.name, self.b) for arg in region.args}
        self._saved: dict[Value, Value] = {}

    def pullback(self) -> Pullback:
        given = [Value(value.type, f"d_{value.name}", self.b) for value in self.source.results]
        seeds: dict[Value, Value] = {}
        for value, gradient in zip(self.source.results, given, strict=True):
            self._add(seeds, value, gradient)
        gradients = self.gradients(seeds)
        inputs = [arg for arg in self.source.args if arg.type == _REAL]
        results = [gradients[arg] if arg in gradients else self.b.full(0.0, _REAL) for arg in inputs]
        region, saved = self.finished(results, given)
        return Pullback(region, saved, tuple(inputs))

    def gradients(self, seeds: dict[Value, Value]) -> dict[Value, Value]:
        """Return the gradient of every value that has one, from those of the results."""
        gradients = dict(seeds)
        for op in reversed(self.source.ops):
            if op.result in gradients:
                self._step(op, gradients)
        return gradients

    def finished(self, results: list[Value], given: Sequence[Value]) -> tuple[Region, tuple[Value, ...]]:
        """Return a region of what some results need, and the values of the source that it wants handed over."""
        ops, used = needed(self.b.region.ops, results)
        saved = {value: new for value, new in self._saved.items() if new in used}
        args = [*(self._primal[arg] for arg in self.source.args), *saved.values(), *given]
        return Region(args, ops, results), tuple(saved)

    def _step(self, op: Op, gradients: dict[Value, Value]) -> None:
        if op.kind in _CONSTANT:
            return
        if op.kind not in _RULES:
            raise GraphError(f"{op.kind} has no derivative rule")
        found = _RULES[op.kind](self, op, gradients[op.result])
        for value, gradient in zip(op.operands, found, strict=True):
            if gradient is not None and not self.is_number(value):
                self._add(gradients, value, gradient)

    def _add(self, gradients: dict[Value, Value], value: Value, gradient: Value) -> None:
        known = gradients.get(value)
        gradients[value] = gradient if known is None else known + gradient

    def is_number(self, value: Value) -> bool:
        """Return whether a value is a constant, which needs no gradient."""
        return value in self._made and self._made[value].kind == "const"

    def at(self, value: Value) -> Value:
        """Return a value of the step: an argument, a saved one, or computed again."""
        if value in self._primal:
            return self._primal[value]
        op = self._made[value]
        if op.kind in _DEAR or value in self._at_hand:
            self._primal[value] = self._saved[value] = Value(value.type, value.name, self.b)
        else:
            again = Op(op.kind, tuple(self.at(operand) for operand in op.operands), dict(op.attrs))
            self._primal[value] = self.b.append(again, type=value.type if op.kind == "const" else None).result
        return self._primal[value]


Gradients = Sequence[Value | None]
_Rule = Callable[[_Reverse, Op, Value], Gradients]
_CONSTANT = frozenset({"const", "detach", "sign", "less", "equal", "and", "or", "not"})


def _unary(form: Callable[[Builder, Value, Value], Value], *, of_result: bool = False) -> _Rule:
    """Return the rule of a function of one operand, from (builder, gradient, operand or result)."""
    return lambda r, op, g: [form(r.b, g, r.at(op.result if of_result else op.operands[0]))]


def _mul(r: _Reverse, op: Op, g: Value) -> Gradients:
    left, right = op.operands
    return [g * r.at(right), g * r.at(left)]


def _div(r: _Reverse, op: Op, g: Value) -> Gradients:
    part = g / r.at(op.operands[1])
    return [part, -(part * r.at(op.result))]


def _extreme(r: _Reverse, op: Op, g: Value) -> Gradients:
    """All to the larger (or smaller) one; of equal ones a number leaves all to its partner, else each takes half."""
    left, right = op.operands
    x, y = r.at(left), r.at(right)
    ahead, behind = (y, x), (x, y)
    if op.kind == "minimum":
        ahead, behind = behind, ahead
    wins, loses = r.b.op("less", *ahead), r.b.op("less", *behind)
    share = 1.0 if r.is_number(right) else 0.0 if r.is_number(left) else 0.5
    return [
        r.b.where(wins, g, r.b.where(loses, 0.0, g * share)),
        r.b.where(loses, g, r.b.where(wins, 0.0, g * (1.0 - share))),
    ]


def _where(r: _Reverse, op: Op, g: Value) -> Gradients:
    condition = r.at(op.operands[0])
    return [None, r.b.where(condition, g, 0.0), r.b.where(condition, 0.0, g)]


_RULES: Mapping[str, _Rule] = {
    "add": lambda r, op, g: [g, g],
    "sub": lambda r, op, g: [g, -g],
    "mul": _mul,
    "div": _div,
    "neg": lambda r, op, g: [-g],
    "exp": _unary(lambda b, g, y: g * y, of_result=True),
    "expm1": _unary(lambda b, g, y: g * (y + 1.0), of_result=True),
    "log": _unary(lambda b, g, x: g / x),
    "log1p": _unary(lambda b, g, x: g / (1.0 + x)),
    "sqrt": _unary(lambda b, g, y: 0.5 * g / y, of_result=True),
    "rsqrt": _unary(lambda b, g, y: -0.5 * g * y * y * y, of_result=True),
    "sin": _unary(lambda b, g, x: g * b.op("cos", x)),
    "cos": _unary(lambda b, g, x: -(g * b.op("sin", x))),
    "tanh": _unary(lambda b, g, y: g * (1.0 - y * y), of_result=True),
    "atan": _unary(lambda b, g, x: g / (1.0 + x * x)),
    "sigmoid": _unary(lambda b, g, y: g * y * (1.0 - y), of_result=True),
    "softplus": _unary(lambda b, g, x: g * b.sigmoid(x)),
    "erf": _unary(lambda b, g, x: 2.0 / math.sqrt(math.pi) * g * b.exp(-(x * x))),
    "abs": _unary(lambda b, g, x: g * b.op("sign", x)),
    "maximum": _extreme,
    "minimum": _extreme,
    "where": _where,
}
