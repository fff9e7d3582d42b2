"""Runs the emitted source: passes, spans with gradient, and updates, with PyTorch."""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnnecessaryComparison=false

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hrmsearch.emission import load_source
from hrmsearch.errors import BackendError
from hrmsearch.ir.binding import RESET, bind_sizes, carried
from hrmsearch.ir.checkpoint import ParamFiles, below, check_params
from hrmsearch.ir.graph import Graph, keyed_params
from hrmsearch.ir.init import initial_params
from hrmsearch.ir.types import DType, Type
from hrmsearch.runtime import Carry, Options, Pass, Span, SpanResult
from hrmsearch_torch import kernels, optimizer, ranks
from hrmsearch_torch.devices import COMPUTE, DTYPES, check_compiles, pick
from hrmsearch_torch.emit import emit
from hrmsearch_torch.graphs import DeviceCall, GraphedSteps, Stepped
from hrmsearch_torch.keyed import KeyedTables
from hrmsearch_torch.precision import Kept, computing
from hrmsearch_torch.randomness import Randomness

Array = NDArray[Any]
Tensors = dict[str, torch.Tensor]
#: what a span gives on the device: losses, the carry after it, and by pass the outputs asked for
_Ran = tuple[list[torch.Tensor], Tensors, list[Tensors]]
_INTEGERS = {DType.I32: torch.int32, DType.I8: torch.int8, DType.BOOL: torch.bool}


