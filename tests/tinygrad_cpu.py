"""tinygrad on the CPU in tests: whether it is here, kernels that compile soon, and how near is near."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import hrmsearch as hs
from hrmsearch.errors import BackendError
from hrmsearch.ir import Graph
from hrmsearch.runtime import Executable, Options, load_backend, prepared

Arrays = Mapping[str, NDArray[Any]]
#: of a tensor's largest entry, in float32
WITHIN = 2e-5


def _lacking() -> str:
    """Return why tinygrad cannot run on the CPU here; nothing where it can."""
    try:
        said = load_backend("tinygrad").devices()["CPU"]
    except BackendError as error:
        return str(error)
    return said if "was not found" in said or "unavailable" in said else ""


needs_tinygrad = pytest.mark.skipif(bool(_lacking()), reason=_lacking() or "tinygrad is here")


@pytest.fixture(scope="module")
def plain_kernels() -> Iterator[None]:
    """Leave kernels as they are scheduled, which halves the time they compile for, and compile them in this process."""
    from tinygrad.helpers import Context

    with Context(NOOPT=1, PARALLEL=0):
        yield


def graph_of(text: str) -> Graph:
    """Return the graph of a spec as tinygrad runs it."""
    return prepared(hs.lower(hs.loads(text, "tiny.yaml")), "tinygrad", "cpu")


def beside(graph: Graph, other: str) -> tuple[Executable, Executable]:
    """Return tinygrad in float32 and another backend in float64, with the same weights."""
    one = load_backend("tinygrad").compile(graph, Options())
    two = load_backend(other).compile(graph, Options(dtype="float64"))
    two.set_params(one.params)
    return one, two


def near(got: Arrays, wanted: Arrays, what: object = "") -> None:
    """Compare arrays, each to its largest entry, or to a hundredth where all are small."""
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        gap, largest = (np.abs(array).max(initial=0.0) for array in (got[name] - value, value))
        assert gap <= WITHIN * max(largest, 1e-2), f"{what} {name}: {gap:.2e} of {largest:.2e}"
