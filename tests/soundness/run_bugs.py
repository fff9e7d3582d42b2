"""Runs that do not do what their program says: what a checkpoint loses, and what the loop hands to the model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from hrmsearch.ir import Lifetime
from hrmsearch.ir.checkpoint import read_arrays
from hrmsearch.runtime import Array, Pass
from hrmsearch.tasks.loaders import Batch, train_batches
from hrmsearch.train import loop, nest
from hrmsearch.train.compiling import compile_for
from hrmsearch.train.nest import group_length, groups
from hrmsearch.train.options import RunOptions
from hrmsearch.train.stepping import Stepper
from hrmsearch_torch.executable import TorchExecutable
from tests.soundness.checking import ROWS, Record, moved
from tests.soundness.planting import sound
from tests.training import Silent, Stopping, outcome, train

# the fourth of six steps in an epoch: between two passes, and the checkpoint before it between two windows
_BROKEN_OFF = 4


@dataclass(frozen=True, slots=True)
class RunBug:
    """A way to break a run of a sound model.

    caught: `resume` (a run that goes on from a checkpoint ends as one that never stopped) or `nest` (training hands on
    what passes over consecutive windows hand on). target, part, wrong: what stands where during the run. given:
    overrides of the sound model.
    """

    name: str
    how: str
    caught: tuple[str, ...]
    target: Any
    part: str
    wrong: Callable[..., Any]
    given: tuple[str, ...] = ()

    def planted(self) -> AbstractContextManager[Any]:
        """Break the run until the context ends."""
        return patch.object(self.target, self.part, self.wrong)

    def __str__(self) -> str:
        return self.name


# -- checks: what a run gives, and what it should give ---------------------------------------------------------------


@cache
def _whole(given: tuple[str, ...]) -> tuple[dict[str, Any], Record]:
    return _run(given, None)


def _run(given: tuple[str, ...], planted: AbstractContextManager[Any] | None) -> tuple[dict[str, Any], Record]:
    """Return the outcome and the weights of a run, broken off and resumed where something is planted."""
    spec = sound(*given, "train.checkpoint=0").spec
    assert spec is not None
    with TemporaryDirectory() as folder:
        if planted is not None:
            with pytest.raises(KeyboardInterrupt):
                train(spec, Path(folder), Stopping(_BROKEN_OFF))
        with planted or nullcontext():
            found = train(spec, Path(folder), Silent(), resume=planted is not None)
        weights = read_arrays(found.run_dir / "model.safetensors")
        return outcome(found.run_dir), {(path,): array for path, array in weights.items()}


def _resumed(given: tuple[str, ...], planted: AbstractContextManager[Any]) -> tuple[bool, float]:
    """Return whether a resumed run ends as one that never stopped, and how far its weights are off."""
    (wanted, weights), (found, others) = _whole(given), _run(given, planted)
    return found == wanted, moved(weights, others)


def _nested(given: tuple[str, ...], planted: AbstractContextManager[Any]) -> tuple[bool, float]:
    """Return whether an epoch without progress has the losses and carries of passes one by one, and how far off."""
    wanted = _by_passes(given)
    with planted:
        found = _by_steps(given)
    gap = moved(wanted, found)
    return gap <= 1e-12, gap


def _batches(given: tuple[str, ...]) -> Iterator[Batch]:
    spec = sound(*given).spec
    assert spec is not None
    return train_batches([spec.task.load().splits["train"]], "contiguous", ROWS, 0, 0)


def _compiled(given: tuple[str, ...]) -> Any:
    model = sound(*given, "train.precision=float64")
    assert model.spec is not None
    executable = compile_for(model.spec, model.declared, RunOptions())
    executable.set_params(model.subject.weights)
    return executable


def _by_steps(given: tuple[str, ...]) -> Record:
    """Return losses and carries of the training loop's steps, at a rate of zero."""
    executable, found = _compiled(given), Record()
    stepper = Stepper(executable, ROWS, lambda: 0.0, lambda loss, number: None)
    for i, group in enumerate(groups(_batches(given), group_length(executable.graph.nest))):
        found[i, "losses"] = np.array(stepper.step(group, lambda update: None))
        found |= {(i, path): array for path, array in stepper.carries()[0].items()}
    return found


