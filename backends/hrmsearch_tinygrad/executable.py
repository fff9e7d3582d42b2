"""Runs the emitted source: passes, spans with gradient, and updates, with tinygrad.

Every step is captured by TinyJit, once for each structure: shapes, which states a reset restores, which passes are the
last of their window. A structure is compiled when it is first met, which takes seconds to minutes; then it is replayed.
"""

# tinygrad's own annotations are partial
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Generator, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import cast

import numpy as np
from tinygrad.helpers import Context
from tinygrad.tensor import Tensor

from hrmsearch.errors import BackendError
from hrmsearch.ir.binding import carried
from hrmsearch.ir.checkpoint import ParamFiles, below, check_params
from hrmsearch.ir.graph import Graph, keyed_params
from hrmsearch.ir.init import initial_params
from hrmsearch.runtime import Carry, Options, Pass, Span, SpanResult
from hrmsearch_tinygrad.arrays import Array, Tensors, empty, owned, put, realize, tensor, to_numpy
from hrmsearch_tinygrad.devices import pick
from hrmsearch_tinygrad.optimizer import Optimizer
from hrmsearch_tinygrad.pending import Pending
from hrmsearch_tinygrad.program import Program
from hrmsearch_tinygrad.randomness import Randomness
from hrmsearch_tinygrad.replay import Replay
from hrmsearch_tinygrad.spans import by_path, lay


