"""Lets an emitted module run its recurrences by generated kernels, and shows those."""

from importlib.util import find_spec
from types import ModuleType

import torch

from hrmsearch.errors import BackendError
from hrmsearch.ir.graph import Graph
from hrmsearch.recurrence import NoRecurrence, describe
from hrmsearch.runtime import Options
from hrmsearch_torch.devices import DTYPES
from hrmsearch_torch.emit import recurrences
from hrmsearch_torch.kernels.build import compiler
from hrmsearch_torch.kernels.ops import Scan

#: what a module has whose methods were replaced
_INSTALLED = "__kernels__"


def available(device: str) -> bool:
    """Return whether there are kernels for a kind of device here."""
    if device == "cuda":
        return torch.cuda.is_available() and find_spec("triton") is not None
    return device == "cpu" and compiler() is not None


def scans(graph: Graph) -> dict[tuple[str, str], Scan]:
    """Return the recurrences of a graph's source, by class and method."""
    found: dict[tuple[str, str], Scan] = {}
    for owner, method, body in recurrences(graph):
        try:
            found[owner, method] = Scan(describe(body))
        except NoRecurrence:
            continue
    return found


def install(module: ModuleType, graph: Graph, device: str) -> None:
    """Put a kind of device's kernels in place of the methods that are recurrences; they mean the same."""
    if hasattr(module, _INSTALLED):  # the same source is loaded once in a process
        return
    for (owner, method), scan in scans(graph).items():
        if scan.runs_on(device):
            setattr(getattr(module, owner), method, staticmethod(scan))
    setattr(module, _INSTALLED, True)


def printed(graph: Graph, options: Options) -> str:
    """Return the source of a graph's kernels, each below a line that says what it stands for.

    Raises BackendError for a device or a graph that has none.
    """
    device = options.device.partition(":")[0]
    texts: dict[str, str] = {}
    places: dict[str, list[str]] = {}
    for (owner, method), scan in scans(graph).items():
        if scan.runs_on(device):
            places.setdefault(scan.name, []).append(f"{owner}.{method}")
            texts[scan.name] = scan.text(DTYPES[options.dtype], device)
    if not texts:
        raise BackendError(
            f"{graph.name}: no recurrence that a generated kernel runs on {device}; see the source instead"
        )
    mark = {"cpu": "/* {} */", "cuda": "# {}"}[device]
    heads = {name: mark.format(f"{name}: {', '.join(where)}") for name, where in places.items()}
    return "\n".join(f"{heads[name]}\n{text}" for name, text in texts.items())
