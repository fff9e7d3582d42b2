"""What an optimiser is: a part that defines an update rule over IR values."""

from abc import abstractmethod
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat

from hrmsearch.ir import Builder, Context, DType, Graph, Nest, Region, Type, Value
from hrmsearch.ir.rule import SCALARS, Rule
from hrmsearch.spec.registry import Kind


class Optimizer(Kind, family="optimizer"):
    """An update rule and its numbers. no_decay: patterns of parameter paths without weight decay, such as `*.gain`."""

    lr: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.0
    no_decay: Annotated[tuple[str, ...], Field()] = ()

    @property
    @abstractmethod
    def hyper(self) -> dict[str, float]:
        """The rule's numbers, by the names a backend knows."""

    @property
    @abstractmethod
    def slots(self) -> tuple[str, ...]:
        """The names of the values the rule keeps for each parameter; they start at zero."""

    @abstractmethod
    def update(
        self, b: Builder, param: Value, grad: Value, slots: tuple[Value, ...], lr: Value, decay: Value, step: Value
    ) -> tuple[Value, ...]:
        """Return the new parameter and the new slots, elementwise; `step` counts from 1."""

    def rule(self) -> Rule:
        """Return the update as one function over rank-0 values."""
        b = Builder(Graph(self.kind, Nest()), Context(1, 1, 1), place="train.optimizer")
        names = ("param", "grad", *self.slots, *SCALARS)
        b.region.args = [Value(Type(DType.WIDE), name, b) for name in names]
        param, grad, *rest = b.region.args
        n = len(self.slots)
        b.region.results = list(self.update(b, param, grad, tuple(rest[:n]), *rest[n:]))
        return Rule(self.kind, self.hyper, self.slots, Region(b.region.args, b.region.ops, b.region.results))

    def decays(self, paths: Iterable[str]) -> dict[str, float]:
        """Return each parameter's weight decay."""
        spared = {path for path in paths for pattern in self.no_decay if fnmatchcase(path, pattern)}
        return {path: 0.0 if path in spared else self.weight_decay for path in paths}
