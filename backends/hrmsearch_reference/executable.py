"""The reference's Executable: parameters, passes, spans and updates, all in float64."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hrmsearch.errors import BackendError, RunError
from hrmsearch.ir import Graph, initial_params, keyed_params
from hrmsearch.ir.binding import carried
from hrmsearch.ir.checkpoint import ParamFiles, check_params
from hrmsearch.runtime import Carry, Options, Pass, Span, SpanResult, expand
from hrmsearch_reference.differences import directional, gradients
from hrmsearch_reference.interpreter import run_pass
from hrmsearch_reference.tape import NOTHING, Array, Cell, Tape, numpy_dtype
from hrmsearch_reference.training import Optimiser, average


class ReferenceExecutable(ParamFiles):
    """Interprets a graph on NumPy arrays in float64, whatever precision its options name.

    Dropout is the identity. Gradients are finite differences, six evaluations per parameter entry: for tiny shapes.
    """

    def __init__(self, graph: Graph, options: Options) -> None:
        self.graph = graph
        self.options = options
        self._expanded = expand(graph)
        self._declared = graph.params
        self._keyed = keyed_params(graph)
        self.init(0)

    # -- parameters --------------------------------------------------------------------------------------------------

    def init(self, seed: int) -> None:
        """Draw the parameters from `ir.initial_params` and forget the optimiser's state."""
        self._optimiser = Optimiser(self.options.training) if self.options.training else None
        self.set_params(initial_params(self.graph, seed))

    @property
    def params(self) -> dict[str, Array]:
        """A copy of the parameters."""
        return _copied(self._params)

    def set_params(self, params: Mapping[str, Array]) -> None:
        """Replace the parameters, from which the moving average starts afresh, and forget pending gradients.

        Raises RunError for other paths or shapes than the graph's.
        """
        checked = check_params(self.graph, {path: np.asarray(array) for path, array in params.items()})
        self._params = {path: array.astype(np.float64) for path, array in checked.items()}
        self._average = {path: array.copy() for path, array in self._params.items() if path not in self._keyed}
        self._pending: dict[str, Array] = {}
        self._keys: dict[str, set[int]] = {}

    def averaged(self) -> dict[str, Array]:
        """Return the exponential moving average of the parameters; the parameters themselves without one."""
        return _copied({**self._params, **self._average} if self._ema is not None else self._params)

    @property
    def _ema(self) -> float | None:
        return self.options.training.ema if self.options.training else None

    # -- carry -------------------------------------------------------------------------------------------------------

    def init_carry(self, batch: int, tokens: int) -> dict[str, Array]:
        """Return a carry of zeros; a first pass restores it by its reset."""
        types = {path: op.result.type for path, op in self.graph.states.items()}
        sizes = {"B": batch, "T": tokens}
        return {path: np.zeros(type_.shape(sizes), numpy_dtype(type_.dtype)) for path, type_ in types.items()}

    def carry_to_numpy(self, carry: Carry) -> dict[str, Array]:
        """Return a carry as NumPy arrays of its own."""
        return {path: np.array(array) for path, array in carry.items()}

    def carry_from_numpy(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Return a carry in the reference's number formats.

        Raises BackendError for a state that is missing.
        """
        states = carried(self.graph, arrays)
        return {path: np.array(arrays[path], numpy_dtype(op.result.type.dtype)) for path, op in states.items()}

    # -- evaluation --------------------------------------------------------------------------------------------------

    def forward(self, call: Pass, carry: Carry) -> tuple[dict[str, Array], Carry]:
        """Evaluate one pass: every output it has inputs for, and the committed carry.

        Raises BackendError for inputs or a carry that do not fit the graph.
        """
        params = {path: Cell(array) for path, array in self._params.items()}
        cells = run_pass(self._expanded, params, call, _cells(carry))
        return _arrays(cells.outputs), _arrays(cells.carry)

    def eval_step(self, call: Pass, carry: Carry) -> tuple[dict[str, Array], Carry]:
        """Evaluate one pass but return the outputs without an axis C only: losses and counts, not logits."""
        outputs, after = self.forward(call, carry)
        small = {name for name, value in self.graph.outputs.items() if "C" not in value.type.names}
        return {name: array for name, array in outputs.items() if name in small}, after

    # -- training ----------------------------------------------------------------------------------------------------

    def loss_and_grads(self, span: Span, carry: Carry) -> tuple[SpanResult, dict[str, Array]]:
        """Return the result of a span and the gradient of its summed loss; a parameter without a path is absent.

        A path is structural: it exists unless a `detach`, a free repeat or a whole reset cuts it, whatever its value.
        """
        tape, losses, params, after = self._record(span, carry)
        result = SpanResult([float(loss.array) for loss in losses], after, self._told)
        with np.errstate(all="ignore"):
            return result, gradients(tape, losses, params)

    def directional(self, span: Span, carry: Carry, direction: Mapping[str, Array]) -> float:
        """Return the derivative of a span's summed loss along a direction, arrays by parameter path.

        Six evaluations whatever the size, so it checks the gradients of larger models.
        """
        tape, losses, params, _ = self._record(span, carry)
        with np.errstate(all="ignore"):
            return directional(tape, losses, params, direction)

    def _record(self, span: Span, carry: Carry) -> tuple[Tape, list[Cell], dict[str, Cell], dict[str, Array]]:
        tape, losses, cells = Tape(), list[Cell](), _cells(carry)
        params = {path: Cell(array, self._own_reach(path)) for path, array in self._params.items()}
        told = self.options.training.told if self.options.training else ()
        self._told: list[dict[str, Array]] = []
        for call in span:
            result = run_pass(self._expanded, params, call, cells, tape)
            loss = result.outputs.get("loss")
            if loss is None or loss.array.ndim:
                raise BackendError("a span needs a graph with a scalar output `loss` and the inputs it depends on")
            losses.append(loss)
            self._told.append({name: np.array(result.outputs[name].array) for name in told})
            cells = result.carry
        return tape, losses, params, _arrays(cells)

    def _own_reach(self, path: str) -> frozenset[str]:
        frozen = self.options.training.frozen if self.options.training else NOTHING
        trains = self._declared[path].attrs.get("trainable", True) and path not in frozen
        return frozenset({path}) if trains else NOTHING

    def backward(self, span: Span, carry: Carry, weight: float = 1.0) -> SpanResult:
        """Run a span and add `weight` times its gradient to what the next update will use."""
        result, found = self.loss_and_grads(span, carry)
        for path, name in self._keyed.items():
            self._keys.setdefault(path, set()).update(int(key) for call in span for key in call.inputs[name])
        for path, gradient in found.items():
            self._pending[path] = self._pending.get(path, 0.0) + weight * gradient
        return result

    def update(self, lr: float) -> float:
        """Clip, apply the rule to every parameter that has a gradient, forget the gradients; return their norm.

        Raises BackendError if the graph was compiled without training options.
        """
        if self._optimiser is None:
            raise BackendError("compiled without training options: there is no rule to update by")
        dense = {path: gradient for path, gradient in self._pending.items() if path not in self._keyed}
        norm = self._optimiser.update(self._params, dense, lr)
        for path, keys in self._keys.items():
            if path in self._pending:
                self._optimiser.update_rows(self._params, path, self._pending[path], sorted(keys), lr)
        self._pending, self._keys = {}, {}
        if self._ema is not None:
            self._average = average(self._average, self._params, self._ema)
        return norm

    def train_step(self, span: Span, carry: Carry, lr: float) -> tuple[SpanResult, float]:
        """`backward` and `update` as one step; returns the result and the gradient norm."""
        return self.backward(span, carry), self.update(lr)

    # -- snapshots ---------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Array]:
        """Return all that training depends on: `param:`, `average:`, `pending:`, `keys:`, `slot:`, `steps:` by path."""
        named = {"param": self._params, "average": self._average, "pending": self._pending}
        taken = {f"{word}:{path}": array.copy() for word, arrays in named.items() for path, array in arrays.items()}
        taken |= {f"keys:{path}": np.array(sorted(keys), np.int64) for path, keys in self._keys.items()}
        return taken | (_copied(self._optimiser.snapshot()) if self._optimiser else {})

    def restore(self, snapshot: Mapping[str, Array]) -> None:
        """Continue from a snapshot, bit for bit.

        Raises RunError for a snapshot of another graph or rule.
        """
        self.set_params(_under("param:", snapshot))
        kept = check_params(self.graph, self._params | _under("average:", snapshot), "the snapshot's average")
        self._average = {path: kept[path] for path in self._average}
        self._keys = {path: set(map(int, keys)) for path, keys in _under("keys:", snapshot).items()}
        self._pending = _under("pending:", snapshot)
        if self._optimiser:
            self._optimiser.restore(snapshot)
        elif any(name.startswith("slot:") for name in snapshot):
            raise RunError("the snapshot holds an optimiser's state, but this was compiled without training options")


def _cells(carry: Mapping[str, Any]) -> dict[str, Cell]:
    return {path: Cell(np.asarray(array)) for path, array in carry.items()}


def _arrays(cells: Mapping[str, Cell]) -> dict[str, Array]:
    return {name: np.array(cell.array, order="C") for name, cell in cells.items()}


def _copied(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: array.copy() for name, array in arrays.items()}


def _under(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {n.removeprefix(prefix): array.copy() for n, array in arrays.items() if n.startswith(prefix)}
