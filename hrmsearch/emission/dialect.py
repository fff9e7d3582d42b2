"""What a framework's Python looks like where frameworks differ; everything else the emitter writes by itself."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Protocol

from hrmsearch.emission.layout import Line
from hrmsearch.emission.syntax import Expr
from hrmsearch.ir.graph import Op, Value
from hrmsearch.ir.types import DType, Size, Type

#: names a function of the emitted file's head, which the file then has
Helper = Callable[[str], Expr]


class Scope(Protocol):
    """What a kind may ask of the function around it."""

    @property
    def dialect(self) -> "Dialect":
        """The dialect that the file is written in."""
        ...

    def size(self, size: Size) -> Expr:
        """Return the expression of an axis size."""
        ...

    def like(self, dtype: DType) -> Expr | None:
        """Return a tensor at hand of a dtype, for its dtype and device."""
        ...

    def helper(self, name: str) -> Expr:
        """Return a function of the emitted file's head."""
        ...

    def buffer(self, op: Op) -> Expr:
        """Return the attribute that holds a constant table."""
        ...

    def reduced(self, value: Value) -> Op | None:
        """Return the reduction that an operand is, while it is written in place."""
        ...


#: writes an op: from the expressions of its operands to its own, which is a tuple where the op has several results
Kind = Callable[[Scope, Op, Sequence[Expr]], Expr]


class Dialect(ABC):
    """The Python of one framework.

    framework: its name, for errors. kinds: how each op kind is written. helpers: functions for the head of a file, in
    the order in which they are printed, each of which may call earlier ones; `restore` is one. reserved: names that
    emitted functions read and must not bind. own_names: attributes that every module has. bases: what stands after a
    class's name. constructor: the first lines of a constructor. forward: the method that runs when a module is called.
    free: the first line of a block without gradient, empty where the framework has none and what a free body changes is
    detached instead. selective: the helper that runs a function on open positions only (see `ir.tokenwise`), empty
    where a framework runs it on all. weights: the sentence of the docstring that says how to reach the weights.
    """

    framework: ClassVar[str]
    kinds: ClassVar[Mapping[str, Kind]]
    helpers: ClassVar[Mapping[str, str]]
    reserved: ClassVar[frozenset[str]]
    own_names: ClassVar[frozenset[str]]
    bases: ClassVar[str]
    constructor: ClassVar[Sequence[str]]
    forward: ClassVar[str]
    free: ClassVar[str]
    selective: ClassVar[str] = ""
    weights: ClassVar[str]

    @abstractmethod
    def head(self, body: str) -> list[str]:
        """Return the lines between the docstring and the rest of a file: what the rest needs imported."""

    # -- modules -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def parameter(self, op: Op, helper: Helper) -> Expr:
        """Return the expression that makes a parameter and draws its initial value."""

    @abstractmethod
    def container(self, params: Mapping[str, Expr], children: Mapping[str, Expr]) -> Expr | None:
        """Return a mapping that holds parameters and modules by name, None where one cannot hold both."""

    @abstractmethod
    def listing(self, children: Sequence[Expr]) -> Expr:
        """Return a list of modules."""

    @abstractmethod
    def attach(self, name: str, value: Expr, *, leaf: bool) -> Expr:
        """Return the statement that gives a module an attribute whose name cannot be written after a dot."""

    @abstractmethod
    def reach(self, module: Expr, name: str, *, leaf: bool) -> Expr:
        """Return the attribute of a module whose name cannot be written after a dot."""

    def buffers(self, tables: Mapping[str, Op], helper: Helper) -> tuple[list[Line], list[Line]]:
        """Return what a class declares, and what its constructor makes, of the constant tables that it holds."""
        del tables, helper
        return [], []

    # -- expressions -------------------------------------------------------------------------------------------------

    @abstractmethod
    def table(self, scope: Scope, op: Op) -> Expr:
        """Return a constant table, which may be a buffer of the class where its sizes are known."""

    @abstractmethod
    def full(self, scope: Scope, type_: Type, value: Expr) -> Expr:
        """Return a tensor of one repeated number."""

    @abstractmethod
    def flipped(self, value: Expr) -> Expr:
        """Return a tensor with its last two axes exchanged."""

    @abstractmethod
    def slices(self, scope: Scope, value: Expr, at: int) -> Expr:
        """Return what a loop runs over to see a tensor's slices along an axis."""

    def renewed(self, value: Expr) -> Expr:
        """Return the next value of a recurrence's carry as it is assigned."""
        return value

    @abstractmethod
    def stack(self, parts: Expr, at: int) -> Expr:
        """Return the tensors of a list as one, along a new axis."""
