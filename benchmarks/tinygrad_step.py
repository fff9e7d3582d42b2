"""The compiled tinygrad train step against a hand-written tinygrad model of the same maths and against torch, in turn.

    python benchmarks/tinygrad_step.py [--device CPU|CUDA] [--spec hrm --spec transformer] [--seconds 20] [--quick]

All start from the same weights and take the same steps first; no time is printed unless their parameters then agree.
`hrm` and `transformer` are also written by hand (hand_written/tinygrad_models.py); another spec is compared with torch
alone. `--quick` takes tiny shapes, to see that it runs. A step is a pass with its update. The first window is timed
from the spec, or from the weights, with nothing compiled before.
"""

import argparse
import ctypes
import os
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import count
from time import perf_counter

import numpy as np
import torch
from hand_written.tinygrad_models import MODELS, Params, Trainer, Window
from tinygrad.codegen import to_program_cache  # pyright: ignore[reportUnknownVariableType]
from tinygrad.helpers import Context
from tinygrad.schedule import schedule_cache

import hrmsearch as hs
from hrmsearch import passes
from hrmsearch.ir import Lifetime, initial_params
from hrmsearch.report.table import Table
from hrmsearch.runtime import Executable, load_backend
from hrmsearch.spec.model import Spec
from hrmsearch.tasks.loaders import Batch
from hrmsearch.train import RunOptions
from hrmsearch.train.compiling import options_for
from hrmsearch.train.nest import spans
from hrmsearch_tinygrad import TinygradExecutable
from hrmsearch_tinygrad.devices import as_default, devices, pick
from hrmsearch_tinygrad.starting import Counter

TINY = ("model.dim=16", "model.defaults.ffn.width=32", "task.window=8", "train.batch=2")
LR = 1e-3
AGREE_AFTER = 5  # windows
# AdamW moves a parameter whose gradient is all rounding by up to lr, so one entry may be far off where the mean is not
AGREE_MEAN, AGREE_MAX = 1e-6, 1e-3
FEWEST = 3  # windows timed
LIMIT = 1.1


@dataclass
class Contender:
    """What trains on a window at a time, and what is known of it.

    kernels: launches of each pass of a window. first: seconds to the end of the first window. times: seconds per step,
    one of each window.
    """

    train: Callable[[Window], object]
    params: Callable[[], Params]
    kernels: Callable[[], list[int]]
    first: float = 0.0
    times: list[float] = field(default_factory=list[float])


def compiled(spec: Spec, backend: str, device: str) -> Contender:
    """Return what hrmsearch makes of a spec, after its first window."""
    begin, counter = perf_counter(), Counter()
    graph = hs.lower(spec)
    options = options_for(spec, graph, RunOptions(device=device))
    if backend == "tinygrad":
        executable: Executable = TinygradExecutable(passes.run(graph), options, replay=counter)
    else:
        executable = load_backend(backend).compile(passes.run(graph), options)
    launched: list[int] = []
    enter = torchs_context(device) if backend == "torch" else lambda: None

    def train(window: Window) -> object:
        enter()
        batch = Batch(dict(zip(("tokens", "targets"), window, strict=True)), Lifetime.STREAM)
        carry = executable.init_carry(*window[0].shape)
        launched.clear()
        for span in spans([batch], graph.nest):
            carry = executable.train_step(span, carry, LR)[0].carry
            launched.append(counter.take())
        return carry

    found = Contender(train, lambda: executable.params, lambda: [count for count in launched if count])
    train(windows(spec, 1)[0])
    found.first = perf_counter() - begin
    return found


def torchs_context(device: str) -> Callable[[], None]:
    """Return what makes torch's CUDA context the thread's again: tinygrad makes one of its own, and leaves it there."""
    if device.upper() != "CUDA":
        return lambda: None
    driver, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p()
    torch.cuda.init()
    if driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), torch.cuda.current_device()):
        raise SystemExit("CUDA gives no primary context")
    return lambda: driver.cuCtxSetCurrent(context)


def by_hand(spec: Spec, params: Params, device: str) -> Contender:
    """Return what a user of tinygrad writes for a spec, from given weights, after its first window."""
    begin, clip = perf_counter(), spec.train.clip
    assert clip is not None
    with as_default(pick(device, "float32")):
        trainer = Trainer(MODELS[spec.name](params, spec.task.window), LR, clip)

    def train(window: Window) -> object:
        with as_default(pick(device, "float32")):
            return trainer(*window)

    named = trainer.model.named()
    found = Contender(train, lambda: {path: param.numpy() for path, param in named.items()}, trainer.launches)
    train(windows(spec, 1)[0])
    found.first = perf_counter() - begin
    return found