class TinygradExecutable(ParamFiles):
    """A graph as the tinygrad module that its emitted source defines.

    source: the emitted file. program: the module and its parameters. device: by default what `pick` makes of the one
    in the options. replay: what runs the steps.
    """

    def __init__(self, graph: Graph, options: Options, device: str = "", replay: Replay | None = None) -> None:
        self.graph = graph
        self.options = options
        self.device = device or pick(options.device, options.dtype)
        frozen = options.training.frozen if options.training else ()
        self.program = Program(graph, options.dtype, self.device, frozen)
        self.source = self.program.source
        self._replay = replay or Replay(options.capture)
        self._reached: dict[Hashable, set[str]] = {}
        with self._here():
            drops = any(op.kind == "dropout" for region in graph.regions() for op in region.walk())
            self._random = Randomness(self.device) if drops else None
            self._keyed = {p: name for p, name in keyed_params(graph).items() if p in self.program.trained}
            self._pending = Pending(self.program.trained, self._keyed)
            training = options.training
            self._optimizer = Optimizer(training, self.program.trained, self._keyed) if training else None
            averaged = self.program.params if self._ema is not None else {}
            self._average = {p: empty(v.shape, v.dtype) for p, v in averaged.items() if p not in self._keyed}
        self.init(0)

    @contextmanager
    def _here(self) -> Generator[None]:
        with self.program.here(), self._effort():
            yield

    def _effort(self) -> AbstractContextManager[None]:
        """Return what tinygrad is to do to compile well, or soon."""
        if self.options.optimize:  # times variants of every kernel, which takes minutes
            return Context(BEAM=2)
        # kernels as they are scheduled; those of tiny shapes compile sooner here than they reach other processes
        return Context(NOOPT=1, PARALLEL=0) if self.options.brief else nullcontext()

    @property
    def structures(self) -> int:
        """How many steps were captured so far, each of another structure."""
        return len(self._replay.captured)

    # -- parameters --------------------------------------------------------------------------------------------------

    def init(self, seed: int) -> None:
        """Draw the parameters from `ir.initial_params`, seed dropout and forget the optimiser's state."""
        with self._here():
            if self._optimizer:
                self._optimizer.forget()
            if self._random:
                self._random.seed(seed)
        self.set_params(initial_params(self.graph, seed))

    @property
    def params(self) -> dict[str, Array]:
        """A copy of the parameters."""
        return self._to_numpy(self.program.params)

    def set_params(self, params: Mapping[str, Array]) -> None:
        """Replace the parameters, from which the moving average starts afresh, and forget pending gradients.

        Raises RunError for other paths or shapes than the graph's.
        """
        checked = check_params(self.graph, {path: np.asarray(array) for path, array in params.items()})
        with self._here():
            put(self.program.params, checked)
            put(self._average, {path: checked[path] for path in self._average})
        self._pending.forget()

    def averaged(self) -> dict[str, Array]:
        """Return the exponential moving average of the parameters; the parameters themselves without one."""
        return self._to_numpy({**self.program.params, **self._average})

    @property
    def _ema(self) -> float | None:
        return self.options.training.ema if self.options.training else None

    def _to_numpy(self, tensors: Mapping[str, Tensor]) -> dict[str, Array]:
        with self._here():
            return to_numpy(tensors)

    # -- carry -------------------------------------------------------------------------------------------------------

    def init_carry(self, batch: int, tokens: int) -> Carry:
        """Return a carry of zeros; a first pass restores it by its reset."""
        sizes = {"B": batch, "T": tokens}
        states = self.graph.states
        return self.carry_from_numpy({path: np.zeros(op.result.type.shape(sizes)) for path, op in states.items()})

    def carry_to_numpy(self, carry: Carry) -> dict[str, Array]:
        """Return a carry as NumPy arrays of its own."""
        return self._to_numpy(carry)

    def carry_from_numpy(self, arrays: Mapping[str, Array]) -> Carry:
        """Return a carry on the device.

        Raises BackendError for a state that is missing.
        """
        states = carried(self.graph, arrays)
        with self._here():
            return {p: tensor(np.asarray(arrays[p]), self.program.format(op.result.type)) for p, op in states.items()}

    # -- evaluation --------------------------------------------------------------------------------------------------

    def forward(self, call: Pass, carry: Carry) -> tuple[dict[str, Array], Carry]:
        """Evaluate one pass without gradient or dropout: every output it has inputs for, and the committed carry.

        Raises BackendError for inputs or a carry that do not fit the graph.
        """
        return self._evaluate(call, carry, tuple(self.graph.outputs))

    def eval_step(self, call: Pass, carry: Carry) -> tuple[dict[str, Array], Carry]:
        """Evaluate one pass but return the outputs without an axis C only: losses and counts, not logits."""
        names = (name for name, value in self.graph.outputs.items() if "C" not in value.type.names)
        return self._evaluate(call, carry, tuple(names))

    def _evaluate(self, call: Pass, carry: Carry, names: tuple[str, ...]) -> tuple[dict[str, Array], Carry]:
        program = self.program
        with self._here():
            laid = lay(program, [call], carry, by_rows=True)

            def step(inputs: list[Tensor], held: list[Tensor], after: list[Tensor]) -> Tensors:
                outputs, left = program.call(laid.calls[0], inputs, program.entering(by_path(program, held)))
                found = {name: owned(outputs[name]) for name in names if name in outputs}
                realize([*found.values(), *program.leaving(left, after)])
                return found

            found = self._replay(("evaluate", names, laid.key), step, laid.inputs, laid.carry, laid.after)
            return to_numpy(found), by_path(program, laid.after)

    # -- training ----------------------------------------------------------------------------------------------------

    def loss_and_grads(self, span: Span, carry: Carry) -> tuple[SpanResult, dict[str, Array]]:
        """Return the result of a span and the gradient of its summed loss; a parameter without a path is absent."""
        program = self.program
        with self._here():
            laid = lay(program, span, carry)

            def step(inputs: list[Tensor], held: list[Tensor], after: list[Tensor]) -> list[Tensor]:
                losses, left, told = program.span(laid.calls, inputs, by_path(program, held), self._asked)
                gradients = {path: owned(value) for path, value in program.gradients(losses).items()}
                self._reached[key] = set(gradients)
                found = [owned(Tensor.stack(*losses)), *map(owned, told), *gradients.values()]
                realize([*found, *program.leaving(left, after)])
                return found

            key: Hashable = ("gradients", laid.key)
            losses, *found = self._replay(key, step, laid.inputs, laid.carry, laid.after)
            paths = [path for path in program.trained if path in self._reached[key]]
            told, found = found[: (n := len(span) * len(self._asked))], found[n:]
            result = SpanResult(losses.tolist(), by_path(program, laid.after), self._told(told))
            return result, to_numpy(dict(zip(paths, found, strict=True)))

    def backward(self, span: Span, carry: Carry, weight: float = 1.0) -> SpanResult:
        """Run a span in training mode and add `weight` times its gradient to what the next update will use."""
        with self._here():
            losses, after, told = self._backward(span, carry, weight)
            return SpanResult(cast("list[float]", losses.tolist()), after, self._told(told))

    def update(self, lr: float) -> float:
        """Clip, apply the rule to every parameter that has a gradient, forget the gradients; return their norm.

        Raises BackendError if the graph was compiled without training options.
        """
        with self._here():
            return float(self._update(lr).item())

    def train_step(self, span: Span, carry: Carry, lr: float) -> tuple[SpanResult, float]:
        """`backward` and `update` as one step; returns the result and the gradient norm."""
        with self._here():
            losses, after, told = self._backward(span, carry, 1.0)
            norm = self._update(lr)
            result = SpanResult(cast("list[float]", losses.tolist()), after, self._told(told))
            return result, float(norm.item())

    @property
    def _asked(self) -> tuple[str, ...]:
        """The outputs that a span returns."""
        return self.options.training.told if self.options.training else ()

    def _told(self, found: Sequence[Tensor]) -> list[dict[str, Array]]:
        """Return outputs by pass, from one list of them all."""
        n = len(self._asked)
        passes = [found[i : i + n] for i in range(0, len(found), n)] if n else []
        return [to_numpy(dict(zip(self._asked, one, strict=True))) for one in passes]

    def _backward(self, span: Span, carry: Carry, weight: float) -> tuple[Tensor, Carry, list[Tensor]]:
        program, pending = self.program, self._pending
        laid = lay(program, span, carry)
        key: Hashable = ("backward", laid.key)

        def step(inputs: list[Tensor], held: list[Tensor], after: list[Tensor], shares: list[Tensor]) -> list[Tensor]:
            losses, left, told = program.span(laid.calls, inputs, by_path(program, held), self._asked)
            gradients = program.gradients(losses)
            self._reached[key] = set(gradients)
            found = [owned(Tensor.stack(*losses)), *map(owned, told)]
            realize([*found, *pending.add(gradients, shares[0]), *program.leaving(left, after)])
            return found

        with self._random.training() if self._random else nullcontext():
            losses, *told = self._replay(key, step, laid.inputs, laid.carry, laid.after, [pending.shares(weight)])
        pending.paths |= self._reached[key]
        pending.note(span)
        return losses, by_path(program, laid.after), told

    def _update(self, lr: float) -> Tensor:
        optimizer, pending = self._optimizer, self._pending
        if optimizer is None:
            raise BackendError("compiled without training options: there is no rule to update by")
        tables = {path: value for path, value in pending.gradients.items() if path in self._keyed}
        gradients = {path: value for path, value in pending.gradients.items() if path not in tables}
        rows, numbers = optimizer.numbers(list(gradients), lr)
        kept = self.program.kept
        by_row = [tensor(array, kept) for path in tables for array in (pending.mask(path), optimizer.rates(path, lr))]

        def step(numbers: list[Tensor], by_row: list[Tensor]) -> Tensor:
            norm, written = optimizer.move(gradients, rows, numbers[0])
            norm = owned(norm)
            written += optimizer.move_rows(tables, by_row)
            realize([norm, *written, *self._averaging()])
            return norm

        norm = self._replay(("update", *gradients, *tables, rows), step, [tensor(numbers, kept)], by_row)
        pending.forget()
        return norm

    def _averaging(self) -> list[Tensor]:
        """Return the moving average after an update, about to be written."""
        ema, params = self._ema, self.program.params
        if ema is None:
            return []
        return [kept.assign(kept * ema + params[path] * (1.0 - ema)) for path, kept in self._average.items()]

    # -- snapshots ---------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Array]:
        """Return what training depends on: `param/`, `slot/<name>/`, `count/`, `ema/`, `grad/`, `keys/`; `rng/`."""
        parts = {"param": self.program.params, "ema": self._average, "grad": self._pending.gradients}
        with self._here():
            taken = {f"{part}/{n}": array for part, held in parts.items() for n, array in to_numpy(held).items()}
            taken |= {f"keys/{path}": keys for path, keys in self._pending.keys.items()}
            taken |= {f"rng/{name}": state for name, state in self._random.snapshot().items()} if self._random else {}
            return taken | self._optimizer.snapshot() if self._optimizer else taken

    def restore(self, snapshot: Mapping[str, Array]) -> None:
        """Continue from a snapshot, bit for bit on the same device.

        Raises RunError for a snapshot of another graph or rule.
        """
        self.set_params(below("param/", snapshot))
        with self._here():
            if self._average:
                kept = below("param/", snapshot) | below("ema/", snapshot)
                checked = check_params(self.graph, kept, "the snapshot's average")
                put(self._average, {path: checked[path] for path in self._average})
            self._pending.restore(below("grad/", snapshot), below("keys/", snapshot))
            if self._random:
                self._random.restore(below("rng/", snapshot))
            if self._optimizer:
                self._optimizer.restore(snapshot)
