"""Train steps as CUDA graphs: forward, backward, clip, update and average of one structure in a single launch.

Passes of an executable that does not train are steps that move nothing.

A structure is what the host decides: the shapes of a span's inputs and carry, its resets and its last passes. The first
step of a structure runs eagerly, which also makes the optimiser's slots; the second is captured. From then on a step
copies its inputs, carry and learning rate to where the graph reads them, and replays it.
"""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hrmsearch.runtime import Pass

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class DeviceCall:
    """A pass whose arrays are on the device; see `hrmsearch.runtime.Pass`."""

    inputs: Tensors
    reset: int | torch.Tensor
    last: bool


@dataclass(frozen=True, slots=True)
class Stepped:
    """What a train step leaves on the device.

    losses: of each pass. carry: committed. norm: of the gradient. told: by pass, the outputs asked for.
    """

    losses: list[torch.Tensor]
    carry: Tensors
    norm: torch.Tensor
    told: Sequence[Tensors] = ()


#: a train step on the device; the learning rate is a scalar tensor
Step = Callable[[Sequence[DeviceCall], Mapping[str, torch.Tensor], torch.Tensor], Stepped]


@dataclass(frozen=True, slots=True)
class _Captured:
    """A graph, and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    calls: Sequence[DeviceCall]
    carry: Tensors
    stepped: Stepped


class GraphedSteps:
    """Runs a train step as one CUDA graph per structure.

    place: turns a pass's arrays into tensors on the device.
    """

    def __init__(self, step: Step, place: Callable[[Pass], DeviceCall], device: torch.device) -> None:
        self._step = step
        self._place = place
        self._rate = torch.zeros((), dtype=torch.float64, device=device)
        self._captured: dict[Hashable, _Captured | None] = {}

    def forget(self) -> None:
        """Drop the graphs, which point at parameters, slots and averages that are being replaced."""
        self._captured.clear()

    def __call__(self, span: Sequence[Pass], carry: Mapping[str, torch.Tensor], lr: float) -> Stepped:
        """Return what one step leaves."""
        self._rate.fill_(lr)
        key = _structure(span, carry)
        if key not in self._captured:
            self._captured[key] = None
            return self._step([self._place(call) for call in span], carry, self._rate)
        found = self._captured[key] or self._capture(key, span, carry)
        _fill(found, span, carry)
        found.graph.replay()
        # the next replay writes to the same memory
        kept = {path: value.clone() for path, value in found.stepped.carry.items()}
        return Stepped(found.stepped.losses, kept, found.stepped.norm, found.stepped.told)

    def _capture(self, key: Hashable, span: Sequence[Pass], carry: Mapping[str, torch.Tensor]) -> _Captured:
        """Record a step; nothing is computed until the graph is replayed."""
        calls = [self._place(call) for call in span]
        held = {path: value.clone() for path, value in carry.items()}
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            stepped = self._step(calls, held, self._rate)
        captured = self._captured[key] = _Captured(graph, calls, held, stepped)
        return captured


def _structure(span: Sequence[Pass], carry: Mapping[str, torch.Tensor]) -> Hashable:
    calls = tuple(
        (
            tuple((name, np.shape(array)) for name, array in sorted(call.inputs.items())),
            int(call.reset) if np.ndim(call.reset) == 0 else "per row",
            call.last,
        )
        for call in span
    )
    return calls, tuple((path, tuple(value.shape)) for path, value in sorted(carry.items()))


def _fill(captured: _Captured, span: Sequence[Pass], carry: Mapping[str, torch.Tensor]) -> None:
    """Copy a step's inputs, resets and carry to where its graph reads them."""
    for call, fixed in zip(span, captured.calls, strict=True):
        for name, tensor in fixed.inputs.items():
            tensor.copy_(torch.from_numpy(np.asarray(call.inputs[name])))
        if isinstance(fixed.reset, torch.Tensor):
            fixed.reset.copy_(torch.from_numpy(np.asarray(call.reset)))
    for path, tensor in captured.carry.items():
        tensor.copy_(carry[path])