def windows(spec: Spec, number: int) -> list[Window]:
    """Return random windows of tokens and targets, i32[B, W]."""
    shape = (2, spec.train.batch, spec.task.window)
    rng = np.random.default_rng(0)
    drawn = (rng.integers(0, spec.task.vocabulary, shape, np.int32) for _ in range(number))
    return [(tokens, targets) for tokens, targets in drawn]


def refuse_unless_alike(spec: Spec, contenders: Mapping[str, Contender]) -> None:
    """Take the same windows with all; exit where the parameters then differ from those of the first."""
    for window in windows(spec, AGREE_AFTER)[1:]:
        for contender in contenders.values():
            contender.train(window)
    (first, reference), *others = ((name, it.params()) for name, it in contenders.items())
    for name, params in others:
        apart = np.concatenate([np.abs(value - reference[path]).ravel() for path, value in params.items()])
        mean, most = apart.mean(), apart.max()
        print(f"{name}: parameters after {AGREE_AFTER} windows: mean {mean:.1e}, max {most:.1e} from {first}")
        if not (mean <= AGREE_MEAN and most <= AGREE_MAX):
            raise SystemExit(f"they differ by more than {AGREE_MEAN:.0e}, {AGREE_MAX:.0e}: no times are reported")


def race(spec: Spec, contenders: Mapping[str, Contender], seconds: float) -> None:
    """Time a window of each in turn until the time is up; the order alternates, so that none always comes first."""
    data, end = windows(spec, AGREE_AFTER), perf_counter() + seconds
    for i in count():
        if i >= FEWEST and perf_counter() > end:
            return
        for name in sorted(contenders, reverse=bool(i % 2)):
            begin = perf_counter()
            contenders[name].train(data[i % len(data)])
            contenders[name].times.append((perf_counter() - begin) / spec.nest.passes)


def table(contenders: Mapping[str, Contender], base: str) -> Table:
    """Return a row per contender, with its ratio to `base`."""
    rows: list[list[str]] = []
    for name, it in contenders.items():
        ratios = [f(it.times) / f(contenders[base].times) for f in (statistics.median, min)]
        times = [f"{f(it.times) * 1e3:.2f}" for f in (statistics.median, min)]
        kernels = ", ".join(map(str, it.kernels())) or "-"
        rows.append([name, f"{it.first:.1f}", kernels, *times, *(f"{ratio:.3f}" for ratio in ratios)])
    columns = ["", "first window s", "kernels by pass", "median ms", "min ms", f"/ {base}", "min"]
    return Table(columns, "lrrrrrr", [rows])


def measure(spec: Spec, device: str, seconds: float) -> float | None:
    """Print how a spec compares; return the median ratio to the hand-written model, where there is one."""
    contenders = {"compiled": fresh(lambda: compiled(spec, "tinygrad", device))}
    if spec.name in MODELS:
        params = initial_params(hs.lower(spec), 0)
        contenders["hand-written"] = fresh(lambda: by_hand(spec, params, device))
    contenders["torch"] = compiled(spec, "torch", device.lower())
    refuse_unless_alike(spec, contenders)
    race(spec, contenders, seconds)
    base = "hand-written" if "hand-written" in contenders else "torch"
    print(table(contenders, base).plain())
    medians = {name: statistics.median(it.times) for name, it in contenders.items()}
    return medians["compiled"] / medians["hand-written"] if base == "hand-written" else None


def fresh(make: Callable[[], Contender]) -> Contender:
    """Return what is made without the kernels that another contender left in the process."""
    to_program_cache.clear()
    schedule_cache.clear()
    return make()


def main() -> None:
    """Compare every spec asked for, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--device", default="CPU", help="CPU or CUDA")
    parser.add_argument("--spec", action="append", help="may be repeated")
    parser.add_argument("--seconds", type=float, default=20.0, help="of timing, for each spec")
    parser.add_argument("--quick", action="store_true", help="tiny shapes: says whether it runs, not how fast")
    args = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["CACHELEVEL"] = "0"  # for tinygrad's compiling processes

    print(f"torch {version('torch')}, tinygrad {version('tinygrad')}, {args.device}: {devices()[args.device.upper()]}")
    ratios: dict[str, float | None] = {}
    for name in args.spec or ["hrm", "transformer"]:
        spec = hs.load(name, TINY if args.quick else ())
        print(f"\n{name}: width {spec.model.dim}, {spec.train.batch} rows of {spec.task.window} tokens")
        with Context(CACHELEVEL=0):
            ratios[name] = measure(spec, args.device, args.seconds)
    for name, ratio in ratios.items():
        if ratio is not None:
            print(f"{name}: compiled / hand-written = {ratio:.3f} (at most {LIMIT} is asked on CUDA)")


if __name__ == "__main__":
    main()