class TorchExecutable(ParamFiles):
    """A graph as the torch module that its emitted source defines.

    source: the emitted file. model: the module, in evaluation mode outside of training steps.
    """

    def __init__(self, graph: Graph, options: Options) -> None:
        self.graph = graph
        self.options = options
        self.device = pick(options.device, options.dtype)
        if options.optimize:
            check_compiles(self.device)
        self.source = emit(graph)
        self.model = self._module()
        self._run: Any = torch.compile(self.model) if options.optimize else self.model
        self._kept = Kept(self._by_path(), DTYPES[options.dtype])
        self._kept.freeze(options.training.frozen if options.training else ())
        self._params = self._kept.params
        self._trained = {path: param for path, param in self._params.items() if param.requires_grad}
        drops = any(op.kind == "dropout" for region in graph.regions() for op in region.walk())
        self._random = Randomness(self.model, self.device) if drops else None
        training = options.training
        keyed = {path: name for path, name in keyed_params(graph).items() if path in self._trained}
        self._dense = {path: param for path, param in self._trained.items() if path not in keyed}
        self._optimizer = optimizer.make(training, self._dense, optimize=options.optimize) if training else None
        self._tables = KeyedTables(training, {path: self._params[path] for path in keyed}, keyed) if keyed else None
        self._average: Tensors = {}
        self._graphs = GraphedSteps(self._step, self._placed, self.device) if self._captures and training else None
        judges = self._captures and training is None
        self._passes = GraphedSteps(self._evaluated, self._placed, self.device) if judges else None
        self.init(0)

    @property
    def _captures(self) -> bool:
        """Whether train steps, or passes where none are taken, are captured: a small model waits for launches on a GPU.

        Ranks that train together exchange gradients in between, which no capture holds.
        """
        return self.device.type == "cuda" and self.options.capture and ranks.count() == 1

    def _module(self) -> torch.nn.Module:
        """Return the module; tables are built in the run's precision, and the caller's random state is left alone."""
        with computing(COMPUTE[self.options.dtype]), torch.random.fork_rng(devices=[]):
            model: torch.nn.Module = self._loaded().Model()
        return model.to(self.device).eval()

    def _loaded(self) -> ModuleType:
        """Return the emitted file as a module, its recurrences run by kernels where the device has them."""
        if not (self.options.kernels and kernels.available(self.device.type)):
            return load_source(self.source, self.graph.name)
        return kernels.loaded(self.source, self.graph, self.device.type)

    def _by_path(self) -> dict[str, torch.nn.Parameter]:
        found = dict(self.model.named_parameters(remove_duplicate=False))
        return {path: found[path] for path in self.graph.params}

    # -- parameters --------------------------------------------------------------------------------------------------

    def init(self, seed: int) -> None:
        """Draw the parameters from `ir.initial_params`, seed dropout and forget the optimiser's state."""
        if self._optimizer:
            self._optimizer.forget()
        if self._random:
            self._random.seed(seed)
        self.set_params(initial_params(self.graph, seed))

    @property
    def params(self) -> dict[str, Array]:
        """A copy of the parameters."""
        return _to_numpy(self._params)

    @torch.no_grad()
    def set_params(self, params: Mapping[str, Array]) -> None:
        """Replace the parameters, from which the moving average starts afresh, and forget pending gradients.

        Raises RunError for other paths or shapes than the graph's.
        """
        checked = check_params(self.graph, {path: np.asarray(array) for path, array in params.items()})
        for path, array in checked.items():
            self._params[path].copy_(torch.tensor(array))
            self._params[path].grad = None
        self._kept.refresh()
        if self._tables:
            self._tables.forget()
        if self._graphs:
            self._graphs.forget()
        if self._ema is not None:
            moving = {path: param for path, param in self._params.items() if path not in keyed_params(self.graph)}
            self._average = {path: param.detach().clone() for path, param in moving.items()}

    def averaged(self) -> dict[str, Array]:
        """Return the exponential moving average of the parameters; the parameters themselves without one."""
        return _to_numpy({**self._params, **self._average})

    @property
    def _ema(self) -> float | None:
        return self.options.training.ema if self.options.training else None

    # -- carry -------------------------------------------------------------------------------------------------------

    def init_carry(self, batch: int, tokens: int) -> Carry:
        """Return a carry of zeros; a first pass restores it by its reset."""
        sizes = {"B": batch, "T": tokens}
        types = {path: op.result.type for path, op in self.graph.states.items()}
        return {p: torch.zeros(t.shape(sizes), dtype=self._dtype(t), device=self.device) for p, t in types.items()}

    def carry_to_numpy(self, carry: Carry) -> dict[str, Array]:
        """Return a carry as NumPy arrays of its own."""
        return _to_numpy(carry)

    def carry_from_numpy(self, arrays: Mapping[str, Array]) -> Carry:
        """Return a carry on the device.

        Raises BackendError for a state that is missing.
        """
        states = carried(self.graph, arrays)
        return {path: self._tensor(arrays[path], op.result.type) for path, op in states.items()}

    def _dtype(self, type_: Type) -> torch.dtype:
        return _INTEGERS.get(type_.dtype, DTYPES[self.options.dtype])

    def _tensor(self, array: Array, type_: Type) -> torch.Tensor:
        return torch.tensor(np.asarray(array), dtype=self._dtype(type_), device=self.device)

    # -- evaluation --------------------------------------------------------------------------------------------------

    def forward(self, call: Pass, carry: Carry) -> tuple[dict[str, Array], Carry]:
        """Evaluate one pass without gradient or dropout: every output it has inputs for, and the committed carry.

        Raises BackendError for inputs or a carry that do not fit the graph.
        """
        outputs, after = self._evaluate(call, carry)
        return _to_numpy(outputs), after

    def eval_step(self, call: Pass, carry: Carry) -> tuple[dict[str, Array], Carry]:
        """Evaluate one pass but return the outputs without an axis C only: losses and counts, not logits."""
        outputs, after = self._evaluate(call, carry)
        types = {name: value.type for name, value in self.graph.outputs.items()}
        return _to_numpy({n: value for n, value in outputs.items() if "C" not in types[n].names}), after

    @torch.no_grad()
    def _evaluate(self, call: Pass, carry: Carry) -> tuple[Tensors, Tensors]:
        bind_sizes(self.graph, call.inputs, carry)
        passed = self._passes([call], carry, 0.0) if self._passes else self._evaluated([self._placed(call)], carry, 0.0)
        return passed.told[0], passed.carry

    def _evaluated(self, calls: Sequence[DeviceCall], carry: Mapping[str, Any], lr: object) -> Stepped:
        """Return what passes tell, as a step that moves nothing."""
        del lr
        told: list[Tensors] = []
        for call in calls:
            outputs, carry = self._pass(call, carry)
            told.append(outputs)
        return Stepped([], self._committed(dict(carry)), torch.zeros((), device=self.device), told)

    def _placed(self, call: Pass) -> DeviceCall:
        """Return a pass with its arrays on the device."""
        declared = self.graph.inputs
        inputs = {n: self._tensor(array, declared[n].type) for n, array in call.inputs.items() if n != RESET}
        reset = call.reset
        level = int(reset) if np.ndim(reset) == 0 else torch.tensor(reset, dtype=torch.int8, device=self.device)
        return DeviceCall(inputs, level, call.last)

    def _pass(self, call: DeviceCall, carry: Mapping[str, Any]) -> tuple[Tensors, Tensors]:
        """Call the emitted model on one pass; numbers of the run's precision enter in it."""
        declared, states = self.graph.inputs, self.graph.states
        inputs = {name: self._entering(value, declared[name].type) for name, value in call.inputs.items()}
        carry = {path: self._entering(value, states[path].result.type) for path, value in carry.items()}
        with computing(COMPUTE[self.options.dtype]):
            return self._run(**inputs, state=carry, reset=call.reset, last=call.last)

    def _entering(self, value: torch.Tensor, type_: Type) -> torch.Tensor:
        return value.to(COMPUTE[self.options.dtype]) if type_.dtype == DType.COMPUTE else value

    def _committed(self, carry: Tensors) -> Tensors:
        """Return a carry without its gradient, in the dtypes that it is saved in."""
        states = self.graph.states
        return {path: value.detach().to(self._dtype(states[path].result.type)) for path, value in carry.items()}

    # -- training ----------------------------------------------------------------------------------------------------

    def loss_and_grads(self, span: Span, carry: Carry) -> tuple[SpanResult, dict[str, Array]]:
        """Return the result of a span and the gradient of its summed loss; a parameter without a path is absent."""
        losses, after, told = self._span(self._calls(span, carry), carry)
        numbers = _numbers([loss.detach() for loss in losses])
        result, total = SpanResult(numbers, after, _told(told)), torch.stack(losses).sum()
        if not total.requires_grad:
            return result, {}
        inside = [self._kept.inside(path) for path in self._trained]
        found = torch.autograd.grad(total, inside, allow_unused=True)
        gradients = {path: grad for path, grad in zip(self._trained, found, strict=True) if grad is not None}
        return result, _to_numpy(gradients)

    def backward(self, span: Span, carry: Carry, weight: float = 1.0) -> SpanResult:
        """Run a span in training mode and add `weight` times its gradient to what the next update will use."""
        with self._training_mode():
            losses, after, told = self._backward(self._calls(span, carry), carry, weight)
        return SpanResult(_numbers(losses), after, _told(told))

    def update(self, lr: float) -> float:
        """Clip, apply the rule to every parameter that has a gradient, forget the gradients; return their norm.

        Raises BackendError if the graph was compiled without training options.
        """
        return float(self._update(lr))

    def train_step(self, span: Span, carry: Carry, lr: float) -> tuple[SpanResult, float]:
        """`backward` and `update` as one step; returns the result and the gradient norm.

        On a GPU the step is one CUDA graph per structure, unless the options or gradients of an earlier `backward` say
        otherwise.
        """
        graphs = None if any(param.grad is not None for param in self._trained.values()) else self._graphs
        with self._training_mode():
            if graphs:
                self._check(span, carry)
                stepped = graphs(span, carry, lr)
            else:
                stepped = self._step(self._calls(span, carry), carry, lr)
        # one wait for the device, after everything was sent to it
        *losses, norm = _numbers([*stepped.losses, stepped.norm])
        return SpanResult(losses, stepped.carry, _told(stepped.told)), norm

    def _training_mode(self) -> AbstractContextManager[None]:
        return self._random.training() if self._random else nullcontext()

    def _check(self, span: Span, carry: Carry) -> None:
        for call in span:
            bind_sizes(self.graph, call.inputs, carry)

    def _calls(self, span: Span, carry: Carry) -> list[DeviceCall]:
        self._check(span, carry)
        return [self._placed(call) for call in span]

    def _span(self, span: Sequence[DeviceCall], carry: Mapping[str, Any]) -> _Ran:
        """Run the passes of a span, the carry not detached between them."""
        losses, told = list[torch.Tensor](), list[Tensors]()
        names = self.options.training.told if self.options.training else ()
        for call in span:
            outputs, carry = self._pass(call, carry)
            if "loss" not in outputs or outputs["loss"].dim():
                raise BackendError("a span needs a graph with a scalar output `loss` and the inputs it depends on")
            losses.append(outputs["loss"])
            told.append({name: outputs[name].detach() for name in names})
        return losses, self._committed(dict(carry)), told

    def _backward(self, span: Sequence[DeviceCall], carry: Mapping[str, Any], weight: float) -> _Ran:
        if self._tables:
            self._tables.note(span)
        losses, after, told = self._span(span, carry)
        total = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
        if total.requires_grad:
            (total if weight == 1.0 else total * weight).backward()
            self._kept.collect()
        return [loss.detach() for loss in losses], after, told

    def _step(self, span: Sequence[DeviceCall], carry: Mapping[str, Any], lr: float | torch.Tensor) -> Stepped:
        losses, after, told = self._backward(span, carry, 1.0)
        return Stepped(losses, after, self._update(lr), told)

    @torch.no_grad()
    def _update(self, lr: float | torch.Tensor) -> torch.Tensor:
        training = self.options.training
        if self._optimizer is None or training is None:
            raise BackendError("compiled without training options: there is no rule to update by")
        params = [param for param in self._dense.values() if param.grad is not None]
        gradients = [param.grad for param in params if param.grad is not None]
        ranks.average(gradients)
        norm = torch.nn.utils.get_total_norm(gradients)
        if training.clip is not None:
            torch.nn.utils.clip_grads_with_norm_(params, training.clip, norm)
        self._optimizer.step(lr)
        if self._tables:
            self._tables.step(lr)
        self._kept.refresh()
        for param in params:
            param.grad = None
        if training.ema is not None:
            for path, kept in self._average.items():
                kept.mul_(training.ema).add_(self._params[path], alpha=1.0 - training.ema)
        return norm

    # -- snapshots ---------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Array]:
        """Return what training depends on: `param/`, `slot/<name>/`, `count/`, `ema/`, `grad/`, `keys/`; `rng/`."""
        taken = {f"param/{path}": array for path, array in self.params.items()}
        taken |= {f"ema/{path}": array for path, array in _to_numpy(self._average).items()}
        pending = {path: param.grad for path, param in self._params.items() if param.grad is not None}
        taken |= {f"grad/{path}": array for path, array in _to_numpy(pending).items()}
        if self._tables:
            taken |= {f"keys/{path}": array for path, array in _to_numpy(self._tables.keys).items()}
        if self._random:
            taken |= {f"rng/{name}": state.numpy().copy() for name, state in self._random.states.items()}
        if self._optimizer and self.options.training:
            taken |= optimizer.to_arrays(self._optimizer, self.options.training.rule)
        return taken

    def restore(self, snapshot: Mapping[str, Array]) -> None:
        """Continue from a snapshot, bit for bit on the same device.

        Raises RunError for a snapshot of another graph or rule.
        """
        self.set_params(below("param/", snapshot))
        if self._ema is not None:
            kept = below("param/", snapshot) | below("ema/", snapshot)
            checked = check_params(self.graph, kept, "the snapshot's average")
            self._average = {path: torch.tensor(checked[path], device=self.device) for path in self._average}
        for path, array in below("grad/", snapshot).items():
            self._params[path].grad = torch.tensor(array, device=self.device)
        if self._tables:
            self._tables.restore(below("keys/", snapshot))
        if self._random:
            self._random.restore({name: torch.tensor(array) for name, array in below("rng/", snapshot).items()})
        if self._optimizer and self.options.training:
            optimizer.from_arrays(self._optimizer, self.options.training.rule, snapshot, self._trained)


def _to_numpy(tensors: Mapping[str, torch.Tensor]) -> dict[str, Array]:
    """Return tensors as arrays of their own; NumPy has no bfloat16, so that becomes float32."""
    return {name: _readable(tensor.detach().cpu()).numpy().copy() for name, tensor in tensors.items()}


def _readable(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor


def _told(passes: Sequence[Tensors]) -> list[dict[str, Array]]:
    """Return by pass the outputs asked for, floats all of them, with one wait for the device."""
    flat = [value.flatten() for told in passes for value in told.values()]
    if not flat:
        return [{} for _ in passes]
    arrays = iter(np.split(_readable(torch.cat(flat).cpu()).numpy(), np.cumsum([len(value) for value in flat])[:-1]))
    return [{name: next(arrays).reshape(value.shape) for name, value in told.items()} for told in passes]


def _numbers(tensors: Sequence[torch.Tensor]) -> list[float]:
    """Return scalars as floats, with one wait for the device."""
    if tensors[0].device.type == "cpu":
        return [tensor.item() for tensor in tensors]
    return torch.stack([tensor.double() for tensor in tensors]).tolist()
