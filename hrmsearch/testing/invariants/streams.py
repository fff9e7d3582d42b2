"""A stream may be interrupted anywhere, and windows that share nothing may come in any order."""

from io import BytesIO

import numpy as np

from hrmsearch.runtime import Array, Carry, Executable
from hrmsearch.testing.invariants.base import invariant, same, stateless
from hrmsearch.testing.invariants.draws import Draws
from hrmsearch.testing.invariants.subject import Subject


def _no_second(subject: Subject) -> str:
    return stateless(subject) or ("" if subject.compile else "the backend is not named, so no second model can go on")


@invariant(
    "interrupted-stream",
    "A stream saved through NumPy between two passes that goes on in another executable is one run, bit for bit.",
    unless=_no_second,
)
def interrupted_stream(subject: Subject, draws: Draws) -> None:
    """Stop at a window boundary or between passes; save, load and go on elsewhere with the same weights."""
    case = subject.case(draws)
    windows = case.windows(draws.integer("windows", 1, 3))
    calls = [call for i, window in enumerate(windows) for call in case.calls(window, first=i == 0)]
    split = draws.integer("passes_before", 0, len(calls) - 1)
    wanted, end = case.run(calls, case.fresh())
    _, middle = case.run(calls[:split], case.fresh())
    second = subject.keep("second", lambda: subject.graph)
    second.set_params(subject.weights)
    carry = _moved(subject.executable, second, middle)
    for i, call in enumerate(calls[split:], start=split):
        outputs, carry = second.forward(call, carry)
        for name, array in outputs.items():
            same(f"saved after {split} passes, {name} of pass {i + 1} of the stream", array, wanted[i][name])
    last = second.carry_to_numpy(carry)
    for path, array in case.numpy(end).items():
        same(f"saved after {split} passes, the state {path} at the end", last[path], array)


def _moved(source: Executable, target: Executable, carry: Carry) -> Carry:
    """Return a carry that went through a file into another executable; fails if it came out changed."""
    saved = source.carry_to_numpy(carry)
    file = BytesIO()
    for array in saved.values():
        np.save(file, array)
    file.seek(0)
    loaded: dict[str, Array] = {path: np.load(file) for path in saved}
    arrived = target.carry_from_numpy(loaded)
    for path, array in target.carry_to_numpy(arrived).items():
        same(f"the state {path} after saving and loading", array, saved[path])
    return arrived


def _streaming(subject: Subject) -> str:
    kept = subject.states("stream") + subject.states("sample")
    return f"{kept[0]} outlives its window" if kept else ""


@invariant(
    "window-order",
    "Without a state that outlives its window, windows give the same in any order, bit for bit.",
    unless=_streaming,
)
def window_order(subject: Subject, draws: Draws) -> None:
    """Run the windows of a stream in another order."""
    case = subject.case(draws)
    windows = case.windows(draws.integer("windows", 2, 3))
    order = draws.permutation("order", len(windows))
    wanted, _ = case.stream(windows)
    got, _ = case.stream([windows[i] for i in order])
    for place, i in enumerate(order):
        for j, (a, b) in enumerate(zip(got[place], wanted[i], strict=True)):
            for name, array in a.items():
                same(f"windows in the order {order}: {name} of window {i + 1}, pass {j + 1}", array, b[name])
