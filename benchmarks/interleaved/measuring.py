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
#: a CUDA graph is replayed so often in a row, or fewer times, for so many milliseconds
REPLAYS, REPLAYED = 20, 20.0
#: how often a run is repeated within a round, as it would be in training, unless that takes longer than so many ms
AGAIN, LONG = 3, 200.0
#: errors, as shares of a tensor's largest entry, up to which times mean something; the second for bfloat16
AGREE, HALF_AGREE = 2e-5, 8e-3
#: pairs of buffers that a copy is timed between: a single pair was once seen to be a third too slow
_PAIRS, _APART = 3, 17 * 64


@dataclass(frozen=True)
class Problem:
    """One size of a function.

    operands: in float64. truth: what is right, over float64. forms: the implementations by name; ratios are to the
    first. moved: the least bytes that a forward, and a forward and gradient, move; None where that bounds nothing.
    copied: the operand that is copied, as a share of whose speed times are shown. half: operands come in bfloat16.
    plain: the implementations that have no gradient. beside: other functions of this size.
    """

    title: str
    operands: Sequence[Tensor]
    truth: Form
    forms: Mapping[str, Form]
    moved: tuple[int, int] | None = None
    copied: int = 0
    half: bool = False
    plain: Sequence[str] = ()
    beside: Sequence["Problem"] = ()

    @property
    def agree(self) -> float:
        """The largest error of an implementation whose time means anything."""
        return HALF_AGREE if self.half else AGREE

    def given(self, device: str) -> list[Tensor]:
        """Return the operands as implementations get them."""
        return [x.to(device, torch.bfloat16 if self.half else torch.float32) for x in self.operands]


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

    def owner(self, name: str) -> Problem:
        """Return the problem that an implementation solves."""
        return next(one for one in (self.problem, *self.problem.beside) if name in one.forms)

    @property
    def bandwidth(self) -> float:
        """Bytes per millisecond of the fastest copy, read and written."""
        problem = self.problem
        bytes_ = 2 if problem.half else 4
        return 2 * bytes_ * problem.operands[problem.copied].numel() / min(self.copies)


def measure(problem: Problem, device: str, rounds: int) -> Measured:
    """Return the times of every implementation and of a copy, taken in turn in every round."""
    found: dict[str, Times] = {}
    clocks: dict[str, Sequence[Clock]] = {}
    for one in (problem, *problem.beside):
        given = one.given(device)
        exact = [x.double().requires_grad_() for x in given]
        truth = both(one.truth, exact)
        given = [x.requires_grad_() for x in given]
        for name, form in one.forms.items():
            trains = name not in one.plain
            got = both(form, given) if trains else results(form, given)
            found[name] = Times(error=error(got, truth[: len(got)]))
            clocks[name] = clocked(name, form, given, device, trains=trains)
    copy = copying(problem.given(device)[problem.copied], device)
    copies: list[float] = []
    for _ in range(rounds):
        for timed in copy:
            copies += again(timed)
        for name, timed in clocks.items():
            for times, way in zip((found[name].forward, found[name].training), timed, strict=False):
                times += again(way)
    return Measured(problem, found, copies)


def copying(source: Tensor, device: str) -> list[Clock]:
    """Return clocks of copies of a tensor's size between several pairs of buffers, which lie differently."""
    n, clocks = source.numel(), list[Clock]()
    for i in range(_PAIRS):
        buffers = [source.new_empty(n + _PAIRS * _APART) for _ in range(2)]
        first, second = buffers[0][:n].copy_(source.flatten()), buffers[1][i * _APART :][:n]
        clocks.append(clock(lambda to=second, x=first: (to.copy_(x),), device, eager=False))
    return clocks


def results(form: Form, operands: Sequence[Tensor]) -> Sequence[Tensor]:
    with torch.no_grad():
        return form(*operands)


def both(form: Form, operands: Sequence[Tensor]) -> list[Tensor]:
    """Return results, and the gradients of fixed sums of them."""
    made = form(*operands)
    found = torch.autograd.grad(made, operands, [weights(y) for y in made])
    return [*(y.detach() for y in made), *found]


def weights(like: Tensor) -> Tensor:
    """Return numbers that are the same in every format."""
    return torch.cos(torch.arange(like.numel(), device=like.device)).bfloat16().to(like.dtype).view(like.shape)


def error(got: Sequence[Tensor], truth: Sequence[Tensor]) -> float:
    pairs = zip(got, truth, strict=True)
    return max(float((x.double() - y).abs().max() / y.abs().max().clamp_min(1e-30)) for x, y in pairs)


def clocked(name: str, form: Form, operands: Sequence[Tensor], device: str, *, trains: bool = True) -> Sequence[Clock]:
    """Return clocks of an implementation's forward and, if it trains, of its forward and gradient."""
    gradients = [weights(y) for y in results(form, operands)]

    def forward() -> Sequence[Tensor]:
        return results(form, operands)

    def training() -> Sequence[Tensor]:
        return torch.autograd.grad(form(*operands), operands, gradients)

    eager = name.startswith(EAGER)
    return [clock(run, device, eager=eager) for run in (forward, *((training,) if trains else ()))]


def clock(run: Run, device: str, *, eager: bool) -> Clock:
    """Return a function that runs once and gives milliseconds; what it prepares stays warm.

    It holds on to `run`, whose tensors a CUDA graph reads and writes without keeping them.
    """
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
    times = max(1, min(REPLAYS, int(REPLAYED / max(replayed(graph, 2), 1e-3))))
    return lambda held=run: replayed(graph, times)  # pyright: ignore[reportUnknownLambdaType]


def taken(run: Callable[[], object], now: Callable[[], float]) -> float:
    begun = now()
    run()
    return now() - begun


def replayed(graph: torch.cuda.CUDAGraph, times: int) -> float:
    """Return milliseconds of a replay, of so many in a row."""
    begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begun.record()
    for _ in range(times):
        graph.replay()
    ended.record()
    torch.cuda.synchronize()
    return begun.elapsed_time(ended) / times


def again(timed: Clock) -> list[float]:
    """Return the times of a run and, if it is short, of its repetitions."""
    first = timed()
    return [first, *(timed() for _ in range(AGAIN - 1 if first < LONG else 0))]
