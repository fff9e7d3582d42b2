"""Lets an emitted module run its recurrences by generated kernels, and shows those."""

from importlib.util import find_spec
from types import ModuleType

import torch

from hrmsearch.emission import load_source
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


def loaded(source: str, graph: Graph, device: str) -> ModuleType:
    """Return a graph's emitted source as a module, a kind of device's kernels in place of methods that are recurrences.

    A source does not tell every size that its kernels are made for, so graphs of one source may have modules apart.
    """
    found = {at: scan for at, scan in scans(graph).items() if scan.runs_on(device)}
    names = ", ".join(scan.name for scan in found.values())
    module = load_source(source, graph.name, setting=f"kernels on {device}: {names}")
    if not hasattr(module, _INSTALLED):  # the same source is loaded once in a process
        for (owner, method), scan in found.items():
            setattr(getattr(module, owner), method, staticmethod(scan))
        setattr(module, _INSTALLED, True)
    return module


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
