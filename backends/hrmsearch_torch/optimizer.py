"""Moves parameters by an update rule: torch's fused AdamW where the rule is that, else the rule's own body."""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from hrmsearch.errors import RunError
from hrmsearch.ir.rule import Rule
from hrmsearch.runtime import Training
from hrmsearch_torch.rules import Plan, apply, scalar

Array = NDArray[Any]
Params = Mapping[str, torch.Tensor]
Tensors = dict[str, torch.Tensor]
#: a parameter with its gradient and slots, its weight decay, and its steps so far
Moving = tuple[list[torch.Tensor], float, torch.Tensor]


class Optimizer(Protocol):
    """Steps parameters that have a gradient, and remembers slots and step counts of each."""

    def step(self, lr: float | torch.Tensor) -> None:
        """Move every parameter that has a gradient; a rate on the device may change between replays of a CUDA graph."""
        ...

    def slots(self) -> dict[str, tuple[int, list[torch.Tensor]]]:
        """Return the steps taken and the slots, by path, of every parameter that ever moved."""
        ...

    def put(self, path: str, count: int, slots: list[torch.Tensor]) -> None:
        """Set what is remembered of a parameter."""
        ...

    def forget(self) -> None:
        """Start anew."""
        ...


def make(training: Training, params: Params, *, optimize: bool = False) -> Optimizer:
    """Return the optimiser of a rule: torch's own where it has the rule. optimize: compile any other."""
    fused = training.rule.kind == "adamw" and training.rule.slots == ("m", "v")
    return FusedAdamW(training, params) if fused else ByRule(training, params, optimize=optimize)


class FusedAdamW:
    """torch.optim.AdamW, one parameter group per weight decay."""

    def __init__(self, training: Training, params: Params) -> None:
        groups: dict[float, list[torch.Tensor]] = {}
        for path, param in params.items():
            groups.setdefault(training.decay.get(path, 0.0), []).append(param)
        hyper = training.rule.hyper
        self._params = params
        self._on_device = all(param.is_cuda for param in params.values())
        self._adamw = torch.optim.AdamW(
            [{"params": held, "weight_decay": decay} for decay, held in groups.items()],
            betas=(hyper["beta1"], hyper["beta2"]),
            eps=hyper["eps"],
            fused=True,
            capturable=self._on_device,
        )

    def step(self, lr: float | torch.Tensor) -> None:
        """Move every parameter that has a gradient."""
        rate = _on_device(lr, next(iter(self._params.values())).device) if self._on_device else lr
        for group in self._adamw.param_groups:
            group["lr"] = rate
        self._adamw.step()

    def slots(self) -> dict[str, tuple[int, list[torch.Tensor]]]:
        """Return the steps taken and both moments, by path."""
        state = {path: self._adamw.state[param] for path, param in self._params.items() if param in self._adamw.state}
        return {path: (int(s["step"].item()), [s["exp_avg"], s["exp_avg_sq"]]) for path, s in state.items() if s}

    def put(self, path: str, count: int, slots: list[torch.Tensor]) -> None:
        """Set what is remembered of a parameter."""
        param = self._params[path]
        step = torch.tensor(float(count), dtype=torch.float32, device=param.device)
        self._adamw.state[param] = {"step": step, "exp_avg": slots[0], "exp_avg_sq": slots[1]}

    def forget(self) -> None:
        """Start anew."""
        self._adamw.state.clear()


def _on_device(lr: float | torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a rate as the float32 scalar that the fused kernel reads, so that captured and eager steps agree."""
    return lr.float() if isinstance(lr, torch.Tensor) else torch.full((), lr, dtype=torch.float32, device=device)


class ByRule:
    """Any rule, by its body. optimize: compile the moves of all parameters, which otherwise are operations apart."""

    def __init__(self, training: Training, params: Params, *, optimize: bool = False) -> None:
        self._training = training
        self._params = params
        self._plan = Plan(training.rule)
        self._move: Callable[..., None] = torch.compile(_move) if optimize else _move
        self._slots: dict[str, list[torch.Tensor]] = {}
        self._counts: Tensors = {}

    @torch.no_grad()
    def step(self, lr: float | torch.Tensor) -> None:
        """Move every parameter that has a gradient."""
        moving: list[Moving] = []
        for path, param in self._params.items():
            if param.grad is None:
                continue
            slots = self._slots.setdefault(path, [torch.zeros_like(param) for _ in self._training.rule.slots])
            count = self._counts.setdefault(path, param.new_zeros((), dtype=torch.float64)).add_(1.0)
            moving.append(([param, param.grad, *slots], self._training.decay.get(path, 0.0), count))
        if moving:
            # a number of its own at every step would be compiled for anew
            self._move(self._plan, moving, scalar(lr, moving[0][-1].device))

    def slots(self) -> dict[str, tuple[int, list[torch.Tensor]]]:
        """Return the steps taken and the slots, by path."""
        return {path: (int(count.item()), self._slots[path]) for path, count in self._counts.items()}

    def put(self, path: str, count: int, slots: list[torch.Tensor]) -> None:
        """Set what is remembered of a parameter."""
        self._counts[path] = self._params[path].new_full((), count, dtype=torch.float64)
        self._slots[path] = slots

    def forget(self) -> None:
        """Start anew."""
        self._counts, self._slots = {}, {}


def _move(plan: Plan, moving: Sequence[Moving], lr: torch.Tensor) -> None:
    for tensors, decay, count in moving:
        param, _, *slots = tensors
        for held, new in zip([param, *slots], apply(plan, tensors, (lr, decay, count)), strict=True):
            held.copy_(new)


def to_arrays(optimizer: Optimizer, rule: Rule) -> dict[str, Array]:
    """Return an optimiser's memory as `slot/<name>/<path>` and `count/<path>`."""
    arrays: dict[str, Array] = {}
    for path, (count, slots) in optimizer.slots().items():
        arrays[f"count/{path}"] = np.asarray(count, np.int64)
        arrays |= {f"slot/{n}/{path}": s.detach().cpu().numpy().copy() for n, s in zip(rule.slots, slots, strict=True)}
    return arrays


def from_arrays(optimizer: Optimizer, rule: Rule, arrays: Mapping[str, Array], params: Params) -> None:
    """Take an optimiser's memory from arrays.

    Raises RunError where a slot of the rule is missing.
    """
    optimizer.forget()
    for name, count in arrays.items():
        if not name.startswith("count/"):
            continue
        path = name.removeprefix("count/")
        try:
            found = [arrays[f"slot/{slot}/{path}"] for slot in rule.slots]
            param = params[path]
        except KeyError as error:
            raise RunError(f"the snapshot is of another rule or graph: {error} is missing") from error
        slots = [torch.tensor(array, dtype=param.dtype, device=param.device) for array in found]
        optimizer.put(path, int(count), slots)
