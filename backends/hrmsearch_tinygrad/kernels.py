"""The kernels that tinygrad would run on a device, whether or not that device is here.

A step is scheduled as for the device and then rendered by the device's own renderer; only its compiler and its driver
are left out. So what is printed is what the device would compile, tensor cores and launch sizes included.
"""

# tinygrad's uops and renderers are partly unannotated
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tinygrad.codegen import to_program
from tinygrad.codegen.opt import tc
from tinygrad.engine.realize import capturing
from tinygrad.helpers import DEV, Context, Target
from tinygrad.renderer import Renderer
from tinygrad.renderer.cstyle import ClangRenderer, CUDARenderer, MetalRenderer
from tinygrad.uop import Ops
from tinygrad.uop.ops import UOp


class _Metal(MetalRenderer):
    """MetalRenderer without Apple's compiler: the base class's returns the source as it is."""

    def __init__(self, target: Target) -> None:
        Renderer.__init__(self, target)
        self.tensor_cores = tc.metal if int(target.arch.removeprefix("Apple")) >= 7 else []


class _CUDA(CUDARenderer):
    """CUDARenderer without NVRTC."""

    def __init__(self, target: Target) -> None:
        Renderer.__init__(self, target)
        self.tensor_cores = tc.get_cuda(target.arch)


class _Clang(ClangRenderer):
    """ClangRenderer without clang."""

    def __init__(self, target: Target) -> None:
        Renderer.__init__(self, target)


#: by device: the renderer, and the architecture unless `DEV=METAL::Apple9` or the like names one. Apple7 is the M1.
RENDERERS: Final[Mapping[str, tuple[type[Renderer], str]]] = {
    "CPU": (_Clang, "x86_64,native"),
    "CUDA": (_CUDA, "sm_80"),
    "METAL": (_Metal, "Apple7"),
}


@dataclass(frozen=True, slots=True)
class Kernel:
    """A launch of a generated function.

    name: the function's, unique among different functions. source: the function. prelude: the definitions it needs,
    each one text. groups, threads: how many groups are launched along x, y, z, of how many threads each.
    """

    name: str
    source: str
    prelude: tuple[str, ...]
    groups: tuple[int, ...]
    threads: tuple[int, ...]


def capture(step: Callable[[], object]) -> list[UOp]:
    """Return the calls that a step would make, in order; nothing is run and no device is opened.

    The step may realize tensors as often as it likes, but not read one. What it realizes for the first time (tables,
    an optimiser's slots) is part of what it does, as it is when it runs: capture it twice for the steady state.
    """
    recorder = _Recorder([])
    capturing.append(recorder)
    try:
        with Context(ALLOW_DEVICE_USAGE=0, CAPTURING=1):
            step()
    finally:
        capturing.remove(recorder)
    return recorder.calls


@dataclass(frozen=True)
class _Recorder:
    """What tinygrad hands its schedules to while something captures."""

    calls: list[UOp]

    def add_linear(self, linear: UOp, var_vals: Mapping[str, int]) -> None:
        """Take a schedule instead of running it."""
        del var_vals  # the shapes of a step are fixed
        self.calls.extend(linear.src)


def renderer_of(device: str) -> Renderer:
    """Return what renders for a device, CPU, CUDA or METAL, that need not be here."""
    renderer, arch = RENDERERS[device]
    return renderer(DEV.target(device, arch=arch))


def generate(steps: Mapping[str, Sequence[UOp]], renderer: Renderer) -> dict[str, list[Kernel]]:
    """Return the kernels of captured steps by the steps' names, in launch order; copies are no kernels."""
    found = {
        name: [_kernel(call.src[0], renderer) for call in calls if call.src[0].op is Ops.SINK]
        for name, calls in steps.items()
    }
    names = _unique_names(kernel for kernels in found.values() for kernel in kernels)
    return {name: [_renamed(kernel, names[kernel.source]) for kernel in kernels] for name, kernels in found.items()}


def _kernel(ast: UOp, renderer: Renderer) -> Kernel:
    program = to_program(ast, renderer)
    (source,) = (part.arg for part in program.src if part.op is Ops.SOURCE)
    # a definition begins at the first column, and so does the brace that may close it
    *prelude, function = re.split(r"\n+(?=[^\s}])", source.strip())
    groups, threads = program.arg.launch_dims({})
    return Kernel(program.arg.function_name, function, tuple(prelude), groups, threads or ())


def _unique_names(kernels: Iterable[Kernel]) -> dict[str, str]:
    """Return a name for every function, by its source.

    tinygrad names a function by its loops and compiles each by itself, so several may have one name.
    """
    names: dict[str, str] = {}
    taken: dict[str, int] = {}
    for kernel in kernels:
        if kernel.source not in names:
            count = taken[kernel.name] = taken.get(kernel.name, -1) + 1
            names[kernel.source] = f"{kernel.name}n{count}" if count else kernel.name
    return names


def _renamed(kernel: Kernel, name: str) -> Kernel:
    return replace(kernel, name=name, source=kernel.source.replace(f" {kernel.name}(", f" {name}(", 1))


def listing(title: str, steps: Mapping[str, Sequence[Kernel]]) -> str:
    """Return one source file: each step's launches as a comment, then every definition and every function once."""
    kernels = [kernel for step in steps.values() for kernel in step]
    lines = [title]
    for name, step in steps.items():
        lines += ["", f"{name}: {len(step)} launches of {len({kernel.name for kernel in step})} kernels"]
        lines += _launches(step)
    comment = "\n".join(f"// {line}".rstrip() for line in lines)
    prelude = dict.fromkeys(text for kernel in kernels for text in kernel.prelude)
    return "\n\n".join([comment, "\n".join(prelude), *dict.fromkeys(kernel.source for kernel in kernels)]) + "\n"


def _launches(step: Sequence[Kernel]) -> list[str]:
    """Return a line per launch: its place, its function, groups and threads along x, y and z."""
    width = max((len(kernel.name) for kernel in step), default=0)
    sizes = [(" x ".join(map(str, kernel.groups)), " x ".join(map(str, kernel.threads))) for kernel in step]
    return [
        f"{i:5}  {kernel.name:{width}}  {groups} groups of {threads} threads"
        for i, (kernel, (groups, threads)) in enumerate(zip(step, sizes, strict=True), start=1)
    ]


def launches(jit: Any) -> int:
    """Return how many kernels a TinyJit launches a call, those of a device graph included; 0 before it has captured."""
    return _programs(jit.captured.linear) if jit.captured else 0


def _programs(linear: UOp) -> int:
    graphs = [call.src[0].src[0] for call in linear.src if call.src[0].op is Ops.CUSTOM_FUNCTION]
    return sum(call.src[0].op is Ops.PROGRAM for call in linear.src) + sum(map(_programs, graphs))
