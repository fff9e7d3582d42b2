"""Backends by how soon a new graph runs on them: what draws many graphs tests the quick ones only."""

from hrmsearch.errors import BackendError
from hrmsearch.ir import Graph
from hrmsearch.runtime import backend_names, load_backend

#: compile every new graph for seconds; tests of their own hold them to the reference and to torch
COMPILING = [name for name in backend_names() if name == "tinygrad"]
#: the others but the reference, whether or not they can be used here
QUICK = [name for name in backend_names() if name not in ("reference", *COMPILING)]


def offers(backend: str, graph: Graph) -> bool:
    """Return whether a backend has every form of a linear scan that a graph names."""
    offered = load_backend(backend).target("cpu").offered
    named = {op.attrs["form"] for region in graph.regions() for op in region.walk() if op.kind == "linear_scan"}
    return offered is None or named <= {None, *offered}


def usable(names: list[str]) -> list[str]:
    """Return those of some backends that can be used here."""
    found: list[str] = []
    for name in names:
        try:
            found.append(load_backend(name).name)
        except BackendError:
            continue
    return found
