"""Which devices torch can use here, and why not the others."""

import os
import shutil
import sys
from collections.abc import Mapping
from importlib.util import find_spec

import torch

from hrmsearch.errors import BackendError
from hrmsearch.runtime import Precision

#: the format in which parameters and carries are kept
DTYPES: Mapping[Precision, torch.dtype] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.float32,
}
#: the format that a pass computes in
COMPUTE: Mapping[Precision, torch.dtype] = {**DTYPES, "bfloat16": torch.bfloat16}


def devices() -> dict[str, str]:
    """Return the devices, each with a description or the reason why it cannot be used."""
    return {"cpu": f"{torch.get_num_threads()} threads", "cuda": _cuda(), "mps": _mps()}


def available() -> list[str]:
    """Return the devices that can be used, the fastest first."""
    usable = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [name for name, there in usable.items() if there]


def _cuda() -> str:
    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    built = torch.version.cuda
    return "unavailable: no CUDA device is visible" if built else "unavailable: this torch was built without CUDA"


def _mps() -> str:
    if torch.backends.mps.is_available():
        return "Apple GPU; float32 only"
    return (
        "unavailable: no Apple GPU" if torch.backends.mps.is_built() else "unavailable: this torch was built without it"
    )


def kind(name: str) -> str:
    """Return the kind of device that a user calls `name`, whether it is here or not; `auto` is the fastest that is.

    Raises BackendError for a kind that torch does not have.
    """
    found = available()[0] if name == "auto" else name.partition(":")[0]
    if found not in devices():
        raise _absent(name, "torch has no such device")
    return found


def pick(name: str, precision: Precision) -> torch.device:
    """Return the device that a user calls `name`; `auto` is the fastest.

    Raises BackendError for one that is not here, with those that are.
    """
    found = kind(name)
    if found not in available():
        raise _absent(name, devices()[found])
    try:
        device = torch.device(found if name == "auto" else name)
    except RuntimeError as error:
        raise BackendError(f"device {name!r}: {error}") from error
    if found == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BackendError(f"device {name!r}: there are {torch.cuda.device_count()} CUDA devices, counted from 0")
    if found == "mps" and precision == "float64":
        raise BackendError("device 'mps' has no float64; use float32 or another device")
    return device


def check_compiles(device: torch.device) -> None:
    """Raise BackendError where torch.compile lacks what it compiles with."""
    if device.type == "cuda" and find_spec("triton") is None:
        raise BackendError(
            "torch compiles for CUDA by Triton, which is not installed; pip install triton, or do not optimize"
        )
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if device.type == "cpu" and shutil.which(compiler) is None:
        raise BackendError(
            f"torch compiles for the CPU by {compiler}, which was not found; install it, or do not optimize"
        )


def places(name: str) -> list[dict[str, str]]:
    """Return for each GPU that a user may mean by `name` the environment of a process that sees no other one."""
    several = kind(name) == "cuda" and ":" not in name and torch.cuda.device_count() > 1
    if not several:
        return [{}]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    numbers = visible.split(",") if visible else map(str, range(torch.cuda.device_count()))
    return [{"CUDA_VISIBLE_DEVICES": number.strip()} for number in numbers]


def _absent(name: str, why: str) -> BackendError:
    return BackendError(f"device {name!r}: {why}; available: {', '.join(available())}, auto")