def _by_passes(given: tuple[str, ...]) -> Record:
    """Return the same from passes written out: the first restores, the others go on, only the last is the last."""
    executable, found = _compiled(given), Record()
    carry = executable.init_carry(ROWS, executable.graph.nest.window)
    for i, batch in enumerate(_batches(given)):
        losses: list[Array] = []
        for number in range(executable.graph.nest.passes):
            start = Lifetime.STREAM if i == 0 else Lifetime.WINDOW
            reset = Lifetime.PASS if number else start
            last = number == executable.graph.nest.passes - 1
            outputs, carry = executable.forward(Pass(batch.arrays, int(reset), last), carry)
            losses.append(outputs["loss"])
        found[i, "losses"] = np.array(losses)
        found |= {(i, path): array for path, array in executable.carry_to_numpy(carry).items()}
    return found


CHECKS: Mapping[str, Callable[[tuple[str, ...], AbstractContextManager[Any]], tuple[bool, float]]] = {
    "resume": _resumed,
    "nest": _nested,
}

# -- what goes wrong -------------------------------------------------------------------------------------------------

_restore: Callable[..., None] = TorchExecutable.restore
_go_on: Callable[..., None] = Stepper.restore
_enter: Any = vars(Stepper)["_enter"]
_passes: Callable[..., list[Pass]] = nest.passes


def _without_a_leaf(stepper: Any, carries: Sequence[Mapping[str, Array]], rows: Sequence[int]) -> None:
    kept = [{path: 0 * a if path == "memory_0.z" else a for path, a in carry.items()} for carry in carries]
    _go_on(stepper, kept, rows)


def _without_slots(executable: Any, snapshot: Mapping[str, Array]) -> None:
    _restore(executable, snapshot)
    if executable._optimizer:
        executable._optimizer.forget()


def _without_randomness(executable: Any, snapshot: Mapping[str, Array]) -> None:
    _restore(executable, snapshot)
    executable._random.seed(0)


def _without_average(executable: Any, snapshot: Mapping[str, Array]) -> None:
    _restore(executable, snapshot)
    executable.set_params(executable.params)


def _from_the_start(*order: Any) -> Iterator[Batch]:
    return train_batches(*order[:-1])


def _always_last(batch: Batch, count: int) -> list[Pass]:
    return [Pass(call.inputs, call.reset, last=True) for call in _passes(batch, count)]


def _forgetful(stepper: Any, group: Any, rows: list[int]) -> None:
    stepper._carried_rows = []
    _enter(stepper, group, rows)


def _window_kept(batch: Batch, count: int) -> list[Pass]:
    first, *others = _passes(batch, count)
    return [Pass(first.inputs, 0 if first.reset == Lifetime.WINDOW else first.reset, first.last), *others]


BUGS: Sequence[RunBug] = (
    RunBug(
        "carry-leaf-lost", "a checkpoint loses a leaf of the carry", ("resume",), Stepper, "restore", _without_a_leaf
    ),
    RunBug(
        "optimiser-restarted",
        "a resumed optimiser has no past",
        ("resume",),
        TorchExecutable,
        "restore",
        _without_slots,
    ),
    RunBug(
        "randomness-restarted",
        "a resumed run draws its dropout from the seed again",
        ("resume",),
        TorchExecutable,
        "restore",
        _without_randomness,
        ("model.defaults.dropout=0.2",),
    ),
    RunBug(
        "average-restarted",
        "a resumed run averages weights from where it goes on",
        ("resume",),
        TorchExecutable,
        "restore",
        _without_average,
        ("train.ema=0.8",),
    ),
    RunBug("order-restarted", "a resumed epoch begins anew", ("resume",), loop, "train_batches", _from_the_start),
    RunBug("every-pass-last", "the loop calls every pass the last", ("nest",), nest, "passes", _always_last),
    RunBug("carry-forgotten", "the loop starts every window from nothing", ("nest",), Stepper, "_enter", _forgetful),
    RunBug("window-not-restored", "the loop never tells that a window ended", ("nest",), nest, "passes", _window_kept),
)
