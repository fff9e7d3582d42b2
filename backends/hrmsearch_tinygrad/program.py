"""A graph's emitted module and its parameters, as lazy computations: nothing runs and no device is opened here."""

# tinygrad's own annotations are partial
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tinygrad.dtype import DType as Format
from tinygrad.dtype import dtypes
from tinygrad.helpers import Context
from tinygrad.mixin.gradient import compute_gradient
from tinygrad.nn.state import get_state_dict
from tinygrad.tensor import Tensor

from hrmsearch.emission import load_source
from hrmsearch.errors import BackendError
from hrmsearch.ir.graph import Graph
from hrmsearch.ir.types import DType, Type
from hrmsearch.runtime import Precision
from hrmsearch_tinygrad.arrays import Tensors, have_memory
from hrmsearch_tinygrad.devices import DTYPES, as_default
from hrmsearch_tinygrad.emit import emit
from hrmsearch_tinygrad.randomness import drawing_from

_INTEGERS = {DType.I32: dtypes.int32, DType.I8: dtypes.int8, DType.BOOL: dtypes.bool}


@dataclass(frozen=True, slots=True)
class Call:
    """A pass without its arrays: what a captured step is made for.

    inputs: names, each with the place of its tensor in a list of tensors. reset: one level for all rows, or None.
    rows: the place of the levels by row, where that is so.
    """

    inputs: tuple[tuple[str, int], ...]
    reset: int | None
    rows: int | None
    last: bool


class Program:
    """The module that a graph's emitted source defines, and its parameters by path.

    kept: the number format of parameters and carries. Under bfloat16 that is float32, and the module computes with
    bfloat16 copies, which the gradient goes through. trained: the parameters that are trained, `frozen` ones left out.
    """

    def __init__(self, graph: Graph, precision: Precision, device: str, frozen: Collection[str] = ()) -> None:
        self.graph = graph
        self.source = emit(graph)
        self._device = device
        self.kept: Format = DTYPES[precision]
        self._compute: Format = dtypes.bfloat16 if precision == "bfloat16" else self.kept
        with self.here(), drawing_from({}, {}):
            # a module keeps its tables, so one whose tables have no memory is a module of its own
            setting = f"tinygrad {device} {precision}" + ("" if have_memory() else ", without memory")
            self._model: Any = load_source(self.source, graph.name, setting).Model()
            held: Tensors = get_state_dict(self._model)
            self.params = {path: self._parameter(held[path]) for path in graph.params}
        moving = [path for path in self.params if held[path].is_param and path not in frozen]
        self.trained = {path: self.params[path] for path in moving}

    @contextmanager
    def here(self) -> Generator[None]:
        """Make tensors on the program's device, and real numbers in its number format."""
        with as_default(self._device), Context(DEFAULT_FLOAT=self.kept.name, TRAINING=0):
            yield

    def _parameter(self, held: Tensor) -> Tensor:
        """Return a parameter without values, which the module sees in the format that it computes in."""
        kept = Tensor.empty(*held.shape, dtype=self.kept)
        held.replace(kept.cast(self._compute))
        return kept

    def format(self, type_: Type) -> Format:
        """Return the number format in which values of a type enter, are carried and leave."""
        return _INTEGERS.get(type_.dtype, self.kept)

    # -- computations ------------------------------------------------------------------------------------------------

    def call(self, call: Call, inputs: Sequence[Tensor], carry: Tensors) -> tuple[Tensors, Tensors]:
        """Return the outputs of a pass and the committed carry."""
        declared = self.graph.inputs
        given = {name: self._entering(inputs[at], declared[name].type) for name, at in call.inputs}
        reset = call.reset if call.rows is None else inputs[call.rows]
        return self._model(**given, state=carry, reset=reset, last=call.last)

    def span(
        self, calls: Sequence[Call], inputs: Sequence[Tensor], carry: Tensors, asked: Sequence[str] = ()
    ) -> tuple[list[Tensor], Tensors, list[Tensor]]:
        """Return the losses of a span's passes, the carry after it, and every pass's outputs that are asked for.

        The carry is not detached between passes.
        """
        losses, told = list[Tensor](), list[Tensor]()
        carry = self.entering(carry)
        for call in calls:
            outputs, carry = self.call(call, inputs, carry)
            if "loss" not in outputs or outputs["loss"].ndim:
                raise BackendError("a span needs a graph with a scalar output `loss` and the inputs it depends on")
            losses.append(outputs["loss"])
            told += [outputs[name] for name in asked]
        return losses, carry, told

    def entering(self, carry: Mapping[str, Tensor]) -> Tensors:
        """Return a carry in the formats that a pass computes in."""
        states = self.graph.states
        return {path: self._entering(value, states[path].result.type) for path, value in carry.items()}

    def _entering(self, value: Tensor, type_: Type) -> Tensor:
        return value.cast(self._compute) if type_.dtype == DType.COMPUTE else value

    def leaving(self, carry: Tensors, after: Sequence[Tensor]) -> list[Tensor]:
        """Return a carry in the formats in which it is kept, about to be written to the memory of `after`."""
        return [out.assign(carry[path].cast(out.dtype)) for path, out in zip(self.graph.states, after, strict=True)]

    def gradients(self, losses: Sequence[Tensor]) -> Tensors:
        """Return the gradient of summed losses by path; a parameter that no path reaches is absent."""
        total = sum(losses[1:], losses[0])
        targets = {param.uop: path for path, param in self.trained.items()}
        found = compute_gradient(total.uop, total.const_like(1.0).uop, set(targets))
        return {path: Tensor(found[uop]).cast(self.kept) for uop, path in targets.items() if uop in found}
