"""What it takes to begin: the kernels of a device that need not be here, and the first steps on one that is."""

# tinygrad's own annotations are partial
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Hashable, Mapping, Sequence
from time import perf_counter
from typing import Any, cast

import numpy as np
from tinygrad.tensor import Tensor
from tinygrad.uop.ops import UOp

from hrmsearch.ir.graph import Graph
from hrmsearch.runtime import Options, Span, StartCost
from hrmsearch_tinygrad.arrays import without_memory
from hrmsearch_tinygrad.devices import check_precision, kind
from hrmsearch_tinygrad.executable import TinygradExecutable
from hrmsearch_tinygrad.kernels import capture, generate, launches, listing, renderer_of
from hrmsearch_tinygrad.replay import Replay, Step

#: the rate of steps whose numbers nobody reads
_RATE = 1e-3


def kernels(graph: Graph, options: Options, spans: Sequence[Span]) -> str:
    """Return one file with the kernels of a forward pass and of the train step of every span.

    Raises BackendError for a device that tinygrad is not used on, or without the precision.
    """
    device = kind(options.device)
    renderer = renderer_of(device)
    check_precision(options.device, options.dtype, renderer)
    generated = generate(record(graph, options, spans, device), renderer)
    rows, tokens = _shape(spans)
    where = f"{device} ({renderer.target.arch})"
    return listing(f"{graph.name} on {where}: {rows} rows of {tokens} tokens, {options.dtype}", generated)


def record(graph: Graph, options: Options, spans: Sequence[Span], device: str) -> dict[str, list[UOp]]:
    """Return the calls of a forward pass and of every span's train step on a device that need not be here."""
    recorder = _Recorder()
    steps: dict[str, list[UOp]] = {}
    with without_memory():
        executable = TinygradExecutable(graph, options, device, recorder)
        carry = executable.init_carry(*_shape(spans))
        executable.forward(spans[0][0], carry)
        steps["forward pass"] = recorder.take()
        for number, span in enumerate(spans, start=1):
            carry = executable.train_step(span, carry, _RATE)[0].carry
            steps["train step" if len(spans) == 1 else f"train step {number} of {len(spans)}"] = recorder.take()
    return steps


def start_cost(graph: Graph, options: Options, spans: Sequence[Span]) -> StartCost:
    """Take the train step of every span from nothing, and return what that took.

    Raises BackendError for a device that is not here.
    """
    begin, counter, seconds = perf_counter(), Counter(), 0.0
    executable = TinygradExecutable(graph, options, replay=counter)
    carry = executable.init_carry(*_shape(spans))
    counts: list[int] = []
    for span in spans:
        carry = executable.train_step(span, carry, _RATE)[0].carry
        seconds = seconds or perf_counter() - begin
        counts.append(counter.take())
    return StartCost(tuple(counts), seconds)


def _shape(spans: Sequence[Span]) -> tuple[int, int]:
    rows, tokens, *_ = next(iter(spans[0][0].inputs.values())).shape
    return rows, tokens


class Counter(Replay):
    """Runs steps, and counts the kernels that they launch."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def __call__(self, key: Hashable, step: Step, *tensors: list[Tensor]) -> Any:
        """Run a step and count its kernels."""
        found = super().__call__(key, step, *tensors)
        self._count += launches(self.captured[key])
        return found

    def take(self) -> int:
        """Return the count since this was last asked."""
        count, self._count = self._count, 0
        return count


class _Recorder(Replay):
    """Runs nothing: it keeps the calls that steps would make, and answers with zeros."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[UOp] = []

    def __call__(self, key: Hashable, step: Step, *tensors: list[Tensor]) -> Any:
        """Keep the calls of a step."""
        found: list[Any] = []
        self._calls += capture(lambda: found.append(step(*tensors)))
        return _zeros(found[0])

    def take(self) -> list[UOp]:
        """Return the calls since this was last asked."""
        calls, self._calls = self._calls, []
        return calls


def _zeros(found: Any) -> Any:
    """Return zeros in the place of every tensor, which can be read on any machine."""
    if isinstance(found, Mapping):
        return {name: _zeros(value) for name, value in found.items()}
    if isinstance(found, list):
        return [_zeros(value) for value in cast("list[Any]", found)]
    return Tensor(np.zeros(cast("Tensor", found).shape, np.float32), device="NPY")
