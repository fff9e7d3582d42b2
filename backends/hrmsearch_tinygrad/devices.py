"""Which devices tinygrad can use here, and why not the others.

Nothing here changes the environment: `DEV`, `CC` and their like keep the meaning that tinygrad gives them, so that
`DEV=CPU:X86` still chooses the renderer when a run names the device CPU.
"""

# parts of tinygrad's device class are unannotated
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Final

from tinygrad.device import Device
from tinygrad.dtype import DType, dtypes
from tinygrad.helpers import DEV, Context
from tinygrad.renderer import Renderer
from tinygrad.renderer.cstyle import ClangRenderer

from hrmsearch.errors import BackendError
from hrmsearch.runtime import Precision

#: from the fastest; tinygrad has more devices, on which no test runs
NAMES: Final = ("CUDA", "METAL", "CPU")
DTYPES: Mapping[Precision, DType] = {
    "float32": dtypes.float32,
    "float64": dtypes.float64,
    # mixed precision: parameters and carries stay in float32
    "bfloat16": dtypes.float32,
}


def devices() -> dict[str, str]:
    """Return the devices, each with a description or the reason why it cannot be used."""
    return {name: _refusal(name) or _about(name) for name in sorted(NAMES)}


def available() -> list[str]:
    """Return the devices that can be used, the fastest first."""
    return [name for name in NAMES if not _refusal(name)]


def pick(name: str, precision: Precision) -> str:
    """Return tinygrad's name of the device that a user calls `name`, in any case.

    `auto` is the device that `DEV` names, else the fastest; `CUDA:1` is the second GPU. Raises BackendError for a
    device that is not here, with those that are, and for one that lacks the precision.
    """
    found, index = kind(name), name.partition(":")[2]
    if why := _refusal(found):
        raise BackendError(f"device {name!r}: {why}; available: {', '.join(available()) or 'none'}")
    count = Device[found].count() if index else 1
    if index and not (index.isdecimal() and int(index) < count):
        raise BackendError(f"device {name!r}: {found} has {count} here, counted from 0")
    check_precision(name, precision, Device[found].renderer)
    if not _compiles(precision, Device[found].renderer):
        raise BackendError(f"device {name!r} has no {precision}: {_clang()} is too old; use float32, or clang 17")
    return Device.canonicalize(f"{found}:{index or 0}")


def kind(name: str) -> str:
    """Return which of `NAMES` a user calls `name`; the device need not be here.

    Raises BackendError for any other.
    """
    found = name.upper().partition(":")[0]
    if found == "AUTO":
        found = DEV.device or next(iter(available()), "CPU")
        name = f"{name} (DEV={found})" if DEV.device else name
    if found not in NAMES:
        raise BackendError(f"device {name!r}: hrmsearch runs tinygrad on {', '.join(sorted(NAMES))}, or auto")
    return found


def check_precision(name: str, precision: Precision, renderer: Renderer) -> None:
    """Raise BackendError where what writes a device's kernels lacks the precision."""
    if not _writes(precision, renderer):
        raise BackendError(f"device {name!r} has no {precision}; use float32 or another device")


def as_default(device: str) -> Context:
    """Return a context in which tensors are made on `device`, with the renderer that `DEV` chooses for it.

    tinygrad does not open the device before something runs on it.
    """
    target = DEV.target(device.partition(":")[0])
    return Context(DEV=[replace(target, device=device), target, *DEV.value])


def _refusal(name: str) -> str:
    """Return why a device cannot be used; nothing where it can."""
    if name == "CPU" and not shutil.which(_clang()):
        # asked first: tinygrad opens the device with helpers from its cache, and then fails at the first kernel
        return f"{_clang()} was not found: tinygrad's CPU device needs it; apt-get install clang"
    if name == "METAL" and sys.platform != "darwin":
        return "unavailable: only macOS has Metal"
    try:
        _ = Device[name].renderer
    except ExceptionGroup as group:  # one exception of each renderer that was tried
        return f"unavailable: {'; '.join(map(_line, group.exceptions))}"
    except Exception as error:  # a driver, a compiler or a library that is missing shows as any exception
        return f"unavailable: {_line(error)}"
    return ""


def _clang() -> str:
    return os.environ.get("CC", "clang")


def _writes(precision: Precision, renderer: Renderer) -> bool:
    """Return whether a renderer knows the number format that a precision computes in."""
    return (dtypes.bfloat16 if precision == "bfloat16" else DTYPES[precision]) in renderer.supported_dtypes()


def _compiles(precision: Precision, renderer: Renderer) -> bool:
    """Return whether what compiles a renderer's kernels here knows it too."""
    return precision != "bfloat16" or not isinstance(renderer, ClangRenderer) or _has_bfloat16(_clang())


@cache
def _has_bfloat16(clang: str) -> bool:
    """Return whether a compiler casts to the type that tinygrad's kernels use, as clang does on x86 since 17."""
    command = [clang, "-x", "c", "-march=native", "-fsyntax-only", "-"]
    source = b"__bf16 cast(float x) { return (__bf16)x; }"
    return not subprocess.run(command, input=source, capture_output=True, check=False).returncode


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _about(name: str) -> str:
    device, renderer = Device[name], Device[name].renderer
    formats = [precision for precision in DTYPES if _writes(precision, renderer) and _compiles(precision, renderer)]
    several = f", {n} of them" if (n := device.count()) > 1 else ""
    return f"{device.arch}, {type(renderer).__name__}{several}, {', '.join(formats)}"
