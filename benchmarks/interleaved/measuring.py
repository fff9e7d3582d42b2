# pyright: reportUnknownMemberType=false
# torch's stubs leave parts of autograd, cuda and graphs untyped
"""What is measured: forward, forward and gradient, and a copy, in turn; and how far each implementation is off.

On a CPU times are processor time. On CUDA they are replays of a CUDA graph, which is how a train step runs there, but
for what is named eager: that is timed as it runs.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

Form = Callable[..., Sequence[Tensor]]
Run = Callable[[], Sequence[Tensor]]
Clock = Callable[[], float]
EAGER = "eager"
REPLAYS = 20
#: how often a run is repeated within a round, as it would be in training, unless that takes longer than so many ms
AGAIN, LONG = 3, 200.0


@dataclass(frozen=True)
class Problem:
    """One size of a function.

    operands: in float64. truth: what is right, over float64. forms: the implementations by name; ratios are to the
    first. moved: the least bytes that a forward, and a forward and gradient, move; None where that bounds nothing.
    copied: the operand that is copied, as a share of whose speed times are shown. beside: other functions of this size.
    """

    title: str
    operands: Sequence[Tensor]
    truth: Form
    forms: Mapping[str, Form]
    moved: tuple[int, int] | None = None
    copied: int = 0
    beside: Sequence["Problem"] = ()


@dataclass
class Times:
    """Milliseconds of every run, and the largest error as a share of its tensor's largest entry."""

    forward: list[float] = field(default_factory=list[float])
    training: list[float] = field(default_factory=list[float])
    error: float = 0.0


@dataclass(frozen=True)
class Measured:
    """Times by implementation, and those of a copy."""

    problem: Problem
    times: Mapping[str, Times]
    copies: Sequence[float]

    @property
    def bandwidth(self) -> float:
        """Bytes per millisecond of the fastest copy, read and written."""
        return 8 * self.problem.operands[self.problem.copied].numel() / min(self.copies)


def measure(problem: Problem, device: str, rounds: int) -> Measured:
    """Return the times of every implementation and of a copy, taken in turn in every round."""
    found: dict[str, Times] = {}
    clocks: dict[str, tuple[Clock, Clock]] = {}
    for one in (problem, *problem.beside):
        exact = [x.to(device).requires_grad_() for x in one.operands]
        truth = both(one.truth, exact)
        given = [x.detach().float().requires_grad_() for x in exact]
        for name, form in one.forms.items():
            found[name] = Times(error=error(both(form, given), truth))
            clocks[name] = clocked(name, form, given, device)
    source = problem.operands[problem.copied].float().to(device)
    target = torch.empty_like(source)
    copy = clock(lambda: (target.copy_(source),), device, eager=False)
    copies: list[float] = []
    for _ in range(rounds):
        copies += again(copy)
        for name, (forward, training) in clocks.items():
            found[name].forward += again(forward)
            found[name].training += again(training)
    return Measured(problem, found, copies)


def both(form: Form, operands: Sequence[Tensor]) -> list[Tensor]:
    """Return results, and the gradients of fixed sums of them."""
    results = form(*operands)
    gradients = [weights(y) for y in results]
    found = torch.autograd.grad(results, operands, gradients)
    return [*(y.detach() for y in results), *found]


def weights(like: Tensor) -> Tensor:
    return torch.cos(torch.arange(like.numel(), device=like.device)).to(like.dtype).view(like.shape)


def error(got: Sequence[Tensor], truth: Sequence[Tensor]) -> float:
    pairs = zip(got, truth, strict=True)
    return max(float((x.double() - y).abs().max() / y.abs().max().clamp_min(1e-30)) for x, y in pairs)


def clocked(name: str, form: Form, operands: Sequence[Tensor], device: str) -> tuple[Clock, Clock]:
    """Return clocks of an implementation's forward and of its forward and gradient."""
    with torch.no_grad():
        gradients = [weights(y) for y in form(*operands)]

    def forward() -> Sequence[Tensor]:
        with torch.no_grad():
            return form(*operands)

    def training() -> Sequence[Tensor]:
        return torch.autograd.grad(form(*operands), operands, gradients)

    eager = name.startswith(EAGER)
    return clock(forward, device, eager=eager), clock(training, device, eager=eager)


def clock(run: Run, device: str, *, eager: bool) -> Clock:
    """Return a function that runs once and gives milliseconds; what it prepares stays warm."""
    if device == "cpu":
        run()
        return lambda: 1e3 * taken(run, time.process_time)
    if eager:
        return lambda: 1e3 * taken(lambda: (run(), torch.cuda.synchronize()), time.perf_counter)
    side, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # nothing may be made for the first time while it is recorded
        run()
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        run()
    return lambda: replayed(graph)


def taken(run: Callable[[], object], now: Callable[[], float]) -> float:
    begun = now()
    run()
    return now() - begun


def replayed(graph: torch.cuda.CUDAGraph) -> float:
    begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begun.record()
    for _ in range(REPLAYS):
        graph.replay()
    ended.record()
    torch.cuda.synchronize()
    return begun.elapsed_time(ended) / REPLAYS


def again(timed: Clock) -> list[float]:
    """Return the times of a run and, if it is short, of its repetitions."""
    first = timed()
    return [first, *(timed() for _ in range(AGAIN - 1 if first < LONG else 0))]
